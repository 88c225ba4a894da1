// A keyboard without its keys: suggests from a package, and learns when it may.

import { Engine } from "./engine.js";
import { NGrams } from "./ngrams.js";
import { PhonePackage } from "./phone_package.js";
import { openModel } from "./runtime.js";
import * as store from "./store.js";
import { SETTINGS, Trainer, rows } from "./trainer.js";
import { combine, fits, readUpdate, writeUpdate } from "./update.js";
import { Vocabulary } from "./vocabulary.js";

export class Keyboard {
  #package;
  #vocabulary;
  #ngrams;
  #shared;
  #personal;
  #learns = false;
  #changes = Promise.resolve();
  // Between the pages that share a store.
  #forgotten = new BroadcastChannel("fedkeyboard.forget");

  constructor() {
    this.#forgotten.onmessage = () => this.#change(() => this.#reset());
  }

  /**
   * Opens what suggestions need.
   *
   * @param {string} base address of a package, ending with a slash
   * @returns {Promise<{manifest: object, characters: object}>} the manifest, and characters.json
   */
  async open(base) {
    this.#package = await PhonePackage.open(base);
    const { manifest } = this.#package;
    this.#vocabulary = await Vocabulary.open(this.#package);
    this.#ngrams = await NGrams.open(this.#package);
    const model = await openModel(await this.#package.bytes("model_infer.tflite"));
    this.#shared = new Engine(model, this.#vocabulary, this.#ngrams, manifest.model);
    return { manifest, characters: JSON.parse(await this.#package.text("characters.json")) };
  }

  /**
   * Switches learning on or off. When on, suggestions are those of the weights that learn.
   *
   * @param {boolean} learns
   * @returns {Promise<{sentences: number, stored: "none" | "same" | "migrates" | "refused"}>} how
   *   many sentences were learned from so far, and what became of a stored checkpoint
   */
  setLearning(learns) {
    return this.#change(async () => {
      if (learns) this.#personal ??= await this.#openPersonal();
      this.#learns = learns;
      const { sentences = 0, stored = "none" } = this.#personal ?? {};
      return { sentences, stored };
    });
  }

  /** Suggests as `Engine.suggest` does. */
  suggest(text) {
    return (this.#learns ? this.#personal.engine : this.#shared).suggest(text);
  }

  /**
   * Learns from a message, if it may, and keeps what it learned.
   *
   * @param {string} text
   * @returns {Promise<{sentences: number, losses: number[]}>} how many it learned from so far; the
   *   loss before each step, none if it did not learn
   * @throws {Error} if training has diverged; the weights are then as they were
   */
  learn(text) {
    return this.#change(async () => {
      const row = rows([text], this.#vocabulary, this.#package.manifest.model.length);
      const personal = this.#personal;
      if (!this.#learns || !row.length) return { sentences: personal?.sentences ?? 0, losses: [] };
      const before = await personal.trainer.weights();
      const losses = await personal.trainer.fit(row);
      const difference = combine(await personal.trainer.weights(), personal.initial, -1);
      if (!Object.values(difference).every((values) => values.every(Number.isFinite))) {
        await personal.trainer.setWeights(before);
        throw new Error("not learned: training has diverged");
      }
      personal.engine.clear();
      personal.sentences += row.length;
      personal.steps += losses.length;
      personal.lossOfSteps += losses.reduce((sum, loss) => sum + loss, 0);
      await store.save(this.#checkpoint(difference));
      personal.stored = "same";
      return { sentences: personal.sentences, losses };
    });
  }

  /** Forgets what was learned, here, in other pages and in the store. */
  forget() {
    return this.#change(async () => {
      await store.remove();
      this.#forgotten.postMessage(null);
      await this.#reset();
    });
  }

  async #reset() {
    const personal = this.#personal;
    if (!personal) return;
    await personal.trainer.reset();
    personal.engine.clear();
    Object.assign(personal, { sentences: 0, steps: 0, lossOfSteps: 0, stored: "none" });
  }

  // One change of the weights at a time.
  #change(work) {
    const done = this.#changes.then(work);
    this.#changes = done.catch(() => {});
    return done;
  }

  async #openPersonal() {
    const model = await openModel(await this.#package.bytes("model_train.tflite"));
    const { manifest } = this.#package;
    const trainer = new Trainer(model);
    const personal = {
      trainer,
      engine: new Engine(model, this.#vocabulary, this.#ngrams, manifest.model),
      initial: await trainer.weights(),
      sentences: 0,
      steps: 0,
      lossOfSteps: 0,
      stored: "none",
    };
    const bytes = await store.load();
    if (!bytes) return personal;
    try {
      const { metadata, difference } = await readUpdate(bytes, this.#package.weightShapes);
      personal.stored = fits(metadata, manifest);
      if (personal.stored !== "refused") {
        await trainer.setWeights(combine(personal.initial, difference));
        personal.sentences = metadata.sentences;
        personal.steps = metadata.steps;
        personal.lossOfSteps = (metadata.loss ?? 0) * metadata.steps;
      }
    } catch {
      // Of another size, or damaged. It stays until something new is learned, or "forget".
      personal.stored = "refused";
    }
    return personal;
  }

  #checkpoint(difference) {
    const { sentences, steps, lossOfSteps } = this.#personal;
    const { manifest, weightShapes } = this.#package;
    const metadata = {
      purpose: "personal",
      weights_sha256: manifest.model.weights_sha256,
      vocabulary_sha256: manifest.files["vocabulary.txt"].sha256,
      weight: 0,
      sentences,
      steps,
      loss: lossOfSteps / steps,
      ...SETTINGS,
    };
    return writeUpdate(metadata, difference, weightShapes);
  }
}
