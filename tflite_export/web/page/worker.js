// A keyboard off the main thread, where a training step would hold up key presses.
//
// A classic worker, since LiteRT loads its WebAssembly with importScripts; hence import().

const keyboard = import("./keyboard.js").then(({ Keyboard }) => new Keyboard());

onmessage = async ({ data: { id, method, args } }) => {
  try {
    postMessage({ id, result: await (await keyboard)[method](...args) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};
