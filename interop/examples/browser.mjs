// A browser for the pages of the examples, and what all their tests ask of them.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { openBrowser, problems, until, watch } from "../../web/tests/helper.mjs";
import { Example } from "./example.mjs";

let browser;

/** One browser for all tests of a file. */
export function useBrowser() {
  before(async () => {
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    // A breach of a page's own policy is told on the console, so this also says that there was none.
    assert.deepEqual(problems, []);
  });
}

/** The example's page, and its program; both end with the test. `at` is a path, `flags` are the program's. */
export async function visit(t, name, { at = "", flags = [], ...options } = {}) {
  const example = await Example.start(name, ...flags);
  const context = await browser.newContext(options);
  t.after(async () => {
    await context.close();
    await example.stop();
  });
  const page = watch(await context.newPage());
  await page.goto(example.url + at);
  return { example, page };
}

/** Another tab of the same browser on the same page. */
export async function tab(page) {
  const another = watch(await page.context().newPage());
  await another.goto(page.url());
  return another;
}

/** The lines that the page shows. */
export const log = (page) => page.locator("#log li").allInnerTexts();

/** Waits for a line of the log with these words; gives the whole log. */
export async function logged(page, words) {
  return until(() => log(page), (lines) => lines.some((line) => line.includes(words)), `the line ${words}`);
}
