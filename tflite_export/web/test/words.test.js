import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { rows } from "../page/trainer.js";
import { Vocabulary } from "../page/vocabulary.js";
import { split, words } from "../page/words.js";
import { packageUnderTest } from "./settings.js";

const directory = packageUnderTest();
const golden = JSON.parse(readFileSync(join(directory, "golden.json")));
const manifest = JSON.parse(readFileSync(join(directory, "manifest.json")));
const vocabulary = new Vocabulary(readFileSync(join(directory, "vocabulary.txt"), "utf8"));

test("words and ids are those of golden.json", () => {
  for (const { text, words: expected, ids } of golden.examples) {
    assert.deepEqual(words(text), expected, text);
    assert.deepEqual(vocabulary.encode(expected), ids, text);
  }
});

test("a separator finishes the last word", () => {
  for (const { text, words: expected } of golden.examples) {
    const parts = split(`${text} `);
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
  ]) {
    assert.deepEqual(split(text), { finished, current, start }, text);
  }
});

test("training rows are those of golden.json", () => {
  const { texts, rows: expected } = golden.training;
  assert.deepEqual(rows(texts, vocabulary, manifest.model.length), expected);
});

test("a sentence is cut to its row, one without words has none", () => {
  const [i] = vocabulary.encode(["i"]);
  assert.deepEqual(rows(["i i i", "?"], vocabulary, 3), [[1, i, i, i]]);
});

test("completions begin with the letters, best first, never special", () => {
  const small = new Vocabulary("<pad>\n<s>\n</s>\n<unk>\nthe\nto\nthat\nthem\n");
  const scores = Float32Array.of(9, 9, 9, 9, 0.1, 0.2, 0.3, 0.1);
  assert.deepEqual(small.completions("th", scores, 3), [6, 4, 7]);
  assert.deepEqual(small.completions("t", scores, 2), [6, 5]);
  assert.deepEqual(small.completions("<", scores, 3), []);
});
