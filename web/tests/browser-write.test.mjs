// Writing: input methods, line breaks, length, keys, copying, and the lines that talk from elsewhere.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import test, { after, before } from "node:test";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { Server, comeIn, hears, openBrowser, person, problems, say, texts, until, visit } from "./helper.mjs";

const run = promisify(execFile);
let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), openBrowser(["--host-resolver-rules=MAP parlor.test 127.0.0.1"])]);
});
after(async () => {
  await browser?.close();
  await server?.remove();
  assert.deepEqual(problems, []);
});

test("Enter that chooses characters in an input method does not send; the next one does", async () => {
  const page = await person(browser, server, "小明", { locale: "zh-CN" });
  const input = page.locator(".composer textarea");
  await input.focus();
  const chrome = await page.context().newCDPSession(page);
  await chrome.send("Input.imeSetComposition", { text: "nihao", selectionStart: 5, selectionEnd: 5 });
  assert.equal(await input.inputValue(), "nihao");
  // Chromium reports the key while it composes as 229, and the event says isComposing.
  await chrome.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key: "Enter", code: "Enter", windowsVirtualKeyCode: 229 });
  assert.equal(await input.inputValue(), "nihao", "still there");
  assert.equal(await page.locator(".message.own").count(), 0);
  await chrome.send("Input.insertText", { text: "你好" });
  assert.equal(await input.inputValue(), "你好");
  await input.press("Enter");
  await hears(page, "你好");
  assert.equal(await input.inputValue(), "");
  await page.context().close();
});

test("both signs of a composition are honoured, each alone", async () => {
  const page = await person(browser, server, "ime");
  await page.fill(".composer textarea", "draft");
  for (const sign of [{ isComposing: true }, { keyCode: 229 }]) {
    const taken = await page.locator(".composer textarea").evaluate((input, sign) => !input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...sign })), sign);
    assert.equal(taken, false, JSON.stringify(sign));
  }
  assert.equal(await page.inputValue(".composer textarea"), "draft");
  await page.press(".composer textarea", "Enter");
  await hears(page, "draft");
  await page.context().close();
});

test("Shift+Enter breaks the line, the field grows, and empty messages are not sent", async () => {
  const page = await person(browser, server, "ann");
  const input = page.locator(".composer textarea");
  const height = () => input.evaluate((element) => element.offsetHeight);
  const low = await height();
  await input.pressSequentially("first");
  await input.press("Shift+Enter");
  await input.pressSequentially("second");
  assert.equal(await input.inputValue(), "first\nsecond");
  assert.ok((await height()) > low);
  await input.press("Enter");
  await hears(page, "first\nsecond");
  assert.equal(await height(), low);
  await input.fill("   \n ");
  assert.ok(await page.locator(".send").isDisabled());
  await input.press("Enter");
  assert.equal(await page.locator(".message.own").count(), 1);
  await page.context().close();
});

test("a message over the limit is not sent and it is said by how much", async () => {
  const page = await person(browser, server, "bob");
  await page.fill(".composer textarea", "语".repeat(22_000));
  await page.waitForSelector('.too-long:has-text("Too long by")');
  await page.press(".composer textarea", "Enter");
  assert.equal(await page.locator(".message.own").count(), 0);
  await page.fill(".composer textarea", "语".repeat(21_000));
  await page.press(".composer textarea", "Enter");
  await page.waitForSelector(".message.own .mark.check");
  await page.context().close();
});

