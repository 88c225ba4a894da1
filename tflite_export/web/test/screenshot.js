// Writes a picture of the keyboard after learning: node test/screenshot.js [PNG]

import { fileURLToPath } from "node:url";
import { openKeyboard, sendAndLearn, settled, startBrowser } from "./browser.js";

const MESSAGES = [
  "meet me at the boat house",
  "see you at the boat house",
  "see you at the boat house",
  "i will be at the boat house",
  "see you at the boat house",
];

const file =
  process.argv[2] ?? fileURLToPath(new URL("../../../docs/keyboard.png", import.meta.url));
const chromium = await startBrowser();
try {
  const page = await chromium.newPage({
    viewport: { width: 500, height: 860 },
    deviceScaleFactor: 1.2,
    colorScheme: "light",
  });
  await openKeyboard(page, chromium.url);
  await page.locator("#learn").check();
  await page.getByText("Ready to learn").waitFor();
  for (const message of MESSAGES) {
    await type(page, message);
    await sendAndLearn(page);
  }
  await type(page, "see you at the");
  await page.screenshot({ path: file });
  console.log(file);
} finally {
  await chromium.close();
}

// As somebody types it: letters until the word shows, then a tap.
async function type(page, message) {
  for (const word of message.split(" ")) {
    for (const letter of [...word, " "]) {
      await settled(page);
      const shown = page.locator(`#suggestions [data-word="${word}"]`);
      if (await shown.count()) {
        await shown.click();
        break;
      }
      await page.locator("#text").pressSequentially(letter);
    }
  }
  await settled(page);
}
