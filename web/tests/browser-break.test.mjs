// The server dies while people type: nothing is lost, nothing doubled, and the page says what it did.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import { Server, hears, openBrowser, person, problems, say, stored, texts, tryNow, until } from "./helper.mjs";
import { Proxy } from "./proxy.mjs";

let browser, server;
before(async () => {
  browser = await openBrowser();
});
afterEach(async () => {
  await server?.remove();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(problems, []);
});

test("killed three times while two people type: every message once, in one order, on both pages and on disk", async () => {
  server = await Server.start();
  const [ann, bob] = await Promise.all([person(browser, server, "ann"), person(browser, server, "bob")]);
  const written = [];
  const type = async (page, name) => {
    for (let n = 1; n <= 30; n++) {
      const text = `${name} ${n}`;
      written.push(text);
      await say(page, text);
    }
  };
  const typing = Promise.all([type(ann, "ann"), type(bob, "bob")]);
  for (const text of ["ann 5", "bob 12", "ann 20"]) {
    await until(() => written.includes(text), Boolean, `${text} being written`);
    await server.kill();
    server = await server.again();
  }
  await typing;
  const last = await stored(ann);
  for (const text of ["ann 30", "bob 30"]) await Promise.all([hears(ann, text), hears(bob, text)]);
  const [left, right] = [await stored(ann), await stored(bob)];
  assert.ok(last.length > 0);
  assert.deepEqual(left, right, "both pages show the same");
  assert.deepEqual(left.map(([, text]) => text).slice(1).sort(), [...written].sort(), "each message once");
  assert.deepEqual(left.map(([offset]) => offset), left.map((_, at) => at + 1), "no hole in the offsets");
  for (const name of ["ann", "bob"]) {
    const own = left.map(([, text]) => text).filter((text) => text.startsWith(`${name} `));
    assert.deepEqual(own, Array.from({ length: 30 }, (_, n) => `${name} ${n + 1}`), `${name}'s messages stand in the order of writing`);
  }
  const fresh = await person(browser, server, "eve");
  await hears(fresh, "bob 30");
  await until(
    async () => {
      await fresh.locator(".scroller").evaluate((element) => (element.scrollTop = 0));
      return fresh.locator(".beginning").count();
    },
    (count) => count === 1,
    "the beginning",
  );
  assert.deepEqual(await stored(fresh), left, "a newcomer reads the same from disk");
  await Promise.all([ann, bob, fresh].map((page) => page.context().close()));
});

test("during an outage the page says what waits; after it, what was sent and what was caught up, in both languages", async () => {
  server = await Server.start();
  // Each line stays dead until everything has been said, so that it is known what they miss.
  const [anns, bobs] = [{ open: true }, { open: true }];
  const ann = await person(browser, server, "ann", { gate: anns });
  const bob = await person(browser, server, "bob", { locale: "zh-CN", gate: bobs });
  await say(ann, "before");
  await hears(bob, "before");
  anns.open = bobs.open = false;
  await server.kill();
  await Promise.all([ann, bob].map((page) => page.waitForSelector(".notice.down")));
  await say(ann, "while it was gone 1");
  await say(ann, "while it was gone 2");
  await ann.waitForSelector('.notice.down:has-text("No connection. 2 messages wait and will be sent.")');
  await bob.waitForSelector('.notice.down:has-text("连接断了。可以继续写。")');
  assert.equal(await ann.locator('.message.sending .mark[aria-label="Waits for the connection"]').count(), 2);
  server = await server.again();
  await server.publish({ room: "lobby", data: "from a program" });
  anns.open = true;
  await tryNow(ann);
  await ann.waitForSelector('.notice.back:has-text("Connected again.")');
  await ann.waitForSelector('.notice.back:has-text("2 waiting messages sent.")');
  await ann.waitForSelector('.notice.back:has-text("Caught up 1 message.")');
  await until(() => ann.locator(".message.own .mark.check").count(), (count) => count === 3, "all marks");
  bobs.open = true;
  await tryNow(bob);
  await bob.waitForSelector('.notice.back:has-text("已重新连上。已补上 3 条消息。")');
  await hears(bob, "while it was gone 2");
  await bob.waitForSelector('.new-line:has-text("新消息")');
  await Promise.all([ann.context().close(), bob.context().close()]);
});

