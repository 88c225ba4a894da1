// The format fedkeyboard.update: how weights differ from those of a package (docs/package.md).

import { readZip, writeZip } from "./zip.js";

const FORMAT = "fedkeyboard.update";

/**
 * @param {object} metadata all but `format` and `version`
 * @param {Record<string, Float32Array>} difference
 * @param {Record<string, number[]>} shapes
 * @returns {Uint8Array} a ZIP file
 */
export function writeUpdate(metadata, difference, shapes) {
  const files = {
    "metadata.json": new TextEncoder().encode(
      JSON.stringify({ format: FORMAT, version: "1.0", ...metadata }),
    ),
  };
  for (const [name, shape] of Object.entries(shapes)) {
    files[`${name}.npy`] = npy(difference[name], shape);
  }
  return writeZip(files);
}

/**
 * Reads an update that is to be added to a package's weights.
 *
 * @param {Uint8Array} bytes
 * @param {Record<string, number[]>} shapes
 * @returns {Promise<{metadata: object, difference: Record<string, Float32Array>}>}
 */
export async function readUpdate(bytes, shapes) {
  const files = await readZip(bytes);
  const metadata = JSON.parse(new TextDecoder().decode(files["metadata.json"]));
  if (metadata.format !== FORMAT || metadata.version.split(".")[0] !== "1") {
    throw new Error("not an update, or one of a later version");
  }
  const difference = {};
  for (const [name, shape] of Object.entries(shapes)) {
    difference[name] = array(name, files[`${name}.npy`], shape);
  }
  return { metadata, difference };
}

/**
 * Says whether an update can be added to a package's weights.
 *
 * @param {object} metadata of the update
 * @param {object} manifest of the package
 * @returns {"same" | "migrates" | "refused"} "migrates" if the model is another but the words are
 *   the same
 */
export function fits(metadata, manifest) {
  if (metadata.weights_sha256 === manifest.model.weights_sha256) return "same";
  const words = manifest.files["vocabulary.txt"].sha256;
  return metadata.vocabulary_sha256 === words ? "migrates" : "refused";
}

/** Returns the sums, or with a `sign` of -1 the differences, of two sets of weights. */
export function combine(weights, others, sign = 1) {
  return Object.fromEntries(
    Object.entries(weights).map(([name, values]) => [
      name,
      values.map((value, i) => value + sign * others[name][i]),
    ]),
  );
}

function header(shape) {
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  return `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
}

function npy(values, shape) {
  const described = header(shape);
  const length = Math.ceil((10 + described.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length + values.byteLength).fill(0x20, 10, length);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  new DataView(bytes.buffer).setUint16(8, length - 10, true);
  bytes.set(new TextEncoder().encode(described), 10);
  bytes[length - 1] = 0x0a;
  // Every processor that runs browsers is little endian.
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), length);
  return bytes;
}

function array(name, bytes, shape) {
  if (!bytes) throw new Error(`the update has no ${name}`);
  const length = 10 + new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
  const described = new TextDecoder().decode(bytes.subarray(10, length)).trim();
  if (bytes[6] !== 1 || described !== header(shape)) {
    throw new Error(`${name}: ${described} is not ${header(shape)}`);
  }
  const values = new Float32Array(new Uint8Array(bytes.subarray(length)).buffer);
  if (!values.every(Number.isFinite)) throw new Error(`${name}: has values that are not finite`);
  return values;
}
