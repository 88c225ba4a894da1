// Words and their ids, as vocabulary.txt has them, and how they are shown.

import { Words } from "./words.js";

export const PAD = 0;
export const BEGIN = 1;
export const END = 2;
export const UNKNOWN = 3;
const SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"];

export class Vocabulary {
  #ids;

  /**
   * Opens what a package says of words.
   *
   * @param {import("./phone_package.js").PhonePackage} phonePackage
   * @returns {Promise<Vocabulary>}
   */
  static async open(phonePackage) {
    return new Vocabulary(
      await phonePackage.text("vocabulary.txt"),
      JSON.parse(await phonePackage.text("spellings.json")),
      JSON.parse(await phonePackage.text("characters.json")),
    );
  }

  /**
   * @param {string} text of vocabulary.txt
   * @param {Record<string, string>} spellings of spellings.json
   * @param {object} characters of characters.json
   */
  constructor(text, spellings, characters) {
    this.rules = new Words(characters);
    this.words = text.replace(/\n$/, "").split("\n");
    if (SPECIAL.some((entry, i) => this.words[i] !== entry)) {
      throw new Error(`vocabulary.txt: its first lines are not ${SPECIAL.join(", ")}`);
    }
    this.#ids = new Map(this.words.map((word, id) => [word, id]));
    /** How each word is shown. */
    this.shown = this.words.map((word) => (Object.hasOwn(spellings, word) ? spellings[word] : word));
  }

  /**
   * @param {string[]} words as `rules` make them
   * @returns {number[]}
   */
  encode(words) {
    return words.map((word) => this.#ids.get(word) ?? UNKNOWN);
  }

  /**
   * Returns the likeliest words that begin with some letters.
   *
   * @param {string} letters
   * @param {Float64Array} scores of each entry
   * @param {number} count at most so many
   * @returns {number[]} ids, best first; never of special entries
   */
  completions(letters, scores, count) {
    const best = [];
    for (let id = SPECIAL.length; id < this.words.length; id++) {
      if (best.length === count && scores[id] <= scores[best[count - 1]]) continue;
      if (!this.words[id].startsWith(letters)) continue;
      best.push(id);
      // Stable, so that of equals the lower id stays first, as in the exported file.
      best.sort((a, b) => scores[b] - scores[a]);
      best.length = Math.min(best.length, count);
    }
    return best;
  }
}