test("what is written during an outage survives a reload of the page and is sent once", async () => {
  server = await Server.start();
  const gate = { open: true };
  const ann = await person(browser, server, "ann", { gate });
  await say(ann, "stored");
  await ann.waitForSelector('.message.own:has-text("stored") .mark.check');
  // The page itself stays reachable, as behind a proxy; only the socket is refused.
  gate.open = false;
  await ann.reload();
  await ann.waitForSelector(".notice.down");
  await say(ann, "in between");
  await ann.reload();
  await ann.waitForSelector('.message.own.sending:has-text("in between")');
  gate.open = true;
  await tryNow(ann);
  await ann.waitForSelector('.message.own:has-text("in between") .mark.check');
  await ann.reload();
  await hears(ann, "in between");
  assert.deepEqual((await texts(ann)).slice(1), ["stored", "in between"]);
  await ann.context().close();
});

test("direct messages of an outage are caught up too", async () => {
  server = await Server.start();
  const [ann, bob] = await Promise.all([person(browser, server, "ann"), person(browser, server, "bob")]);
  await ann.click('.member button:has-text("bob")');
  await say(ann, "first");
  await bob.click('.entry a:has-text("ann")');
  await hears(bob, "first");
  await server.kill();
  await Promise.all([ann, bob].map((page) => page.waitForSelector(".notice.down")));
  await say(ann, "second");
  await say(bob, "third");
  server = await server.again();
  for (const page of [ann, bob]) for (const text of ["first", "second", "third"]) await hears(page, text);
  await Promise.all([ann, bob].map((page) => page.waitForSelector(".message.own .mark.check >> nth=0")));
  const [left, right] = [await stored(ann), await stored(bob)];
  assert.deepEqual(left, right);
  assert.equal(left.length, 3);
  await Promise.all([ann.context().close(), bob.context().close()]);
});

test("when the server has lost its data the page says so, loads anew and goes on", async () => {
  server = await Server.start({ args: ["--engine", "memory"] });
  const ann = await person(browser, server, "ann");
  await say(ann, "soon forgotten");
  await ann.waitForSelector('.message.own:has-text("soon forgotten") .mark.check');
  const { port, dir } = server;
  await server.kill();
  await ann.waitForSelector(".notice.down");
  server = await Server.start({ data: dir, port, args: ["--engine", "memory"] });
  await ann.waitForSelector('.notice.back:has-text("Not everything that you missed in lobby could be brought back")');
  await until(() => texts(ann), (all) => !all.includes("soon forgotten"), "the new log");
  await say(ann, "a new beginning");
  await ann.waitForSelector('.message.own:has-text("a new beginning") .mark.check');
  await ann.context().close();
});

test("a page that could not keep up loads the log anew, and where there is none says how much went by", async () => {
  server = await Server.start({ args: ["--drop-oldest", "ticks:*", "--drop-oldest", "live:*"] });
  const proxy = await Proxy.start(server);
  const ann = await person(browser, proxy, "ann", { at: "#/r/ticks:gold" });
  // More than the buffers of both systems, the proxy and the server hold together.
  const padding = "x".repeat(60_000);
  const flood = async (room) => {
    proxy.hold();
    await Promise.all(Array.from({ length: 300 }, () => server.publish({ room, data: padding })));
    await server.publish({ room, data: `the last of ${room}` });
    proxy.release();
  };

  await flood("ticks:gold");
  await hears(ann, "the last of ticks:gold");
  const all = await until(() => stored(ann), (all) => all.length > 1 && all.at(-1)[0] - all[0][0] === all.length - 1, "a log without a hole");
  assert.equal(all.at(-1)[0], 301);

  await ann.goto(`${proxy.url}/#/r/live:gold`);
  await ann.waitForSelector(".composer");
  await flood("live:gold");
  await ann.waitForSelector('.toast:has-text("in live:gold went by faster than this connection could carry them")');
  await hears(ann, "the last of live:gold");
  await ann.context().close();
  proxy.stop();
});
