import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { rows } from "../page/trainer.js";
import { Vocabulary } from "../page/vocabulary.js";
import { packageUnderTest } from "./settings.js";

const directory = packageUnderTest();
const golden = JSON.parse(readFileSync(join(directory, "golden.json")));
const manifest = JSON.parse(readFileSync(join(directory, "manifest.json")));
const characters = JSON.parse(readFileSync(join(directory, "characters.json")));
const vocabulary = await Vocabulary.open({
  text: (name) => readFileSync(join(directory, name), "utf8"),
});
const { rules } = vocabulary;

test("words and ids are those of golden.json", () => {
  for (const { text, words } of golden.texts) {
    assert.deepEqual(rules.of(text), words, text);
  }
  for (const { text, words: expected, ids } of golden.examples) {
    assert.deepEqual(rules.of(text), expected, text);
    assert.deepEqual(vocabulary.encode(expected), ids, text);
  }
});

test("sentences are those of golden.json", () => {
  for (const { text, sentences } of golden.sentences) {
    assert.deepEqual(rules.bySentence(text), sentences, text);
  }
});

test("a separator finishes the last word", () => {
  for (const { text, words: expected } of [...golden.examples, ...golden.texts]) {
    const parts = rules.split(`${text} `);
    assert.deepEqual(parts.finished, expected, text);
    assert.equal(parts.current, "");
  }
});

test("the word being typed, and where it begins", () => {
  for (const [text, finished, current, start] of [
    ["", [], "", 0],
    ["i Am", ["i"], "am", 2],
    ["i don\u2019", ["i"], "don'", 2],
    ["say 'hel", ["say"], "hel", 5],
    ["ok \ud83d\ude02", ["ok"], "", 5],
    ["well-kno", ["well"], "kno", 5],
    ["a cafe\u0301", ["a"], "caf\u00e9", 2],
    ["to\u00adday", [], "today", 0],
    ["\ud83d\ude02 \u0301a\u0301", [], "\u00e1", 4],
    ["a''b", ["a"], "b", 3],
    ["stra\u00df", [], "strass", 0],
    ["col\u00b7", [], "col\u00b7", 0],
    ["i '", ["i"], "", 3],
    ["\u0645\u06cc\u200c", [], "\u0645\u06cc", 0],
  ]) {
    assert.deepEqual(rules.split(text), { finished, current, start }, text);
  }
});

test("training rows are those of golden.json", () => {
  const { texts, rows: expected } = golden.training;
  assert.deepEqual(rows(texts, vocabulary, manifest.model.length), expected);
});

test("a text of more words than a row is several rows, one without words has none", () => {
  const [i, am] = vocabulary.encode(["i", "am"]);
  assert.deepEqual(rows(["i i i", "?"], vocabulary, 3), [[1, i, i, i]]);
  assert.deepEqual(rows(["am. i. i i i i i am! i"], vocabulary, 4), [
    [1, am, i, 2, 0],
    [1, i, i, i, i],
    [1, i, am, i, 2],
  ]);
});

test("words are shown as they are spelled", () => {
  const text = "<pad>\n<s>\n</s>\n<unk>\nstrasse\nrot\n";
  const german = new Vocabulary(text, { strasse: "stra\u00dfe" }, characters);
  assert.deepEqual(german.encode(rules.of("Stra\u00dfe STRASSE rot")), [4, 4, 5]);
  assert.deepEqual(german.shown.slice(4), ["stra\u00dfe", "rot"]);
});

test("completions begin with the letters, best first, never special", () => {
  const small = new Vocabulary("<pad>\n<s>\n</s>\n<unk>\nthe\nto\nthat\nthem\n", {}, characters);
  const scores = Float32Array.of(9, 9, 9, 9, 0.1, 0.2, 0.3, 0.1);
  assert.deepEqual(small.completions("th", scores, 3), [6, 4, 7]);
  assert.deepEqual(small.completions("t", scores, 2), [6, 5]);
  assert.deepEqual(small.completions("<", scores, 3), []);
});
