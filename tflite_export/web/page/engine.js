// Suggestions while somebody types: a step of the model for each finished word, its state kept.

import { BEGIN } from "./vocabulary.js";

const SUGGESTIONS = 3;

export class Engine {
  #model;
  #vocabulary;
  #start;
  #newest = 0;
  #turn = Promise.resolve();
  /** After the begin token and each finished word: what the model said, and its state. */
  #said = [];

  /**
   * @param {import("./runtime.js").LiteModel} model
   * @param {import("./vocabulary.js").Vocabulary} vocabulary
   * @param {{embedding: number, units: number}} sizes of the manifest's `model`
   */
  constructor(model, vocabulary, { embedding, units }) {
    this.#model = model;
    this.#vocabulary = vocabulary;
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
    for (const id of ids.slice(said.length)) {
      const before = said.at(-1) ?? this.#start;
      said.push({ id, before, ...(await this.#run("step", id, before)) });
      if (!isNewest()) return null;
    }
    const last = said.at(-1);
    if (!current) {
      return this.#named([...last.suggestions], [...last.probabilities]);
    }
    // Only now, since most words need no completion before they are accepted or finished.
    last.scores ??= (await this.#run("score", last.id, last.before)).log_probabilities;
    if (!isNewest()) return null;
    const best = this.#vocabulary.completions(current, last.scores, SUGGESTIONS);
    return this.#named(
      best,
      best.map((id) => Math.exp(last.scores[id])),
    );
  }

  #run(signature, id, { output, cell }) {
    return this.#model.run(signature, { word: Int32Array.of(id), output, cell });
  }

  #named(ids, probabilities) {
    return ids.map((id, i) => ({
      word: this.#vocabulary.shown[id],
      probability: probabilities[i],
    }));
  }
}
