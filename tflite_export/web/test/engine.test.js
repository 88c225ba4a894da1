// The engine without a browser, on a model that is told what to say.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Engine } from "../page/engine.js";
import { BEGIN, Vocabulary } from "../page/vocabulary.js";
import { packageUnderTest } from "./settings.js";

const characters = JSON.parse(readFileSync(join(packageUnderTest(), "characters.json")));
const entries = ["<pad>", "<s>", "</s>", "<unk>", "the", "to", "that", "them", "cat"];
const vocabulary = new Vocabulary(`${entries.join("\n")}\n`, {}, characters);
const [THE, TO, THAT, THEM] = [4, 5, 6, 7];
const EVEN = Math.log(1 / entries.length);

/** An engine whose model finds all entries alike, with what is added after some words. */
function made(added = {}) {
  const asked = [];
  const model = {
    run: async (signature, { word, output }) => {
      assert.equal(signature, "score");
      // The state counts the words before.
      asked.push([word[0], output[0]]);
      const state = { output: Float32Array.of(output[0] + 1), cell: Float32Array.of(0) };
      return { log_probabilities: new Float32Array(entries.length).fill(EVEN), ...state };
    },
  };
  const ngrams = {
    mix(probabilities, ids) {
      for (const [id, more] of added[ids.join()] ?? []) probabilities[id] += more;
    },
  };
  return { engine: new Engine(model, vocabulary, ngrams, { embedding: 1, units: 1 }), asked };
}

const shown = (suggestions) => suggestions.map(({ word }) => word);

test("the likeliest of both are suggested, of equals the lower, never special ones", async () => {
  const { engine } = made({
    [BEGIN]: [[2, 0.9], [THAT, 0.2]],
    [[BEGIN, THE]]: [[8, 0.1], [TO, 0.1]],
  });
  const suggested = await engine.suggest("");
  assert.deepEqual(shown(suggested), ["that", "the", "to"]);
  const even = Math.exp(Math.fround(EVEN));
  assert.deepEqual(suggested.map(({ probability }) => probability), [even + 0.2, even, even]);
  assert.deepEqual(shown(await engine.suggest("the ")), ["to", "cat", "the"]);
});

test("completions are ranked by both, also once a word is taken back", async () => {
  const added = {
    [BEGIN]: [[THAT, 0.2]],
    [[BEGIN, THE]]: [[THEM, 0.2]],
    [[BEGIN, THE, TO]]: [[THAT, 0.3], [THEM, 0.1]],
  };
  const { engine } = made(added);
  const firsts = [
    ["t", "that"],
    ["the t", "them"],
    ["the to th", "that"],
    ["the th", "them"],
  ];
  for (const [text, first] of firsts) {
    const one = await engine.suggest(text);
    assert.equal(one[0].word, first, text);
    assert.deepEqual(one, await made(added).engine.suggest(text), text);
  }
  assert.equal((await engine.suggest(""))[0].word, "that");
});

test("a finished word costs one step, its letters and a word taken back none", async () => {
  const { engine, asked } = made();
  const texts = ["", "t", "the", "the ", "the t", "the to ", "the ", "", "the "];
  for (const text of texts) await engine.suggest(text);
  assert.deepEqual(asked, [
    [BEGIN, 0],
    [THE, 1],
    [TO, 2],
    [THE, 1],
  ]);
  engine.clear();
  await engine.suggest("the ");
  assert.deepEqual(asked.slice(4), [
    [BEGIN, 0],
    [THE, 1],
  ]);
});
