// The keyboard in a real Chromium: node --test test/page.test.js

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  openKeyboard,
  sendAndLearn,
  settled,
  startBrowser,
  suggestionsAfter,
} from "./browser.js";

const BEGINNING = "we will meet at the old boat ";
const MESSAGE = `${BEGINNING}house`;

let chromium;
before(async () => {
  chromium = await startBrowser();
});
after(() => chromium.close());

test("golden.json passes in the page", async () => {
  const page = await chromium.newPage();
  await openKeyboard(page, chromium.url);
  const report = await page.evaluate(async () => {
    const { checkGolden } = await import("/golden.js");
    return checkGolden("/package/");
  });
  console.log(
    `${report.examples} texts: probabilities differ by at most ` +
      `${report.largestDifference.toExponential(1)}; ${report.losses} training steps: losses by ` +
      report.largestLossDifference.toExponential(1),
  );
  assert.deepEqual(report.failures, []);
  await page.context().close();
});

test("type, accept, learn, see the change, forget, see the original", async () => {
  const page = await chromium.newPage({ policy: false });
  await openKeyboard(page, chromium.url);
  const text = page.locator("#text");
  const suggestions = page.locator("#suggestions button");

  // Letters narrow the suggestions down, by the keys of the page or others.
  await text.pressSequentially("i d");
  await page.locator("#keys").getByRole("button", { name: "o", exact: true }).click();
  await settled(page);
  assert.equal(await text.inputValue(), "i do");
  for (const button of await suggestions.all()) {
    assert.match(await button.getAttribute("data-word"), /^do/);
  }
  const word = await suggestions.first().getAttribute("data-word");
  await suggestions.first().click();
  await settled(page);
  assert.equal(await text.inputValue(), `i ${word} `);
  // Four keys and a tap; it took the word's other letters and the space off.
  const saved = word.length - 2;
  assert.match(await page.locator("#saved").textContent(), new RegExp(`${saved} of ${saved + 5} `));
  await page.locator("#keys").getByRole("button", { name: "Backspace" }).click();
  assert.equal(await text.inputValue(), `i ${word}`);

  const shared = await suggestionsAfter(page, BEGINNING);
  await page.locator("#learn").check();
  await page.getByText("Ready to learn").waitFor();
  const original = await suggestionsAfter(page, BEGINNING);
  const learned = await learnUntilOthers(page, original);

  // It is kept over a reload, and not used while the switch is off.
  await openKeyboard(page, chromium.url);
  assert.ok(await page.locator("#learn").isChecked());
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), learned);
  await page.locator("#learn").uncheck();
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), shared);
  await page.locator("#learn").check();
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), learned);

  await page.locator("#forget").click();
  await page.getByText("Ready to learn").waitFor();
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), original);
  await openKeyboard(page, chromium.url);
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), original);
  await page.context().close();
});

/** Sends the message until other words are suggested, and returns these. */
async function learnUntilOthers(page, original) {
  for (let sent = 0; sent < 12; sent++) {
    await page.locator("#text").fill(MESSAGE);
    await sendAndLearn(page);
    const learned = await suggestionsAfter(page, BEGINNING);
    if (words(learned).join() !== words(original).join()) return learned;
  }
  assert.fail(`${original} after 12 messages`);
}

/** Opens a page, has it learn, and returns it with what was suggested before and after. */
async function pageThatLearned() {
  const page = await chromium.newPage();
  await openKeyboard(page, chromium.url);
  await page.locator("#learn").check();
  await page.getByText("Ready to learn").waitFor();
  const original = await suggestionsAfter(page, BEGINNING);
  const learned = await learnUntilOthers(page, original);
  return { page, original, learned };
}

test("another package's checkpoint is refused, or moved if the words are the same", async () => {
  const { page, original, learned } = await pageThatLearned();

  const restamp = (changes) =>
    page.evaluate(async (changes) => {
      const store = await import("/store.js");
      const { readUpdate, writeUpdate } = await import("/update.js");
      const { PhonePackage } = await import("/phone_package.js");
      const shapes = (await PhonePackage.open("/package/")).weightShapes;
      const { metadata, difference } = await readUpdate(await store.load(), shapes);
      await store.save(writeUpdate({ ...metadata, ...changes }, difference, shapes));
    }, changes);

  await restamp({ weights_sha256: "0".repeat(64) });
  await openKeyboard(page, chromium.url);
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), learned);
  await page.getByText(/^Learned from \d+ messages?$/).waitFor();

  await restamp({ weights_sha256: "0".repeat(64), vocabulary_sha256: "0".repeat(64) });
  await openKeyboard(page, chromium.url);
  assert.deepEqual(await suggestionsAfter(page, BEGINNING), original);
  await page.getByText("of another model: not used").waitFor();
  await page.locator("#forget").click();
  await page.getByText("Ready to learn").waitFor();
  await page.context().close();
});

