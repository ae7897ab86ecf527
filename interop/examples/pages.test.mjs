// The pages of the examples, in a browser, as somebody uses them who follows the tutorial.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import test from "node:test";
import { until, watch } from "../../web/tests/helper.mjs";
import { log, logged, useBrowser, visit } from "./browser.mjs";

useBrowser();

test("echo shows the life of a WebSocket in the order of the standard", async (t) => {
  const { page } = await visit(t, "echo");
  const life = [
    "readyState 0 CONNECTING 尚未建立",
    "open",
    "readyState 1 OPEN 可以通信",
    // 12 bytes of UTF-8, counted before they are on their way.
    "send 发送数据，bufferedAmount 12",
    "message 发送数据",
    "readyState 2 CLOSING 正在关闭",
    "close 1000",
    "readyState 3 CLOSED 已经关闭",
  ];
  await logged(page, "3 CLOSED");
  assert.deepEqual(await log(page), life);
  assert.equal(await page.innerText("#state"), "3 CLOSED 已经关闭");
  assert.equal(await page.innerText("#buffered"), "0 字节");
  // Again, with the keyboard alone.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await logged(page, "3 CLOSED");
  assert.deepEqual(await log(page), life);
});

test("echo shows the event of an error where nobody listens", async (t) => {
  const { page } = await visit(t, "echo");
  // The browser says so on its console too; that is no fault of the page.
  await page.click("#fail");
  await logged(page, "close 1006");
  assert.deepEqual(await log(page), ["readyState 0 CONNECTING 尚未建立", "error 连接失败", "readyState 3 CLOSED 已经关闭", "close 1006"]);
});

test("echo serves the tutorial's own script, with its three alerts", async (t) => {
  const { example, page } = await visit(t, "echo");
  await logged(page, "3 CLOSED");
  const alerts = [];
  page.on("dialog", (dialog) => {
    alerts.push(dialog.message());
    void dialog.accept();
  });
  await page.evaluate((url) => {
    const ws = new WebSocket(url);
    ws.onopen = () => {
      ws.send("发送数据");
      alert("数据发送中...");
    };
    ws.onmessage = () => {
      alert("数据已接收...");
      ws.close();
    };
    ws.onclose = () => alert("连接已关闭...");
  }, `${example.url.replace("http", "ws").replace("127.0.0.1", "localhost")}/echo`);
  await until(() => alerts, (seen) => seen.length === 3, "three alerts");
  assert.deepEqual(alerts, ["数据发送中...", "数据已接收...", "连接已关闭..."]);
});

test("handshake: the browser accepts the handshake and three lengths come back as they were", async (t) => {
  const { example, page } = await visit(t, "handshake");
  await page.getByRole("button", { name: "开始" }).click();
  await until(() => log(page), (lines) => lines.filter((line) => line.startsWith("←")).length === 3, "three answers");
  const lines = await log(page);
  assert.deepEqual(lines.slice(0, 2), ["正在握手", "握手通过：Accept 与 Key 相符"]);
  assert.ok(lines.includes("→ 你好，世界") && lines.includes("← 你好，世界，一字不差"), lines.join("\n"));
  assert.ok(lines.some((line) => line.startsWith("←") && line.includes("（900 字节）")), lines.join("\n"));
  assert.ok(lines.some((line) => line.startsWith("←") && line.includes("（120000 字节）")), lines.join("\n"));
  assert.ok(lines.filter((line) => line.startsWith("←")).every((line) => line.endsWith("一字不差")));
  await until(() => example.printed, (printed) => printed.some((line) => line.includes('Text("你好，世界")')), "the terminal's line");
  assert.equal(await page.evaluate(() => document.activeElement.id), "text");
  // One's own words, with the keyboard alone; words stay words.
  await page.keyboard.type("<img src=x onerror=alert(1)>");
  await page.keyboard.press("Enter");
  await logged(page, "← <img src=x onerror=alert(1)>，一字不差");
  assert.equal(await page.locator("#log img").count(), 0);
});

test("handshake: when the server ends, the page says so and can start again", async (t) => {
  const { example, page } = await visit(t, "handshake");
  await page.click("#start");
  await logged(page, "握手通过");
  await example.stop();
  await logged(page, "连接已关闭 1006");
  assert.equal(await page.innerText("#start"), "开始");
  assert.ok(await page.isDisabled("#text"));
});

test("handshake: three tabs at once are all served", async (t) => {
  const { example, page } = await visit(t, "handshake");
  const pages = [page];
  for (let n = 0; n < 2; n++) {
    pages.push(watch(await page.context().newPage()));
    await pages.at(-1).goto(example.url);
  }
  for (const one of pages) await one.click("#start");
  for (const one of pages) await logged(one, "← 你好，世界，一字不差");
});

const folder = new URL("../../crates/parlor/examples/", import.meta.url);
const names = (await readdir(folder)).filter((name) => name.endsWith(".html"));

test("every page begins with the same style, and its colours are the chat's", async () => {
  const tokens = await readFile(new URL("../../web/chat/tokens.css", import.meta.url), "utf8");
  const values = (scheme) => Object.fromEntries([...scheme.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]));
  const [light, dark] = tokens.split(':root[data-scheme="dark"]').map(values);
  let first;
  for (const name of names) {
    const [style] = /<style>.*?<\/style>/s.exec(await readFile(new URL(name, folder), "utf8")) ?? [""];
    assert.equal(style, (first ??= style), name);
  }
  const colours = [...first.matchAll(/--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);/g)];
  assert.ok(colours.length >= 8);
  for (const [, name, day, night] of colours) assert.deepEqual([day, night], [light[name], dark[name]], name);
});

test("every page puts received words into text and nothing else", async () => {
  for (const name of names) {
    const page = await readFile(new URL(name, folder), "utf8");
    assert.doesNotMatch(page, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|(?:https?|wss?):\/\/| on[a-z]+=/, name);
  }
});

for (const [name, options] of [
  ["echo", { viewport: { width: 360, height: 640 }, colorScheme: "light" }],
  ["handshake", { viewport: { width: 360, height: 640 }, colorScheme: "dark" }],
]) {
  test(`${name} fits a phone, and everything that can be pressed is large enough and has a name`, async (t) => {
    const { page } = await visit(t, name, options);
    if (name === "handshake") await page.click("#start");
    await logged(page, name === "echo" ? "3 CLOSED" : "← 很长");
    const seen = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      paper: getComputedStyle(document.body).backgroundColor,
      pressed: [...document.querySelectorAll("button, input")].map((one) => {
        const { width, height } = one.getBoundingClientRect();
        return { name: one.getAttribute("aria-label") ?? one.textContent, small: width < 40 || height < 40 };
      }),
    }));
    assert.ok(seen.wide <= 0, `${seen.wide} pixels too wide`);
    assert.equal(seen.paper, options.colorScheme === "dark" ? "rgb(23, 22, 19)" : "rgb(251, 248, 243)");
    assert.ok(seen.pressed.length >= 2);
    for (const one of seen.pressed) assert.ok(one.name && !one.small, JSON.stringify(one));
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
  });
}
