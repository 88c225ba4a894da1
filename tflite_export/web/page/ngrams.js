// What was written after one, two or three words, mixed with what the model says.

const MAGIC = "FKNG";
const MOST_BYTES = 64 << 20;
const LONGEST = 8;
// By its byte in the file, the probability of a word after others.
const Q = Float64Array.from({ length: 256 }, (_, code) => Math.exp(-code / 16));

export class NGrams {
  // Of each length from 2 words on: where the words below each shorter sequence begin, the words, a
  // byte for each, and what they leave of the model's probabilities.
  #lengths = [];

  /**
   * Opens what a package says of n-grams.
   *
   * @param {import("./phone_package.js").PhonePackage} phonePackage
   * @returns {Promise<NGrams>}
   */
  static async open(phonePackage) {
    const { vocabulary } = phonePackage.manifest.model;
    return new NGrams(await phonePackage.bytes("ngrams.bin"), vocabulary);
  }

  /**
   * @param {Uint8Array} bytes of ngrams.bin
   * @param {number} vocabulary entries of the model's
   */
  constructor(bytes, vocabulary) {
    const reader = new Reader(bytes);
    const magic = String.fromCharCode(...reader.numbers(MAGIC.length, 1));
    require(magic === MAGIC, "not n-grams");
    const [entries, longest] = reader.numbers(2, 4);
    require(entries === vocabulary, `of ${entries} entries, not of ${vocabulary}`);
    require(longest >= 1 && longest <= LONGEST, `n-grams of ${longest} words`);
    const sizes = reader.numbers(longest - 1, 4);
    const width = vocabulary > 65_536 ? 4 : 2;
    let shorter = vocabulary;
    for (const size of sizes) {
      const counts = reader.numbers(shorter, width);
      const words = reader.numbers(size, width);
      const starts = new Uint32Array(shorter + 1);
      for (let i = 0, sum = 0; i < shorter; i++) {
        sum += counts[i];
        require(sum <= size, "damaged");
        starts[i + 1] = sum;
        for (let at = starts[i]; at < sum; at++) {
          require(words[at] < vocabulary && !(at > starts[i] && words[at] <= words[at - 1]), "damaged");
        }
      }
      require(starts[shorter] === size, "damaged");
      this.#lengths.push({ starts, words });
      shorter = size;
    }
    for (const length of this.#lengths) {
      const { starts, words } = length;
      const codes = reader.numbers(words.length, 1);
      const left = new Float64Array(starts.length - 1);
      for (let i = 0; i < left.length; i++) {
        let sum = 0;
        for (let at = starts[i]; at < starts[i + 1]; at++) sum += Q[codes[at]];
        require(sum <= 1 + 1e-9, "damaged");
        left[i] = 1 - sum;
      }
      Object.assign(length, { codes, left });
    }
    require(reader.left === 0, "longer than it says");
  }

  /**
   * Mixes what the model says of the next word with what is known of the words before it.
   *
   * @param {Float64Array} probabilities the model's, of each entry; changed in place
   * @param {number[]} ids of the begin token and all finished words
   */
  mix(probabilities, ids) {
    this.#lengths.forEach(({ starts, words, codes, left }, place) => {
      const node = this.#find(ids.slice(-place - 1), place + 1);
      if (node < 0 || starts[node] === starts[node + 1]) return;
      for (let id = 0; id < probabilities.length; id++) probabilities[id] *= left[node];
      for (let at = starts[node]; at < starts[node + 1]; at++) probabilities[words[at]] += Q[codes[at]];
    });
  }

  // The number of a sequence of words among those of its length; -1 if it is not there.
  #find(ids, length) {
    if (ids.length < length) return -1;
    let [node, ...rest] = ids;
    for (const [place, id] of rest.entries()) {
      const { starts, words } = this.#lengths[place];
      let first = starts[node];
      let last = starts[node + 1];
      while (first < last) {
        const middle = (first + last) >>> 1;
        if (words[middle] < id) first = middle + 1;
        else last = middle;
      }
      if (first === starts[node + 1] || words[first] !== id) return -1;
      node = first;
    }
    return node;
  }
}

class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    require(bytes.length <= MOST_BYTES, `${bytes.length} bytes`);
    this.#bytes = bytes;
  }

  get left() {
    return this.#bytes.length - this.#at;
  }

  /** Returns numbers of so many bytes each, little endian on any machine. */
  numbers(count, width) {
    require(count * width <= this.left, "shorter than it says");
    const from = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, count * width);
    this.#at += count * width;
    const read = { 1: "getUint8", 2: "getUint16", 4: "getUint32" }[width];
    const kind = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[width];
    return kind.from({ length: count }, (_, i) => from[read](i * width, true));
  }
}

function require(holds, what) {
  if (!holds) throw new Error(`ngrams.bin: ${what}; the package is damaged`);
}
