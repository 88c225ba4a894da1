// The server alone, without a browser: node --test test/serve.test.js

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { UsageError, isOurs, serve } from "../serve.js";

const FILES = [
  "manifest.json",
  "vocabulary.txt",
  "ngrams.bin",
  "spellings.json",
  "characters.json",
  "golden.json",
  "model_infer.tflite",
  "model_train.tflite",
];

let place;
let server;
let port;
before(async () => {
  place = aPackage();
  server = await serve(place, 0);
  port = Number(new URL(server.url).port);
});
after(async () => {
  await server.close();
  rmSync(place, { recursive: true });
});

/** Something that looks like a package to the server, which does not look into the files. */
function aPackage() {
  const directory = mkdtempSync(join(tmpdir(), "package-"));
  for (const name of FILES) writeFileSync(join(directory, name), `of ${name}`);
  return directory;
}

/** fetch() does not let the Host header be chosen, and tidies up the path. */
function ask(path, { host = `127.0.0.1:${port}`, method = "GET" } = {}) {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port, path, method, headers: { host }, timeout: 5000 },
      (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => {
          const { statusCode: status, headers } = response;
          resolve({ status, headers, body: Buffer.concat(parts).toString() });
        });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`${path}: no answer`)));
    asked.on("error", reject);
    asked.end();
  });
}

test("answers to its own name alone, whatever a name has come to mean", async () => {
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`]) {
    assert.equal((await ask("/package/manifest.json", { host })).status, 200, host);
  }
  for (const host of [
    `evil.example:${port}`,
    "evil.example",
    "127.0.0.1",
    `127.0.0.1:${port + 1}`,
    `localhost.evil.example:${port}`,
    `127.0.0.1:${port}.evil.example`,
    `0.0.0.0:${port}`,
  ]) {
    const { status, body } = await ask("/package/manifest.json", { host });
    assert.deepEqual([status, body], [421, ""], host);
  }
});

test("no other page may frame it or use its files", async () => {
  for (const path of ["/", "/package/manifest.json", "/nothing"]) {
    const { headers } = await ask(path);
    assert.match(headers["content-security-policy"], /frame-ancestors 'none'/, path);
    assert.equal(headers["x-frame-options"], "DENY");
    assert.equal(headers["cross-origin-resource-policy"], "same-origin");
    assert.equal(headers["x-content-type-options"], "nosniff");
  }
});

test("serves its own files and no others, to GET and HEAD", async () => {
  for (const name of FILES) assert.equal((await ask(`/package/${name}`)).body, `of ${name}`);
  const head = await ask("/package/golden.json", { method: "HEAD" });
  assert.deepEqual([head.status, head.body], [200, ""]);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
    assert.equal((await ask("/package/manifest.json", { method })).status, 405, method);
  }
  for (const path of [
    "/serve.js",
    "/package/",
    "/package",
    "/package/../../serve.js",
    "/package/%2e%2e/manifest.json",
    "/..%2f..%2f..%2fREADME.md",
    "/page.js/..%2fserve.js",
    "//etc/passwd",
    "/__proto__",
  ]) {
    assert.equal((await ask(path)).status, 404, path);
  }
});

test("a link out of the package, a device or a pipe is no package", async () => {
  const outside = join(place, "..", `outside-${process.pid}`);
  writeFileSync(outside, "secret");
  for (const make of [
    (path) => symlinkSync(outside, path),
    (path) => symlinkSync("/dev/zero", path),
    (path) => symlinkSync("/etc/hostname", path),
    (path) => execFileSync("mkfifo", [path]),
  ]) {
    const directory = aPackage();
    rmSync(join(directory, "golden.json"));
    make(join(directory, "golden.json"));
    await assert.rejects(serve(directory, 0), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /golden\.json: not a file of the package/);
      return true;
    });
    // Nor one that appears while the page is served; the others are still served meanwhile.
    const other = aPackage();
    const begun = await serve(other, 0);
    rmSync(join(other, "golden.json"));
    make(join(other, "golden.json"));
    const response = await fetch(`${begun.url}package/golden.json`, {
      signal: AbortSignal.timeout(5000),
    });
    assert.deepEqual([response.status, await response.text()], [500, ""]);
    assert.equal((await fetch(`${begun.url}package/vocabulary.txt`)).status, 200);
    await begun.close();
    for (const made of [directory, other]) rmSync(made, { recursive: true });
  }
  rmSync(outside);
});

test("a link within the package, and to the package, is served", async () => {
  const directory = aPackage();
  writeFileSync(join(directory, "other.json"), "linked");
  rmSync(join(directory, "golden.json"));
  symlinkSync("other.json", join(directory, "golden.json"));
  const link = `${directory}-link`;
  symlinkSync(directory, link);
  const begun = await serve(link, 0);
  assert.equal(await (await fetch(`${begun.url}package/golden.json`)).text(), "linked");
  await begun.close();
  for (const made of [link, directory]) rmSync(made, { recursive: true });
});

test("a file that is larger than such a file can be is not read", async () => {
  const directory = aPackage();
  const begun = await serve(directory, 0);
  execFileSync("truncate", ["-s", "5M", join(directory, "manifest.json")]);
  assert.equal((await fetch(`${begun.url}package/manifest.json`)).status, 500);
  await begun.close();
  rmSync(directory, { recursive: true });
});

test("the port may be left out if it is HTTP's own", () => {
  for (const [host, port, ours] of [
    ["localhost", 80, true],
    ["127.0.0.1:80", 80, true],
    ["LOCALHOST:8000", 8000, true],
    ["localhost", 8000, false],
    ["localhost:80", 8000, false],
    ["evil.example", 80, false],
    [undefined, 80, false],
  ]) {
    assert.equal(isOurs(host, port), ours, `${host} at ${port}`);
  }
});

test("who does not read holds no file in memory", async () => {
  const directory = aPackage();
  const begun = await serve(directory, 0);
  const at = Number(new URL(begun.url).port);
  const file = join(directory, "model_train.tflite");
  execFileSync("truncate", ["-s", "200M", file]);
  const sockets = [];
  try {
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 8; i++) {
      const socket = connect(at, "127.0.0.1");
      socket.pause();
      socket.write(`GET /package/model_train.tflite HTTP/1.1\r\nHost: localhost:${at}\r\n\r\n`);
      sockets.push(socket);
    }
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(process.memoryUsage().rss - before < 100e6);
  } finally {
    for (const socket of sockets) socket.destroy();
    await begun.close();
    rmSync(directory, { recursive: true });
  }
});

test("it starts by a name that leads through a link", () => {
  const directory = aPackage();
  const link = `${directory}-link`;
  symlinkSync(fileURLToPath(new URL("..", import.meta.url)), link);
  try {
    const server = spawnSync(process.execPath, [join(link, "serve.js"), directory, "99999"]);
    assert.equal(server.status, 1);
    assert.match(server.stderr.toString(), /not a port/);
  } finally {
    rmSync(link);
    rmSync(directory, { recursive: true });
  }
});
