// Measures the keyboard in headless Chromium: node test/measure.js

import { readFileSync, statSync } from "node:fs";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { openKeyboard, startBrowser } from "./browser.js";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const chromium = await startBrowser();
try {
  const load = loadavg()[0].toFixed(1);
  console.log(`Chromium ${chromium.browser.version()}, load of the machine before: ${load}`);

  const wasm = statSync(`${WEB}node_modules/@litertjs/core/wasm/litert_wasm_internal.wasm`).size;
  console.log(`LiteRT's .wasm: ${mb(wasm)}`);

  const opened = [];
  for (let i = 0; i < 5; i++) {
    const page = await chromium.newPage();
    await openKeyboard(page, chromium.url);
    opened.push(await page.evaluate(() => performance.now()));
    await page.context().close();
  }
  tell("open the page → first suggestions", opened);

  const page = await chromium.newPage();
  await page.goto(`${chromium.url}icon.svg`);
  const blank = await rendererMemory();
  await openKeyboard(page, chromium.url);
  await collectGarbage(page);
  const suggesting = await rendererMemory();
  await page.locator("#learn").check();
  await page.getByText("Ready to learn").waitFor();
  await page.locator("#text").fill("see you at home");
  await page.locator("#text").press("Enter");
  await page.locator("#messages small").waitFor();
  await collectGarbage(page);
  const learning = await rendererMemory();
  console.log(`memory of the page's process (PSS): ${mb(blank)} without the keyboard,`);
  console.log(`  ${mb(suggesting)} with it, ${mb(learning)} once it has learned`);
  await page.context().close();

  await inFreshPage(async () => {
    const { remoteKeyboard } = await import("/remote.js");
    const keyboard = remoteKeyboard();
    await keyboard.open("/package/");
    const timed = async (work) => {
      const start = performance.now();
      await work();
      return performance.now() - start;
    };
    const sentence = "i will tell you all about it when we see each other at home".split(" ");
    const type = async () => {
      const times = { word: [], letter: [], learn: [] };
      for (let again = 0; again < 20; again++) {
        for (let i = 0; i < sentence.length; i++) {
          const before = sentence.slice(0, i).map((word) => `${word} `).join("");
          times.word.push(await timed(() => keyboard.suggest(before)));
          times.letter.push(await timed(() => keyboard.suggest(before + sentence[i][0])));
        }
      }
      return times;
    };
    const shared = await type();
    const opening = [await timed(() => keyboard.setLearning(true))];
    const personal = await type();
    for (let i = 0; i < 20; i++) {
      personal.learn.push(await timed(() => keyboard.learn("see you at home tonight")));
    }
    await keyboard.forget();
    return [
      ["a finished word → suggestions, model_infer", shared.word],
      ["its next letter → completions, model_infer", shared.letter],
      ["a finished word → suggestions, model_train", personal.word],
      ["its next letter → completions, model_train", personal.letter],
      ["the switch → model_train open", opening],
      ["a message → learned in 3 steps, and stored", personal.learn],
    ];
  });

  await inFreshPage(async () => {
    const { PhonePackage } = await import("/phone_package.js");
    const { memory, openModel } = await import("/runtime.js");
    const { SETTINGS, Trainer } = await import("/trainer.js");
    const phonePackage = await PhonePackage.open("/package/");
    const { training } = JSON.parse(await phonePackage.text("golden.json"));
    const trainer = new Trainer(await openModel(await phonePackage.bytes("model_train.tflite")));
    const before = await memory();
    const batch = [...training.rows, ...training.rows];
    const times = [];
    for (let i = 0; i < 20; i++) {
      const start = performance.now();
      await trainer.train(batch, SETTINGS);
      times.push(performance.now() - start);
    }
    const heap = [before, await memory()].map((bytes) => `${bytes >> 20} MiB`);
    return [
      ["a training step of 16 sentences", times],
      `LiteRT's memory, model_train alone: ${heap[0]}, after that ${heap[1]}`,
    ];
  });
} finally {
  await chromium.close();
}

async function inFreshPage(measure) {
  const page = await chromium.newPage();
  // A page of the server without the keyboard.
  await page.goto(`${chromium.url}package/manifest.json`);
  for (const measured of await page.evaluate(`(${measure})()`)) {
    if (typeof measured === "string") console.log(measured);
    else tell(...measured);
  }
  await page.context().close();
}

async function collectGarbage(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  await session.detach();
}

// Of the largest renderer: each test has its own, and Chromium keeps a spare one.
async function rendererMemory() {
  const session = await chromium.browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const sizes = processInfo
    .filter(({ type }) => type === "renderer")
    .map(({ id }) => readFileSync(`/proc/${id}/smaps_rollup`, "utf8"))
    .map((text) => Number(/^Pss:\s+(\d+)/m.exec(text)[1]) * 1024);
  return Math.max(...sizes);
}

function tell(what, times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  const spread = times.length > 1 ? `, p95 ${ms(at(0.95))} (${times.length} times)` : "";
  console.log(`${what}: ${times.length > 1 ? "median " : ""}${ms(at(0.5))}${spread}`);
}

function ms(time) {
  return `${time.toFixed(time < 10 ? 1 : 0)} ms`;
}

function mb(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
