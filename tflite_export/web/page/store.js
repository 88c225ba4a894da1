// One personal checkpoint in IndexedDB, which no other origin reads.

const DATABASE = "fedkeyboard";
const STORE = "personal";
const KEY = "checkpoint";

/** @returns {Promise<Uint8Array | undefined>} */
export function load() {
  return withStore("readonly", (store) => store.get(KEY));
}

/** @param {Uint8Array} bytes */
export function save(bytes) {
  return withStore("readwrite", (store) => store.put(bytes, KEY));
}

export function remove() {
  return withStore("readwrite", (store) => store.delete(KEY));
}

async function withStore(mode, ask) {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const result = await settled(ask(transaction.objectStore(STORE)));
    // A put is only kept once its transaction is complete.
    if (mode === "readwrite") {
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
      });
    }
    return result;
  } finally {
    database.close();
  }
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
