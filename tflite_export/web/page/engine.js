// Suggestions while somebody types: a step of the model for each finished word, its state kept.

import { BEGIN } from "./vocabulary.js";

const SUGGESTIONS = 3;

export class Engine {
  #model;
  #vocabulary;
  #ngrams;
  #start;
  #newest = 0;
  #turn = Promise.resolve();
  /** After the begin token and each finished word: what is suggested, and the model's state. */
  #said = [];
  /** The probabilities of each entry after the newest of these. */
  #scored = null;

  /**
   * @param {import("./runtime.js").LiteModel} model
   * @param {import("./vocabulary.js").Vocabulary} vocabulary
   * @param {import("./ngrams.js").NGrams} ngrams
   * @param {{embedding: number, units: number}} sizes of the manifest's `model`
   */
  constructor(model, vocabulary, ngrams, { embedding, units }) {
    this.#model = model;
    this.#vocabulary = vocabulary;
    this.#ngrams = ngrams;
    this.#start = { output: new Float32Array(embedding), cell: new Float32Array(units) };
  }

  /**
   * Suggests words: the next one after a space, the rest of the one being typed after a letter.
   *
   * @param {string} text what stands before the caret
   * @returns {Promise<{word: string, probability: number}[] | null>} best first, at most three;
   *   null if a newer request or `clear` came meanwhile
   */
  suggest(text) {
    const request = ++this.#newest;
    const isNewest = () => request === this.#newest;
    // One after the other, since they share what was said; all but the newest pass at once.
    const answer = this.#turn.then(() => (isNewest() ? this.#answer(text, isNewest) : null));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  /** Forgets what was computed: the weights have changed. */
  clear() {
    this.#newest++;
    this.#said = [];
  }

  async #answer(text, isNewest) {
    const { finished, current } = this.#vocabulary.rules.split(text);
    const ids = [BEGIN, ...this.#vocabulary.encode(finished)];
    const said = this.#said;
    const differs = ids.findIndex((id, i) => said[i]?.id !== id);
    said.length = differs < 0 ? ids.length : differs;
    while (said.length < ids.length) {
      const before = said.at(-1) ?? this.#start;
      const id = ids[said.length];
      const { state, probabilities } = await this.#read(id, before, ids.slice(0, said.length + 1));
      const best = this.#vocabulary.completions("", probabilities, SUGGESTIONS);
      const step = { id, before, ...state, best: best.map((id) => [id, probabilities[id]]) };
      said.push(step);
      this.#scored = { step, probabilities };
      if (!isNewest()) return null;
    }
    const last = said.at(-1);
    if (!current) return this.#named(last.best);
    // Only the newest word's are kept: a word taken back and half of another typed is rare.
    if (this.#scored?.step !== last) {
      const { probabilities } = await this.#read(last.id, last.before, ids);
      this.#scored = { step: last, probabilities };
      if (!isNewest()) return null;
    }
    const { probabilities } = this.#scored;
    const best = this.#vocabulary.completions(current, probabilities, SUGGESTIONS);
    return this.#named(best.map((id) => [id, probabilities[id]]));
  }

  // The state after a word, and the probabilities of what comes next after all `ids`.
  async #read(id, { output, cell }, ids) {
    const { log_probabilities, ...state } = await this.#model.run("score", {
      word: Int32Array.of(id),
      output,
      cell,
    });
    const probabilities = Float64Array.from(log_probabilities);
    // Given Math.exp, `from` takes several times as long.
    probabilities.forEach((logarithm, id) => {
      probabilities[id] = Math.exp(logarithm);
    });
    this.#ngrams.mix(probabilities, ids);
    return { state, probabilities };
  }

  #named(best) {
    return best.map(([id, probability]) => ({ word: this.#vocabulary.shown[id], probability }));
  }
}