test("what one page forgets, another does too", async () => {
  const { page, original, learned } = await pageThatLearned();
  assert.notDeepEqual(learned, original);

  const other = await page.context().newPage();
  await openKeyboard(other, chromium.url);
  assert.deepEqual(await suggestionsAfter(other, BEGINNING), learned);
  await page.locator("#forget").click();
  await page.getByText("Ready to learn").waitFor();
  assert.deepEqual(await suggestionsAfter(other, BEGINNING), original);
  await other.locator("#text").fill(MESSAGE);
  await sendAndLearn(other);
  await other.getByText("Learned from 1 message").waitFor();
  await page.context().close();
});

test("of requests made at once the newest is answered, and right", async () => {
  const page = await chromium.newPage();
  await openKeyboard(page, chromium.url);
  const [answers, alone] = await page.evaluate(async () => {
    const { remoteKeyboard } = await import("/remote.js");
    const [one, other] = [remoteKeyboard(), remoteKeyboard()];
    await Promise.all([one.open("/package/"), other.open("/package/")]);
    const texts = ["how are ", "how are you doing to", "", "i do not think ", "how old are "];
    return [await Promise.all(texts.map(one.suggest)), await other.suggest(texts.at(-1))];
  });
  assert.deepEqual(answers.slice(0, -1), [null, null, null, null]);
  assert.deepEqual(answers.at(-1), alone);
  await page.context().close();
});

test("before it has learned, what learns says what the other does, n-grams and all", async () => {
  const page = await chromium.newPage();
  await openKeyboard(page, chromium.url);
  const [shared, personal] = await page.evaluate(async () => {
    const { remoteKeyboard } = await import("/remote.js");
    const keyboard = remoteKeyboard();
    await keyboard.open("/package/");
    const probabilities = async () => {
      const all = [];
      for (const text of ["", "i am ", "how are you ", "how are y", "i do not k"]) {
        all.push(...(await keyboard.suggest(text)).map(({ probability }) => probability));
      }
      return all;
    };
    const shared = await probabilities();
    await keyboard.setLearning(true);
    return [shared, await probabilities()];
  });
  assert.equal(personal.length, shared.length);
  personal.forEach((probability, i) => assert.ok(Math.abs(probability - shared[i]) < 0.02, `${i}`));
  await page.context().close();
});

for (const width of [390, 320]) {
  test(`works at ${width} px`, async () => {
    const page = await chromium.newPage({
      viewport: { width, height: 700 },
      hasTouch: true,
      isMobile: true,
    });
    await openKeyboard(page, chromium.url);
    for (const letter of "how") {
      await page.locator("#keys").getByRole("button", { name: letter, exact: true }).tap();
    }
    await page.locator("#keys").getByRole("button", { name: "space", exact: true }).tap();
    await settled(page);
    await page.locator("#suggestions button").nth(2).tap();
    assert.match(await page.locator("#text").inputValue(), /^how \S+ $/);
    for (const control of await page.locator("button, textarea, #learn").all()) {
      const { x, y, width: wide, height } = await control.boundingBox();
      const name = await control.evaluate((element) => element.outerHTML);
      assert.ok(x >= 0 && x + wide <= width + 0.5, `${name}: outside of the page`);
      assert.ok(y >= 0 && y + height <= 700.5, `${name}: below the page`);
    }
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    await page.context().close();
  });
}

test("the server has its own files and no others", async () => {
  for (const path of [
    "serve.js",
    "page.js/..%2fserve.js",
    "package/../../serve.js",
    "package/%2e%2e/manifest.json",
    "..%2f..%2f..%2fREADME.md",
    "litert/wasm/..%2f..%2fpackage.json",
    "package/",
  ]) {
    assert.equal((await fetch(chromium.url + path)).status, 404, path);
  }
  assert.equal((await fetch(chromium.url, { method: "POST" })).status, 405);
  assert.equal((await fetch(`${chromium.url}package/manifest.json`)).status, 200);
});

// Last, when all pages above have asked for what they ask for.
test("no request left the machine, and no page failed", () => {
  // The worker's requests are among those that were seen.
  assert.ok(chromium.requests.includes(`${chromium.url}keyboard.js`));
  assert.deepEqual(chromium.outside, []);
});

function words(suggestions) {
  return suggestions.map((suggestion) => suggestion.replace(/[<\d].*/, ""));
}