test("every action has a key, and the keys are listed", async () => {
  const page = await person(browser, server, "kay");
  await page.waitForSelector(".member");
  await page.keyboard.press("Alt+h");
  await page.waitForSelector(".scroller:focus");
  await page.keyboard.press("?");
  await page.waitForSelector('.dialog h2:text-is("Keys")');
  assert.equal(await page.locator(".keys dd").count(), 16);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".dialog", { state: "detached" });
  for (const [key, selector] of [
    ["Control+k", '.dialog h2:text-is("Which room?")'],
    ["Alt+d", '.dialog h2:text-is("To whom?")'],
    ["Alt+m", '.dialog h2:text-is("You are kay")'],
    ["Alt+i", '.dialog h2:text-is("Bring somebody")'],
    ["Control+/", '.dialog h2:text-is("Keys")'],
  ]) {
    await page.keyboard.press(key);
    await page.waitForSelector(selector);
    await page.keyboard.press("Escape");
    await page.waitForSelector(".dialog", { state: "detached" });
  }
  await page.keyboard.press("Alt+l");
  await page.waitForSelector(".entry a:focus");
  await page.keyboard.press("Alt+t");
  await page.waitForSelector(".drawer");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".drawer", { state: "detached" });
  await page.waitForSelector(".composer textarea:focus");
  await page.keyboard.type("what?");
  assert.equal(await page.inputValue(".composer textarea"), "what?", "a question mark in a text is a question mark");
  await page.context().close();
});

test("rooms are found by typing, chosen with arrows and Enter, and stepped through with Alt and arrows", async () => {
  await server.publish({ room: "alpha", data: "a" });
  await server.publish({ room: "alphabet", data: "b" });
  const page = await person(browser, server, "lou");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("alph");
  await page.waitForSelector('.choice:has-text("alphabet")');
  await page.keyboard.press("ArrowDown");
  await page.waitForSelector('.choice[aria-selected="true"]:has-text("alphabet")');
  await page.keyboard.press("Enter");
  await page.waitForSelector('.where:text-is("alphabet")');
  await hears(page, "b");
  await page.keyboard.press("Alt+ArrowUp");
  await page.waitForSelector('.where:text-is("lobby")');
  await page.keyboard.press("Alt+ArrowDown");
  await page.waitForSelector('.where:text-is("alphabet")');
  await page.context().close();
});

test("the whole page works over plain http on a name that is not localhost, copying too", async () => {
  const page = await visit(browser, `http://parlor.test:${server.port}/`);
  assert.equal(await page.evaluate(() => isSecureContext), false);
  await comeIn(page, "lan");
  await say(page, "from the network");
  await page.waitForSelector('.message.own:has-text("from the network") .mark.check');
  await page.keyboard.press("Alt+t");
  await page.click(".way >> nth=1 >> .copy");
  await page.waitForSelector('.copied:text-is("Copied")');
  await page.keyboard.press("Escape");
  await page.focus(".composer textarea");
  await page.keyboard.press("Control+v");
  assert.match(await page.inputValue(".composer textarea"), /^curl http:\/\/parlor\.test:\d+\/api\/publish/);
  await page.keyboard.press("Alt+i");
  await page.waitForSelector(".dialog svg.qr");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Alt+m");
  await page.waitForSelector('.toggle:has-text("Notifications need https or localhost.") input:disabled');
  await page.context().close();
});

test("the lines of the drawer work as they stand, and what they send appears at once", async () => {
  const page = await person(browser, server, "tia", { at: "#/r/lines" });
  await page.keyboard.press("Alt+t");
  const line = async (name) => page.locator(`.way:has(h3:text-is("${name}")) pre`).innerText();

  // As pasted, in one piece.
  await page.evaluate((await line("Browser console")).replace(/^ws = /, "globalThis.ws = "));
  await hears(page, "hi from the console");

  await run("sh", ["-c", await line("curl")], { cwd: server.dir });
  await hears(page, "hi from curl");

  // The program stands on the path, as after an installation.
  const path = { PATH: `${dirname(String(process.env.PARLOR_BIN))}:${process.env.PATH}` };
  const [publish, tail] = (await line("Terminal")).split("\n");
  await run("sh", ["-c", publish], { cwd: server.dir, env: path });
  await hears(page, "hi from the terminal");
  const following = spawn("sh", ["-c", `exec ${tail}`], { env: path, stdio: ["ignore", "pipe", "inherit"] });
  for await (const lines of following.stdout) if (/\(application\) {2}hi from the terminal\n/.test(lines)) break;
  following.kill();
  await run("sh", ["-c", `echo 'hi from a pipe' | ${await line("A chat in the terminal")}`], { env: path });
  await hears(page, "hi from a pipe");

  await page.keyboard.press("Escape");
  await until(() => texts(page), (all) => all.length === 4, "each once");
  await page.context().close();
});
