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
    const magic = String.fromCharCode(...reader.numbers(MAGIC.length, Uint8Array));
    require(magic === MAGIC, "not n-grams");
    const [entries, longest] = reader.numbers(2, Uint32Array);
    require(entries === vocabulary, `of ${entries} entries, not of ${vocabulary}`);
    require(longest >= 1 && longest <= LONGEST, `n-grams of ${longest} words`);
    const sizes = reader.numbers(longest - 1, Uint32Array);
    const Ids = vocabulary > 65_536 ? Uint32Array : Uint16Array;
    let shorter = vocabulary;
    for (const size of sizes) {
      const counts = reader.numbers(shorter, Ids);
      const words = reader.numbers(size, Ids);
      const starts = begins(counts, size);
      require(ascend(starts, words, vocabulary), "damaged");
      this.#lengths.push({ starts, words });
      shorter = size;
    }
    for (const length of this.#lengths) {
      const { starts, words } = length;
      const codes = reader.numbers(words.length, Uint8Array);
      const left = leaves(starts, codes);
      // What it is below 0 by is rounding.
      require(left.every((share) => share > -1e-9), "damaged");
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
      const end = starts[node + 1];
      for (let at = starts[node]; at < end; at++) probabilities[words[at]] += Q[codes[at]];
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

  /** Returns a copy of numbers; every processor that runs browsers is little endian. */
  numbers(count, Kind) {
    const size = count * Kind.BYTES_PER_ELEMENT;
    // Before there is an array of them.
    require(size <= this.left, "shorter than it says");
    const numbers = new Kind(count);
    new Uint8Array(numbers.buffer).set(this.#bytes.subarray(this.#at, this.#at + size));
    this.#at += size;
    return numbers;
  }
}

function require(holds, what) {
  if (!holds) throw new Error(`ngrams.bin: ${what}; the package is damaged`);
}

// What is asked of each number is asked in functions of their own: a browser compiles these while
// they run for the first time, which is the only one.

// Where the words below each sequence begin, and the end.
function begins(counts, size) {
  const starts = new Uint32Array(counts.length + 1);
  let sum = 0;
  for (let i = 0; i < counts.length; i++) starts[i + 1] = sum += counts[i];
  // One that did not fit is more than `size`.
  require(sum === size, "damaged");
  return starts;
}

// Whether the words below each sequence are entries, in their order.
function ascend(starts, words, vocabulary) {
  for (let i = 0; i + 1 < starts.length; i++) {
    let before = -1;
    for (let at = starts[i]; at < starts[i + 1]; at++) {
      if (words[at] <= before || words[at] >= vocabulary) return false;
      before = words[at];
    }
  }
  return true;
}

// What the words below each sequence leave of the model's probabilities.
function leaves(starts, codes) {
  const left = new Float64Array(starts.length - 1).fill(1);
  for (let i = 0; i < left.length; i++) {
    for (let at = starts[i]; at < starts[i + 1]; at++) left[i] -= Q[codes[at]];
  }
  return left;
}
