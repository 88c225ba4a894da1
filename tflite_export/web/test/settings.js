// What a test is given: a package, and a Chromium. Run by itself, it checks that they are there.

import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { checkPackage } from "../serve.js";

/** @returns {string} the directory of the package under test */
export function packageUnderTest() {
  const latest = fileURLToPath(new URL("../../../runs/latest/export", import.meta.url));
  const directory = process.env.PACKAGE || latest;
  orExit(() => checkPackage(directory));
  return directory;
}

/** @returns {string} the path of Chromium */
export function chromiumPath() {
  const path = process.env.CHROMIUM || "/usr/bin/chromium";
  return orExit(() => {
    if (existsSync(path)) return path;
    throw new Error(`${path}: no Chromium; apt-get install chromium, or give CHROMIUM=path`);
  });
}

// A line instead of a stack: it is not a test that failed.
function orExit(ask) {
  try {
    return ask();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  packageUnderTest();
  chromiumPath();
}
