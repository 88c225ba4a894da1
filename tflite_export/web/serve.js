// Serves the page, LiteRT's files and a phone package on the loopback interface, to who asks for it
// by the name of this machine: a page of elsewhere whose name has come to mean 127.0.0.1 does not.
//
//   node serve.js PACKAGE [PORT]

import { constants, existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const MEGABYTE = 1 << 20;
// Of a package, and how large they may be.
const PACKAGE_FILES = {
  "manifest.json": 4 * MEGABYTE,
  "ngrams.bin": 64 * MEGABYTE,
  "vocabulary.txt": 64 * MEGABYTE,
  "spellings.json": 64 * MEGABYTE,
  "characters.json": 16 * MEGABYTE,
  "golden.json": 16 * MEGABYTE,
  "model_infer.tflite": 1024 * MEGABYTE,
  "model_train.tflite": 1024 * MEGABYTE,
};
const MOST_OF_OURS = 64 * MEGABYTE;
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};
const HEADERS = {
  // The browser itself then refuses every address but this one.
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  // What frame-ancestors says, to browsers that do not know it.
  "X-Frame-Options": "DENY",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-cache",
};

/** What a user can put right: told in one line, without a stack. */
export class UsageError extends Error {}

/**
 * Starts the server.
 *
 * @param {string} packageDirectory what `fedkeyboard export` wrote
 * @param {number} port 0 takes a free one
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function serve(packageDirectory, port) {
  const files = servedFiles(packageDirectory);
  const server = createServer((request, response) => {
    answer(files, server.address().port, request, response);
  });
  await new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        error.code === "EADDRINUSE"
          ? new UsageError(`port ${port} is taken; choose another: PORT=${port + 1}`)
          : new UsageError(`cannot listen on port ${port}: ${error.message}`),
      ),
    );
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

/** Refuses a directory that is no package. */
export function checkPackage(directory) {
  if (!existsSync(join(directory, "manifest.json"))) {
    throw new UsageError(
      `${directory}: no phone package; write one with \`make simulate\` or \`make export\`, ` +
        "or give PACKAGE=dir",
    );
  }
  const root = realpathSync(directory);
  for (const name of Object.keys(PACKAGE_FILES)) {
    const path = join(directory, name);
    if (!existsSync(path)) {
      throw new UsageError(`${directory}: has no ${name}; export it again with \`make export\``);
    }
    if (!within(root, realpathSync(path)) || !statSync(path).isFile()) {
      throw new UsageError(`${path}: not a file of the package; export it again`);
    }
  }
}

function within(root, path) {
  return path.startsWith(root + sep);
}

// A table of all that is served, made once: a path that is not in it does not exist, so that none
// leads out of these directories.
function servedFiles(packageDirectory) {
  checkPackage(packageDirectory);
  const files = new Map();
  const add = (address, root, name, atMost = MOST_OF_OURS) => {
    files.set(address, { root: realpathSync(root), name, atMost });
  };
  const page = join(HERE, "page");
  for (const name of readdirSync(page)) add(`/${name}`, page, name);
  add("/", page, "index.html");
  for (const [name, atMost] of Object.entries(PACKAGE_FILES)) {
    add(`/package/${name}`, packageDirectory, name, atMost);
  }

  const litert = join(HERE, "node_modules", "@litertjs");
  if (!existsSync(litert)) {
    throw new UsageError(`LiteRT is not installed; run \`npm ci\` in ${HERE}`);
  }
  add("/litert/core.js", join(litert, "core", "dist"), "index.js");
  add("/litert/wasm-utils.js", join(litert, "wasm-utils", "dist"), "index.js");
  const wasm = join(litert, "core", "wasm");
  for (const name of readdirSync(wasm)) add(`/litert/wasm/${name}`, wasm, name);
  return files;
}

async function answer(files, port, request, response) {
  const refuse = (status) => response.writeHead(status, HEADERS).end();
  if (!isOurs(request.headers.host, port)) return refuse(421);
  const path = request.url.split("?")[0];
  const file = files.get(path);
  if (!file) return refuse(404);
  if (!["GET", "HEAD"].includes(request.method)) return refuse(405);
  let opened;
  try {
    opened = await openFile(file);
  } catch {
    // What was there when the server began is gone, or is something else now.
    return refuse(500);
  }
  const { handle, size } = opened;
  const type = TYPES[extname(file.name)] ?? "application/octet-stream";
  response.writeHead(200, { ...HEADERS, "Content-Type": type });
  if (request.method === "HEAD" || !size) {
    await handle.close();
    return response.end();
  }
  if (path === "/litert/core.js") {
    // A worker has no import map; a bundler would do the same.
    const body = await handle.readFile("utf8").finally(() => handle.close());
    return response.end(body.replace('"@litertjs/wasm-utils"', '"./wasm-utils.js"'));
  }
  // In pieces: who reads slowly, or not at all, holds one of them and not the file. It closes the file.
  await pipeline(handle.createReadStream({ end: size - 1 }), response).catch(() => response.destroy());
}

/** Whether a Host header names this machine; the port may be left out if it is HTTP's own. */
export function isOurs(host, port) {
  const names = ["127.0.0.1", "localhost"];
  const ours = names.map((name) => `${name}:${port}`).concat(port === 80 ? names : []);
  return ours.includes(host?.toLowerCase());
}

/** Opens a regular file of its directory, of a bounded size: no link out of it, device or pipe. */
async function openFile({ root, name, atMost }) {
  const path = await realpath(join(root, name));
  if (!within(root, path)) throw new Error(`${name}: a link out of ${root}`);
  // Without O_NONBLOCK, to open a pipe waits for who writes into it.
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  const handle = await open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  try {
    const status = await handle.stat();
    if (!status.isFile() || status.size > atMost) throw new Error(`${name}: no file, or too large`);
    return { handle, size: status.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

// Node's own name for this file leads through no link.
if (import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  try {
    const [directory = "../../runs/latest/export", port = "8000"] = process.argv.slice(2);
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) {
      throw new UsageError(`PORT=${port}: not a port`);
    }
    const { url, close } = await serve(directory, Number(port));
    console.log(`keyboard at ${url} (Ctrl-C stops it)`);
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, close);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
