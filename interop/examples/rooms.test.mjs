// The pages of the examples in which people meet, in several tabs of a browser.
import assert from "node:assert/strict";
import test from "node:test";
import { until } from "../../web/tests/helper.mjs";
import { log, logged, tab, useBrowser, visit } from "./browser.mjs";

useBrowser();

/** Gives the page a name, with the keyboard alone. */
async function enter(page, name) {
  await page.click("#name");
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
  await logged(page, `已连接：${name}`);
}

async function say(page, words, to) {
  if (to) await page.fill("#to", to);
  await page.fill("#text", words);
  await page.press("#text", "Enter");
}

for (const [at, style] of [
  ["", "raw texts"],
  ["/ws", "objects"],
]) {
  test(`group chat in ${style}: three tabs chat`, async (t) => {
    const { page } = await visit(t, "group_chat", { at });
    const tabs = [page, await tab(page), await tab(page)];
    for (const [n, name] of ["小明", "小红", "<b>小刚</b>"].entries()) await enter(tabs[n], name);
    await say(tabs[0], "大家好");
    for (const other of tabs.slice(1)) await logged(other, "小明：大家好");
    await say(tabs[2], "<img src=x onerror=alert(1)>");
    for (const other of tabs.slice(0, 2)) await logged(other, "<b>小刚</b>：<img src=x onerror=alert(1)>");
    await say(tabs[1], "最后");
    await logged(tabs[0], "小红：最后");
    // Nobody hears what it said itself, and words stay words.
    assert.deepEqual(await log(tabs[0]), ["已连接：小明", "我：大家好", "<b>小刚</b>：<img src=x onerror=alert(1)>", "小红：最后"]);
    assert.equal(await tabs[0].locator("#log img, #log b").count(), 0);
  });

  test(`private chat in ${style}: only the addressee hears, in all its tabs`, async (t) => {
    const { page } = await visit(t, "private_chat", { at });
    const [ann, bob, again, carl] = [page, await tab(page), await tab(page), await tab(page)];
    await enter(ann, "ann");
    await enter(bob, "张三");
    await enter(again, "张三");
    await enter(carl, "carl");
    await say(ann, "只给你", "张三");
    for (const one of [bob, again]) await logged(one, "ann：只给你");
    await say(ann, "在吗", "nobody");
    await logged(ann, "对方不在线");
    await say(bob, "在", "carl");
    await logged(carl, "张三：在");
    assert.deepEqual(await log(carl), ["已连接：carl", "张三：在"]);
    assert.deepEqual(await log(again), ["已连接：张三", "ann：只给你"]);
  });
}

test("group chat: a page that lost its server says so and comes back by itself", async (t) => {
  const { example, page } = await visit(t, "group_chat");
  await enter(page, "ann");
  await example.stop();
  await logged(page, "连接断开（1006）");
  assert.ok(await page.isDisabled("#text"));
  await example.again();
  await until(() => log(page), (lines) => lines.at(-1) === "已连接：ann", "the second connection");
  const bob = await tab(page);
  await enter(bob, "bob");
  await say(page, "又见面了");
  await logged(bob, "ann：又见面了");
});

test("message board: what one publishes everybody sees, and the console has it as it was sent", async (t) => {
  const { page } = await visit(t, "message_board");
  const other = await tab(page);
  const consoles = [page, other].map((one) => {
    const lines = [];
    one.on("console", (message) => lines.push(message.text()));
    return lines;
  });
  assert.equal(await page.title(), "实时消息");
  await page.fill("textarea", "第一行 & <b>\n第二行");
  for (const one of [page, other]) await until(() => one.isEnabled("#publish"), Boolean, "a connection");
  await page.getByRole("button", { name: "发布" }).click();
  for (const one of [page, other]) assert.deepEqual(await logged(one, "第二行"), ["第一行 & <b>\r\n第二行"]);
  // As the tutorial's page encodes it.
  const sent = "content=%E7%AC%AC%E4%B8%80%E8%A1%8C+%26+%3Cb%3E%0D%0A%E7%AC%AC%E4%BA%8C%E8%A1%8C";
  assert.deepEqual(consoles, [[sent], [sent]]);
  await page.getByRole("button", { name: "清空" }).click();
  assert.equal(await page.inputValue("textarea"), "");
});

test("consumer: it is answered, and what comes is text", async (t) => {
  const { page } = await visit(t, "consumer");
  await page.getByText("连接成功").waitFor();
  await page.keyboard.type("你好");
  await page.keyboard.press("Enter");
  await page.locator("#content div").first().waitFor();
  await page.getByRole("button", { name: "发送" }).click();
  await until(() => page.locator("#content div").allInnerTexts(), (lines) => lines.length === 2, "two answers");
  assert.deepEqual(await page.locator("#content div").allInnerTexts(), ["收到了", "收到了"]);
});

