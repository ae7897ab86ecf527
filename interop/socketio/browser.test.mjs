// The stock client's bundle in a real browser, with polling alone and with an upgrade.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { after, afterEach, before } from "node:test";
import { chromium } from "playwright-core";
import { PATIENCE, Program, TRANSPORTS, needs, release } from "./helper.mjs";

const skip = needs("DEMO_BIN");
let demo, browser, bundle;
const problems = [];
before(async () => {
  if (skip) return;
  bundle = await readFile(new URL("node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url), "utf8");
  demo = await Program.start("DEMO");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
afterEach(release);
after(async () => {
  await browser?.close();
  await demo?.close();
  assert.deepEqual(problems, []);
});

/** A page with the client connected; `heard` there holds what came, `next(name)` waits for it. */
async function visit(transports, origin = demo.url) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${origin}/blank`);
  await page.addScriptTag({ content: bundle });
  await page.evaluate(
    ([url, options]) => {
      globalThis.heard = [];
      globalThis.socket = globalThis.io(url, options);
      globalThis.socket.onAny((name, ...args) => globalThis.heard.push([name, ...args.slice(0, -1)]));
      globalThis.ask = (name, ...args) => new Promise((resolve) => globalThis.socket.emit(name, ...args, resolve));
      globalThis.bytes = (value) => (value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value);
    },
    [demo.url, { ...(transports && { transports }) }],
  );
  await next(page, "welcome");
  return page;
}

/** The arguments of the next event of this name. */
async function next(page, name) {
  await page.waitForFunction((wanted) => globalThis.heard.some(([name]) => name === wanted), name);
  return page.evaluate((wanted) => {
    const at = globalThis.heard.findIndex(([name]) => name === wanted);
    return globalThis.heard.splice(at, 1)[0].slice(1).map(globalThis.bytes);
  }, name);
}

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  const check = (title, run) => test(`${name}: ${title}`, { skip }, run);

  check("echoes come back with and without an ack", async () => {
    const page = await visit(transports);
    const args = [1, "two", { three: [3, null] }, "你好 😀"];
    await page.evaluate((args) => globalThis.socket.emit("echo", ...args), args);
    assert.deepEqual(await next(page, "echo"), args);
    assert.equal(await page.evaluate(() => globalThis.ask("add", 2, 3)), 5);
    await page.close();
  });

  check("bytes come back as an ArrayBuffer", async () => {
    const page = await visit(transports);
    await page.evaluate(() => globalThis.socket.emit("echo", Uint8Array.from([0, 1, 254, 255]), "text", new Uint8Array(0).buffer));
    assert.deepEqual(await next(page, "echo"), [[0, 1, 254, 255], "text", []]);
    assert.deepEqual(await page.evaluate(() => globalThis.ask("bin-info", new Blob(["abc"]))), { len: 3, first: 97, last: 99 });
    assert.deepEqual(await page.evaluate(async () => globalThis.bytes(await globalThis.ask("make-bin", 3))), [0, 1, 2]);
    await page.close();
  });

  check("a room's message goes from one page to the other, both ways and in order", async () => {
    const [one, two] = await Promise.all([visit(transports), visit(transports)]);
    const room = `pages-${name}`;
    for (const page of [one, two]) assert.deepEqual(await page.evaluate((room) => globalThis.ask("join", room), room), [room]);
    for (const [from, to] of [[one, two], [two, one]]) {
      const sid = await from.evaluate((room) => {
        for (let i = 0; i < 30; i++) globalThis.socket.emit("to-room", room, i);
        return globalThis.socket.id;
      }, room);
      for (let i = 0; i < 30; i++) assert.deepEqual(await next(to, "room-msg"), [{ room, from: sid, payload: i }]);
    }
    await Promise.all([one.close(), two.close()]);
  });

  check("the page is on the transport it was given", async () => {
    const page = await visit(transports);
    const wanted = transports?.[0] ?? "websocket";
    await page.waitForFunction((wanted) => globalThis.socket.io.engine.transport.name === wanted, wanted);
    await page.waitForFunction(async (wanted) => (await globalThis.ask("whoami")).transport === wanted, wanted);
    await page.close();
  });

  check("a page of another origin is served", async () => {
    const page = await visit(transports, demo.url.replace("127.0.0.1", "localhost"));
    assert.notEqual(await page.evaluate(() => location.origin), demo.url);
    assert.equal(await page.evaluate(() => globalThis.ask("add", 20, 22)), 42);
    await page.close();
  });

  check("a closed page is a disconnected socket", async () => {
    const [stays, leaves] = await Promise.all([visit(transports), visit(transports)]);
    const sid = await leaves.evaluate(() => globalThis.socket.id);
    await leaves.close();
    await stays.waitForFunction(async (sid) => (await globalThis.ask("reasons", sid)) !== null, sid);
    await stays.close();
  });
}
