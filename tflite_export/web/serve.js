// Serves the page, LiteRT's files and a phone package on the loopback interface.
//
//   node serve.js PACKAGE [PORT]

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE_FILES = [
  "manifest.json",
  "vocabulary.txt",
  "spellings.json",
  "characters.json",
  "golden.json",
  "model_infer.tflite",
  "model_train.tflite",
];
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
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; base-uri 'none'; form-action 'none'",
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
  const server = createServer((request, response) => answer(files, request, response));
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
  const missing = PACKAGE_FILES.find((name) => !existsSync(join(directory, name)));
  if (missing) {
    throw new UsageError(`${directory}: has no ${missing}; export it again with \`make export\``);
  }
}

// A table of all that is served, made once: a path that is not in it does not exist, so that none
// leads out of these directories.
function servedFiles(packageDirectory) {
  checkPackage(packageDirectory);
  const files = new Map();
  const page = join(HERE, "page");
  for (const name of readdirSync(page)) files.set(`/${name}`, join(page, name));
  files.set("/", join(page, "index.html"));
  for (const name of PACKAGE_FILES) files.set(`/package/${name}`, join(packageDirectory, name));

  const litert = join(HERE, "node_modules", "@litertjs");
  if (!existsSync(litert)) {
    throw new UsageError(`LiteRT is not installed; run \`npm ci\` in ${HERE}`);
  }
  files.set("/litert/core.js", join(litert, "core", "dist", "index.js"));
  files.set("/litert/wasm-utils.js", join(litert, "wasm-utils", "dist", "index.js"));
  for (const name of readdirSync(join(litert, "core", "wasm"))) {
    files.set(`/litert/wasm/${name}`, join(litert, "core", "wasm", name));
  }
  return files;
}

function answer(files, request, response) {
  const path = request.url.split("?")[0];
  const file = files.get(path);
  if (!file || !["GET", "HEAD"].includes(request.method)) {
    response.writeHead(file ? 405 : 404, HEADERS).end();
    return;
  }
  let body;
  try {
    body = readFileSync(file);
  } catch (error) {
    response.writeHead(500, HEADERS).end(error.code);
    return;
  }
  if (path === "/litert/core.js") {
    // A worker has no import map; a bundler would do the same.
    body = body.toString().replace('"@litertjs/wasm-utils"', '"./wasm-utils.js"');
  }
  const type = TYPES[extname(file)] ?? "application/octet-stream";
  response.writeHead(200, { ...HEADERS, "Content-Type": type });
  response.end(request.method === "HEAD" ? undefined : body);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
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
