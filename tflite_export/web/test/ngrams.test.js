import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ngramsOff } from "../page/golden_ngrams.js";
import { NGrams } from "../page/ngrams.js";
import { packageUnderTest } from "./settings.js";

const directory = packageUnderTest();
const golden = JSON.parse(readFileSync(join(directory, "golden.json")));
const { vocabulary } = JSON.parse(readFileSync(join(directory, "manifest.json"))).model;

/** The bytes of a file with n-grams of up to three words: [words, counts] of each length, and codes. */
function file(entries, lengths, codes, longest = lengths.length + 1) {
  const width = entries > 65_536 ? 4 : 2;
  const bytes = [..."FKNG"].map((letter) => letter.charCodeAt(0));
  const put = (number, size) => {
    for (let i = 0; i < size; i++) bytes.push((number >>> (8 * i)) & 255);
  };
  for (const number of [entries, longest, ...lengths.map(([, words]) => words.length)]) put(number, 4);
  for (const number of lengths.flat(2)) put(number, width);
  return new Uint8Array([...bytes, ...codes]);
}

const below = (entries, counts) => Array.from({ length: entries }, (_, id) => counts[id] ?? 0);
// After <s>: 5; after 5: 4 or 6; after <s> 5: 6.
const lengths = (entries) => [
  [below(entries, { 1: 1, 5: 2 }), [5, 4, 6]],
  [[1, 0, 0], [6]],
];
const codes = [16, 32, 16, 8];

test("n-grams are those of golden.json", () => {
  const ngrams = new NGrams(readFileSync(join(directory, "ngrams.bin")), vocabulary);
  for (const example of golden.examples) {
    const off = ngramsOff(ngrams, example, vocabulary);
    assert.ok(off <= golden.ngram_tolerance, `${example.text}: off by ${off}`);
  }
});

for (const entries of [7, 70_000]) {
  test(`each length takes its share, of ${entries} entries`, () => {
    const ngrams = new NGrams(file(entries, lengths(entries), codes), entries);
    const mixed = (ids) => {
      const probabilities = new Float64Array(entries).fill(1 / entries);
      ngrams.mix(probabilities, ids);
      return probabilities;
    };
    const [q2, q1, qHalf] = [Math.exp(-2), Math.exp(-1), Math.exp(-0.5)];
    const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-12, `${found}`);
    const left = (1 - q2 - q1) * (1 - qHalf);
    near(mixed([1, 5])[3], left / entries);
    near(mixed([1, 5])[4], (1 - qHalf) * ((1 - q2 - q1) / entries + q2));
    near(mixed([1, 5])[6], (1 - qHalf) * ((1 - q2 - q1) / entries + q1) + qHalf);
    // Nobody wrote 4 5 6: the pairs alone. After 6 nothing is known.
    near(mixed([1, 4, 5])[6], (1 - q2 - q1) / entries + q1);
    near(mixed([1, 6])[6], 1 / entries);
    near(mixed([1])[5], (1 - q1) / entries + q1);
  });
}

test("whatever a byte is changed to is refused, or mixes", () => {
  const whole = file(7, lengths(7), codes);
  let refused = 0;
  for (let at = 0; at < whole.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const probabilities = new Float64Array(7).fill(1 / 7);
      try {
        new NGrams(whole.slice().fill(byte, at, at + 1), 7).mix(probabilities, [1, 5]);
      } catch (error) {
        assert.match(error.message, /^ngrams.bin: .+$/);
        refused++;
      }
      assert.ok(probabilities.every((each) => each >= 0 && each <= 1), `byte ${at}: ${byte}`);
    }
  }
  assert.ok(refused > 1000);
});

test("a file without n-grams mixes nothing", () => {
  const probabilities = Float64Array.of(0.1, 0.2, 0.3, 0.4);
  new NGrams(file(4, [], []), 4).mix(probabilities, [1, 2, 3]);
  assert.deepEqual([...probabilities], [0.1, 0.2, 0.3, 0.4]);
});

test("what is no file of these words is refused in a line", () => {
  const whole = file(7, lengths(7), codes);
  const refused = (bytes, what) =>
    assert.throws(() => new NGrams(bytes, 7), { message: new RegExp(`^ngrams.bin: .*${what}.*$`) });
  for (let length = 0; length < whole.length; length++) refused(whole.subarray(0, length), "");
  refused(new Uint8Array([...whole, 0]), "longer");
  refused(new Uint8Array([...whole].fill(0, 0, 1)), "not n-grams");
  refused(file(8, lengths(8), codes), "of 8 entries");
  refused(file(7, lengths(7), codes, 9), "n-grams of 9 words");
  refused(file(7, [], [], 0), "n-grams of 0 words");
  refused(file(7, [[below(7, { 1: 1, 5: 2 }), [5, 6, 4]]], codes), "damaged");
  refused(file(7, [[below(7, { 1: 1, 5: 2 }), [5, 4, 7]]], codes), "damaged");
  refused(file(7, [[below(7, { 1: 1, 5: 3 }), [5, 4, 6]]], codes), "damaged");
  refused(file(7, [[below(7, { 1: 1, 5: 1 }), [5, 4, 6]]], codes), "damaged");
  refused(file(7, [[below(7, { 1: 1 }), []]], []), "damaged");
  // A sum that 32 bits do not have.
  const many = below(70_000, { 1: 2 ** 32 - 1, 2: 2 });
  const overflowing = file(70_000, [[many, [5]]], [16]);
  assert.throws(() => new NGrams(overflowing, 70_000), /damaged/);
  refused(file(7, lengths(7), [16, 0, 0, 8]), "damaged");
  const absurd = whole.slice();
  absurd.fill(255, 12, 16);
  refused(absurd, "shorter");
});
