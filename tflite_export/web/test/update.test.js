import assert from "node:assert/strict";
import { test } from "node:test";
import { combine, fits, readUpdate, writeUpdate } from "../page/update.js";
import { readZip, writeZip } from "../page/zip.js";

const SHAPES = { kernel: [2, 3], bias: [3] };
const DIFFERENCE = {
  kernel: Float32Array.of(1, -2, 3.5, 0, 1e-7, -1e7),
  bias: Float32Array.of(0.25, 0, -0.125),
};
const METADATA = { purpose: "personal", weights_sha256: "w", vocabulary_sha256: "v", sentences: 2 };

test("an update is read as it was written", async () => {
  const read = await readUpdate(writeUpdate(METADATA, DIFFERENCE, SHAPES), SHAPES);
  assert.deepEqual(read.difference, DIFFERENCE);
  assert.deepEqual(read.metadata, { format: "fedkeyboard.update", version: "1.0", ...METADATA });
});

test("one with other shapes, without a weight or damaged is refused", async () => {
  const bytes = writeUpdate(METADATA, DIFFERENCE, SHAPES);
  await assert.rejects(readUpdate(bytes, { ...SHAPES, bias: [4] }), /bias/);
  await assert.rejects(readUpdate(bytes, { ...SHAPES, other: [4] }), /no other/);
  await assert.rejects(readUpdate(bytes.subarray(9), SHAPES));
  await assert.rejects(readUpdate(bytes.map((byte, i) => (i === 60 ? byte ^ 1 : byte)), SHAPES));
  const infinite = { ...DIFFERENCE, bias: Float32Array.of(0, Infinity, 0) };
  await assert.rejects(readUpdate(writeUpdate(METADATA, infinite, SHAPES), SHAPES), /finite/);
  const later = writeUpdate({ ...METADATA, version: "2.0" }, DIFFERENCE, SHAPES);
  await assert.rejects(readUpdate(later, SHAPES), /later version/);
});

test("an update fits its own package, migrates to one with the same words, else is refused", () => {
  const manifest = (weights, words) => ({
    model: { weights_sha256: weights },
    files: { "vocabulary.txt": { sha256: words } },
  });
  assert.equal(fits(METADATA, manifest("w", "v")), "same");
  assert.equal(fits(METADATA, manifest("new", "v")), "migrates");
  assert.equal(fits(METADATA, manifest("new", "new")), "refused");
});

test("a difference added to the weights it is to gives those it is of", () => {
  const before = { bias: Float32Array.of(1, 2, 3) };
  const after = { bias: Float32Array.of(1.5, 2, -3) };
  assert.deepEqual(combine(before, combine(after, before, -1)), after);
});

test("a ZIP file with nothing in it, and text that is none", async () => {
  assert.deepEqual(await readZip(writeZip({})), {});
  await assert.rejects(readZip(new TextEncoder().encode("no ZIP file, but long enough")), /ZIP/);
});
