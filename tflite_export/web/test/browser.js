// A keyboard in a headless Chromium that reaches this machine and nothing else.

import { chromium } from "playwright-core";
import { serve } from "../serve.js";
import { chromiumPath, packageUnderTest } from "./settings.js";

/**
 * Starts a server and a browser.
 *
 * @param {string} [directory] of a package
 * @returns {Promise<{url: string, outside: string[], requests: string[], browser: object,
 *   newPage: (options?: object) => Promise<import("playwright-core").Page>,
 *   close: () => Promise<void>}>} `outside` gathers what was asked of other machines and what
 *   failed, `requests` all that was asked. With a `policy` of false a page may ask for anything, so
 *   that it is seen if it does; else the server's policy would hold it back unseen
 */
export async function startBrowser(directory = packageUnderTest()) {
  const path = chromiumPath();
  const server = await serve(directory, 0);
  const browser = await chromium.launch({
    executablePath: path,
    args: [
      // Names are not even resolved, Chromium's own updates included.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      // Chromium refuses to start as root with its sandbox.
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
    ],
  });
  const outside = [];
  const requests = [];
  const newPage = async ({ policy = true, ...options } = {}) => {
    const context = await browser.newContext(options);
    await context.route("**/*", async (route) => {
      const address = route.request().url();
      requests.push(address);
      if (new URL(address).hostname !== "127.0.0.1") {
        outside.push(address);
        return route.abort();
      }
      if (policy) return route.continue();
      const response = await route.fetch();
      const { "content-security-policy": _, ...headers } = response.headers();
      return route.fulfill({ response, headers });
    });
    const page = await context.newPage();
    page.on("pageerror", (error) => outside.push(`error in the page: ${error.message}`));
    return page;
  };
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { url: server.url, outside, requests, browser, newPage, close };
}

/** Opens the keyboard and waits for the first suggestions. */
export async function openKeyboard(page, url) {
  await page.goto(url);
  await page.locator("#learn:not(:disabled)").waitFor();
  await page.locator("#suggestions button:not(:disabled)").first().waitFor();
}

/** @returns {Promise<string[]>} what is suggested, once the page has asked for it */
export async function suggestionsAfter(page, text) {
  await page.locator("#text").fill(text);
  await settled(page);
  return page
    .locator("#suggestions button")
    .evaluateAll((buttons) => buttons.map((button) => button.textContent));
}

/** Sends what is typed and waits until it was learned. */
export async function sendAndLearn(page) {
  const learned = page.locator("#messages small");
  const before = await learned.count();
  await page.locator("#text").press("Enter");
  await learned.nth(before).waitFor();
  await settled(page);
}

/** Waits until the page has an answer to its last question. */
export async function settled(page) {
  await page.locator("#suggestions:not([aria-busy=true])").waitFor();
}
