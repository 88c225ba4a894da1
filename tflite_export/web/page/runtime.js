// LiteRT in a page or a worker: opens files and runs their signatures, one at a time.

import { Tensor, loadAndCompile, loadLiteRt } from "./litert/core.js";

const ARRAYS = { float32: Float32Array, int32: Int32Array };

let liteRt;
let queue = Promise.resolve();

/**
 * Opens a file.
 *
 * @param {Uint8Array} bytes of a .tflite file
 * @returns {Promise<LiteModel>}
 */
export async function openModel(bytes) {
  liteRt ??= load();
  await liteRt;
  return new LiteModel(await inTurn(() => loadAndCompile(bytes, { accelerator: "wasm" })));
}

/** Returns the bytes that LiteRT's memory has grown to. */
export async function memory() {
  return (await liteRt).liteRtWasm.HEAPU8.length;
}

/** An open file. Inputs and outputs go by name: their order in the file means nothing. */
export class LiteModel {
  #model;

  constructor(model) {
    this.#model = model;
  }

  /**
   * Runs a signature once all that was asked for earlier has run.
   *
   * @param {string} signature
   * @param {Record<string, Float32Array | Int32Array>} inputs
   * @returns {Promise<Record<string, Float32Array | Int32Array>>} copies of the outputs
   */
  run(signature, inputs) {
    return inTurn(async () => {
      const tensors = {};
      let outputs = {};
      try {
        for (const details of this.#model.signatures[signature].getInputDetails()) {
          tensors[details.name] = tensor(details, inputs[details.name]);
        }
        outputs = await this.#model.run(signature, tensors);
        return Object.fromEntries(
          Object.entries(outputs).map(([name, output]) => [name, output.toTypedArray()]),
        );
      } finally {
        // LiteRT's memory has no garbage collector.
        for (const used of [...Object.values(tensors), ...Object.values(outputs)]) used.delete();
      }
    });
  }

  close() {
    return inTurn(async () => this.#model.delete());
  }
}

async function load() {
  const directory = new URL("./litert/wasm/", import.meta.url).href;
  // In a worker LiteRT would look for its .wasm beside the worker.
  globalThis.Module = { locateFile: (name) => directory + name };
  const loaded = await loadLiteRt(directory);
  // LiteRT resizes inputs itself, but the check of @litertjs/core 2.5.3 before that takes the -1 of
  // "any number of sentences" for a size. `tensor` checks instead.
  loaded.liteRtWasm.checkTensorBufferCompatible = () => {};
  return loaded;
}

function tensor({ name, dtype, shape }, data) {
  if (!(data instanceof ARRAYS[dtype])) throw new Error(`${name}: not an array of ${dtype}`);
  const known = shape.reduce((product, size) => (size < 0 ? product : product * size), 1);
  const sizes = Array.from(shape, (size) => (size < 0 ? data.length / known : size));
  if (sizes.reduce((product, size) => product * size, 1) !== data.length || data.length % known) {
    throw new Error(`${name}: ${data.length} numbers are not of shape ${shape}`);
  }
  return new Tensor(data, sizes);
}

function inTurn(work) {
  const done = queue.then(nextTask).then(work);
  queue = done.catch(() => {});
  return done;
}

// LiteRT's own promises resolve without returning to the event loop: messages that came meanwhile,
// a newer key press among them, would wait for everything queued.
function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
