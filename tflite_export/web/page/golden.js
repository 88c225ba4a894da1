// Whether this client computes what the package's golden.json says.

import { Engine } from "./engine.js";
import { ngramsOff } from "./golden_ngrams.js";
import { NGrams } from "./ngrams.js";
import { PhonePackage, sha256 } from "./phone_package.js";
import { openModel } from "./runtime.js";
import { Trainer, rows } from "./trainer.js";
import { Vocabulary } from "./vocabulary.js";

// In the order of the manifest's weights_sha256.
const WEIGHTS = [
  "embedding",
  "input_kernel",
  "recurrent_kernel",
  "bias",
  "projection",
  "output_bias",
];

/**
 * Checks a package in this browser.
 *
 * @param {string} base its address, ending with a slash
 * @returns {Promise<{failures: string[], examples: number, largestDifference: number,
 *   losses: number, largestLossDifference: number}>}
 */
export async function checkGolden(base) {
  const phonePackage = await PhonePackage.open(base);
  const { model: sizes } = phonePackage.manifest;
  const golden = JSON.parse(await phonePackage.text("golden.json"));
  const vocabulary = await Vocabulary.open(phonePackage);
  const ngrams = await NGrams.open(phonePackage);
  const infer = await openModel(await phonePackage.bytes("model_infer.tflite"));
  const train = await openModel(await phonePackage.bytes("model_train.tflite"));
  const report = {
    failures: [],
    examples: 0,
    largestDifference: 0,
    losses: 0,
    largestLossDifference: 0,
  };
  const expect = (holds, what) => holds || report.failures.push(what);

  for (const { text, words } of golden.texts) {
    expect(same(vocabulary.rules.of(text), words), `${text}: words`);
  }
  for (const { text, sentences } of golden.sentences) {
    expect(same(vocabulary.rules.bySentence(text), sentences), `${text}: sentences`);
  }
  const engine = new Engine(infer, vocabulary, ngrams, sizes);
  const tolerance = golden.probability_tolerance;
  for (const example of golden.examples) {
    const { text } = example;
    report.examples++;
    const words = vocabulary.rules.of(text);
    expect(same(words, example.words), `${text}: words ${words}`);
    expect(same(vocabulary.encode(example.words), example.ids), `${text}: ids`);
    const off = ngramsOff(ngrams, example, sizes.vocabulary);
    expect(off <= golden.ngram_tolerance, `${text}: n-grams off by ${off}`);
    // The separator finishes the last word.
    const suggestions = await engine.suggest(`${text} `);
    expect(suggestions.length === example.suggestions.length, `${text}: ${suggestions.length} words`);
    const must = mustAgree(example.probabilities, tolerance);
    suggestions.forEach(({ word, probability }, i) => {
      const difference = Math.abs(probability - example.probabilities[i]);
      report.largestDifference = Math.max(report.largestDifference, difference);
      expect(difference <= tolerance, `${text}: probability ${i} off by ${difference}`);
      expect(!must[i] || word === example.suggestions[i], `${text}: suggests ${word}`);
    });
  }

  const trainer = new Trainer(train);
  const opened = await trainer.weights();
  const bytes = await new Blob(WEIGHTS.map((name) => opened[name])).arrayBuffer();
  expect((await sha256(bytes)) === sizes.weights_sha256, "weights_sha256 of the opened weights");
  const { training } = golden;
  const made = rows(training.texts, vocabulary, sizes.length);
  expect(same(made, training.rows), "training rows");
  for (const [i, expected] of training.losses.entries()) {
    const difference = Math.abs((await trainer.train(training.rows, training)) - expected);
    report.losses++;
    report.largestLossDifference = Math.max(report.largestLossDifference, difference);
    expect(difference <= training.loss_tolerance, `loss ${i} off by ${difference}`);
  }
  await infer.close();
  await train.close();
  return report;
}

// A word must be the same where its probability stands apart from its neighbours'.
function mustAgree(probabilities, tolerance) {
  const apart = probabilities.slice(1).map((p, i) => probabilities[i] - p > 2 * tolerance);
  return probabilities.map((_, i) => (i === 0 || apart[i - 1]) && i < apart.length && apart[i]);
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
