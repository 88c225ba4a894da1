// The page's end of worker.js.

/**
 * @returns {import("./keyboard.js").Keyboard} one in a worker
 */
export function remoteKeyboard() {
  const worker = new Worker(new URL("./worker.js", import.meta.url));
  const waiting = new Map();
  let last = 0;
  worker.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  };
  worker.onerror = (event) => {
    const error = new Error(event.message || "the worker does not start");
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const call = (method, args) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      worker.postMessage({ id: last, method, args });
    });
  return Object.fromEntries(
    ["open", "setLearning", "suggest", "learn", "forget"].map((method) => [
      method,
      (...args) => call(method, args),
    ]),
  );
}