for (const style of ["consumer", "route"]) {
  test(`group consumer as a ${style}: every tab appends what one says`, async (t) => {
    const { page } = await visit(t, "group_consumer", { flags: ["--style", style] });
    const tabs = [page, await tab(page), await tab(page)];
    for (const one of tabs) await one.getByText("连接成功").waitFor();
    const words = ["大家好", "<img src=x onerror=alert(1)>"];
    for (const one of words) {
      await tabs[1].fill("#txt", one);
      await tabs[1].press("#txt", "Enter");
    }
    for (const one of tabs) {
      await until(() => one.locator("#content div").allInnerTexts(), (lines) => lines.length === 2, "two lines");
      assert.deepEqual(await one.locator("#content div").allInnerTexts(), words);
      assert.equal(await one.locator("#content img").count(), 0);
    }
  });
}

test("consumer serves the tutorial's own script", async (t) => {
  const { example, page } = await visit(t, "consumer");
  const told = await page.evaluate(
    (url) =>
      new Promise((done) => {
        const ws = new WebSocket(url);
        const told = [];
        ws.onopen = () => {
          told.push("连接成功");
          ws.send("fdsfsdfafd");
        };
        ws.onmessage = (arg) => {
          told.push(arg.data);
          ws.close();
        };
        ws.onclose = () => {
          ws.close();
          done(told);
        };
      }),
    `${example.url.replace("http", "ws")}/x1/`,
  );
  assert.deepEqual(told, ["连接成功", "收到了"]);
});

for (const [way, name] of [
  ["poll", "polling"],
  ["long", "long polling"],
  ["stream", "a stream"],
]) {
  test(`long polling: two people write to each other over ${name}`, async (t) => {
    const { page } = await visit(t, "long_polling");
    const other = await tab(page);
    for (const [one, who] of [
      [page, "ann"],
      [other, "张三"],
    ]) {
      await one.fill("#name", who);
      await one.selectOption("#way", way);
      await one.click("#start");
    }
    await say(page, "你好 <b>", "张三");
    assert.deepEqual(await logged(other, "你好"), ["你好 <b>"]);
    await say(other, "收到", "ann");
    await logged(page, "收到");
    await say(other, "再来一条", "ann");
    assert.deepEqual(await logged(page, "再来一条"), ["收到", "再来一条"]);
    const asked = Number(await page.innerText("#asked"));
    // Asked again at once after each answer; a stream is one answer.
    if (way === "stream") assert.equal(asked, 1);
    else await until(() => page.innerText("#asked"), (count) => Number(count) >= 3, "asking again");
  });
}

test("long polling: the endless page shows each script block's text", async (t) => {
  const { example, page } = await visit(t, "long_polling");
  const frame = await tab(page);
  await frame.goto(`${example.url}/stream/ann?html=1`, { waitUntil: "commit" });
  for (const words of ["你好", "</script><script>document.title = 'broken'</script>"]) {
    await say(page, words, "ann");
    await until(() => frame.innerText("body"), (text) => text.includes(words), words);
  }
  assert.equal(await frame.title(), "流");
});

test("axum: a WebSocket and a request of HTTP meet in one room", async (t) => {
  const { page } = await visit(t, "axum");
  const other = await tab(page);
  for (const one of [page, other]) await until(() => one.isEnabled("#text"), Boolean, "a connection");
  await say(page, "从 WebSocket");
  for (const one of [page, other]) await logged(one, "从 WebSocket");
  await other.fill("#text", "从 HTTP");
  await other.getByRole("button", { name: "用 HTTP 发送" }).click();
  for (const one of [page, other]) assert.deepEqual(await logged(one, "从 HTTP"), ["从 WebSocket", "从 HTTP"]);
  await until(() => page.innerText("#hall"), (text) => text === "在场 2，说过 2", "the figures");
});

for (const [name, colorScheme] of [
  ["group_chat", "light"],
  ["private_chat", "dark"],
  ["message_board", "light"],
  ["consumer", "dark"],
  ["long_polling", "light"],
  ["axum", "dark"],
]) {
  test(`${name} fits a phone, and everything that can be pressed is large enough and has a name`, async (t) => {
    const { page } = await visit(t, name, { viewport: { width: 360, height: 640 }, colorScheme });
    const seen = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      paper: getComputedStyle(document.body).backgroundColor,
      pressed: [...document.querySelectorAll("button, input, select, textarea")].map((one) => {
        const { width, height } = one.getBoundingClientRect();
        return { name: one.getAttribute("aria-label") ?? one.textContent, small: width < 40 || height < 40 };
      }),
    }));
    assert.ok(seen.wide <= 0, `${seen.wide} pixels too wide`);
    assert.equal(seen.paper, colorScheme === "dark" ? "rgb(23, 22, 19)" : "rgb(251, 248, 243)");
    for (const one of seen.pressed) assert.ok(one.name && !one.small, JSON.stringify(one));
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
  });
}
