// Learning on the device, by the signatures of model_train.tflite.

import { BEGIN, END, PAD } from "./vocabulary.js";

/** What docs/accuracy.md found. */
export const SETTINGS = { learning_rate: 0.1, clipping_norm: 1, batch_size: 16, epochs: 3 };

const ANYTHING = { anything: Float32Array.of(0) };

/**
 * Returns a row for each text that has a word: begin, its words, end, cut and padded. A text of more
 * words than a row has is several: each takes as many of its sentences as fit, and a sentence that
 * fits in none is cut where the row is full.
 *
 * @param {string[]} texts
 * @param {import("./vocabulary.js").Vocabulary} vocabulary
 * @param {number} length T
 * @returns {number[][]} of T + 1 ids
 */
export function rows(texts, vocabulary, length) {
  return texts
    .flatMap((text) => packed(vocabulary.rules.bySentence(text), length))
    .map((words) => {
      const row = [BEGIN, ...vocabulary.encode(words), END].slice(0, length + 1);
      return [...row, ...Array(length + 1 - row.length).fill(PAD)];
    });
}

function packed(sentences, length) {
  const rows = [];
  for (const sentence of sentences) {
    for (let first = 0; first < sentence.length; first += length) {
      const piece = sentence.slice(first, first + length);
      const room = rows.length && rows.at(-1).length + piece.length <= length;
      if (room) rows.at(-1).push(...piece);
      else rows.push(piece);
    }
  }
  return rows;
}

export class Trainer {
  #model;

  /** @param {import("./runtime.js").LiteModel} model of model_train.tflite */
  constructor(model) {
    this.#model = model;
  }

  /**
   * Takes one step of SGD.
   *
   * @param {number[][]} batch of `rows`
   * @param {{learning_rate: number, clipping_norm: number}} settings
   * @returns {Promise<number>} the loss before it
   */
  async train(batch, { learning_rate, clipping_norm }) {
    const { loss } = await this.#model.run("train", {
      ...inputs(batch),
      learning_rate: Float32Array.of(learning_rate),
      clipping_norm: Float32Array.of(clipping_norm),
    });
    return loss[0];
  }

  /**
   * Trains batch after batch, epoch after epoch.
   *
   * @returns {Promise<number[]>} each batch's loss before its step
   */
  async fit(all, settings = SETTINGS) {
    const losses = [];
    for (let epoch = 0; epoch < settings.epochs; epoch++) {
      for (let first = 0; first < all.length; first += settings.batch_size) {
        losses.push(await this.train(all.slice(first, first + settings.batch_size), settings));
      }
    }
    return losses;
  }

  /** @returns {Promise<{loss: number, words: number, top1_hits: number, top3_hits: number}>} */
  async evaluate(batch) {
    const said = await this.#model.run("evaluate", inputs(batch));
    return Object.fromEntries(Object.entries(said).map(([name, [value]]) => [name, value]));
  }

  /** @returns {Promise<Record<string, Float32Array>>} a copy of the weights, by name */
  weights() {
    return this.#model.run("get_weights", ANYTHING);
  }

  /** @param {Record<string, Float32Array>} weights */
  async setWeights(weights) {
    await this.#model.run("set_weights", weights);
  }

  /** Goes back to the weights of the file. */
  async reset() {
    await this.#model.run("reset", ANYTHING);
  }
}

function inputs(batch) {
  return {
    sentences: Int32Array.from(batch.flat()),
    mask: Float32Array.from(batch.flatMap((row) => row.slice(1).map((id) => Number(id !== PAD)))),
  };
}
