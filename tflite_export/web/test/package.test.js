import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PhonePackage } from "../page/phone_package.js";
import { packageUnderTest } from "./settings.js";

const content = new Uint8Array(readFileSync(join(packageUnderTest(), "manifest.json")));

/** Opens a package with a manifest of these bytes. */
async function opened(bytes) {
  const { fetch } = globalThis;
  globalThis.fetch = async () => new Response(bytes);
  try {
    return await PhonePackage.open("package/");
  } finally {
    globalThis.fetch = fetch;
  }
}

test("a manifest is read as it was written, and refused with one digit changed or cut", async () => {
  const { model } = (await opened(content)).manifest;
  assert.ok(model.vocabulary > 4);
  const isDigit = (byte) => byte >= 0x30 && byte <= 0x39;
  const places = [...content.keys()].filter((place) => isDigit(content[place]) && !(place % 37));
  assert.ok(places.length > 10);
  for (const place of places) {
    const changed = content.slice();
    changed[place] = changed[place] === 0x31 ? 0x32 : 0x31;
    // The first digit of the version is looked at before.
    await assert.rejects(opened(changed), /damaged|this page reads/, `byte ${place}`);
  }
  await assert.rejects(opened(new Uint8Array([...content, 0x20])), /damaged/);
  await assert.rejects(opened(content.subarray(0, content.length / 2)), SyntaxError);
  await assert.rejects(opened(new TextEncoder().encode('{"format": {}}')));
});
