// What is in the way of a connection: without WebSocket, without event streams, with lines that are cut all the time.
import assert from "node:assert/strict";
import http from "node:http";
import test, { after, afterEach, before } from "node:test";
import { Server, hears, openBrowser, person, problems, say, stored, tryNow, until, watch } from "./helper.mjs";
import { Proxy } from "./proxy.mjs";

const WAYS = [
  { way: "websocket", blocked: [] },
  { way: "sse", blocked: ["/ws"] },
  { way: "poll", blocked: ["/ws", "/sse"] },
];

let browser, server, proxy;
before(async () => {
  browser = await openBrowser();
});
afterEach(async () => {
  proxy?.stop();
  await server?.remove();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(problems, []);
});

async function start(blocked) {
  server = await Server.start();
  proxy = await Proxy.start(server);
  proxy.blocked = new Set(blocked);
}

for (const { way, blocked } of WAYS) {
  test(`two people talk over ${way} with ${blocked.join(" and ") || "nothing"} blocked`, async () => {
    await start(blocked);
    const [ann, bob] = [await person(browser, proxy, "ann"), await person(browser, proxy, "bob")];
    await say(ann, "over whatever works");
    await hears(bob, "over whatever works");
    await say(bob, "indeed");
    await hears(ann, "indeed");
    // They are there for each other, and nothing says that anything is wrong.
    await ann.waitForSelector('.member button:has-text("bob")');
    assert.equal(await ann.locator(".notice.down").count(), 0);
    assert.deepEqual((await stored(ann)).map(([, text]) => text).slice(1), ["over whatever works", "indeed"]);
    for (const path of ["/ws", "/sse", "/poll"]) assert.equal(proxy.asked.has(path), [...blocked, `/${way === "websocket" ? "ws" : way}`].includes(path), path);
    await Promise.all([ann.context().close(), bob.context().close()]);
  });
}

/** What `count` messages by each of them look like, and that both pages show every one of them once, in one order. */
async function allOnce(ann, bob, count) {
  for (const name of ["ann", "bob"]) await Promise.all([hears(ann, `${name} ${count}`), hears(bob, `${name} ${count}`)]);
  const [left, right] = [await stored(ann), await stored(bob)];
  assert.deepEqual(left, right, "both pages show the same");
  assert.deepEqual(left.map(([offset]) => offset), left.map((_, at) => at + 1), "no hole in the offsets");
  for (const name of ["ann", "bob"]) {
    const own = left.map(([, text]) => text).filter((text) => text.startsWith(`${name} `));
    assert.deepEqual(own, Array.from({ length: count }, (_, n) => `${name} ${n + 1}`), `${name}'s messages, each once and in the order of writing`);
  }
}

/** Writes numbered messages, and after each calls `then` with its number. */
async function write(page, name, count, then = async () => {}) {
  for (let n = 1; n <= count; n++) {
    await say(page, `${name} ${n}`);
    await then(n);
  }
}

/** That the pages say nothing is wrong, and that what is said is true: each is there for the other. */
async function fine(ann, bob) {
  for (const [page, other] of [[ann, "bob"], [bob, "ann"]]) {
    await tryNow(page);
    await page.waitForSelector(`.member button:has-text("${other}")`);
  }
}

for (const { way, blocked } of WAYS) {
  test(`lines that are cut again and again while two people write over ${way}: nothing lost, nothing doubled`, async () => {
    await start(blocked);
    const [ann, bob] = [await person(browser, proxy, "ann"), await person(browser, proxy, "bob")];
    const cut = async (n) => void (n % 5 === 0 && proxy.cut());
    await Promise.all([write(ann, "ann", 20, cut), write(bob, "bob", 20)]);
    await fine(ann, bob);
    await allOnce(ann, bob, 20);
    await Promise.all([ann.context().close(), bob.context().close()]);
  });

  test(`the server is killed and comes back while two people write over ${way}`, async () => {
    await start(blocked);
    const [ann, bob] = [await person(browser, proxy, "ann"), await person(browser, proxy, "bob")];
    const kill = async (n) => {
      if (n !== 4 && n !== 8) return;
      await server.kill();
      server = await server.again();
    };
    await Promise.all([write(ann, "ann", 10, kill), write(bob, "bob", 10)]);
    await fine(ann, bob);
    await allOnce(ann, bob, 10);
    await Promise.all([ann.context().close(), bob.context().close()]);
  });
}

test("who goes from one way to the next keeps the place: what was said meanwhile comes once", async () => {
  await start([]);
  const bob = await person(browser, server, "bob");
  const ann = await person(browser, proxy, "ann");
  let said = 0;
  for (const [blocked, open] of [[["/ws"], "/sse"], [["/ws", "/sse"], "/poll"], [["/poll"], "/ws"]]) {
    proxy.blocked = new Set(["/ws", "/sse", "/poll", "/send"]);
    proxy.cut();
    await ann.waitForSelector(".notice.down");
    await say(bob, `bob ${++said}`);
    await hears(bob, `bob ${said}`);
    await say(ann, `ann ${said}`);
    proxy.asked.clear();
    proxy.blocked = new Set(blocked);
    await tryNow(ann);
    await hears(ann, `bob ${said}`);
    await hears(bob, `ann ${said}`);
    assert.ok(proxy.asked.has(open), `over ${open}`);
  }
  await fine(ann, bob);
  await allOnce(ann, bob, said);
  await Promise.all([ann.context().close(), bob.context().close()]);
});

test("what was written without a connection survives a reload and the end of the tab, and is sent once", async () => {
  await start(["/ws"]);
  const ann = await person(browser, proxy, "ann");
  proxy.blocked = new Set(["/ws", "/sse", "/poll", "/send"]);
  proxy.cut();
  await ann.waitForSelector(".notice.down");
  for (const text of ["one", "two", "three"]) await say(ann, text);
  await until(() => ann.evaluate(kept), (all) => all.length === 3, "three messages in the database");
  await ann.reload();
  await ann.waitForSelector('.message.own.sending:has-text("three")');
  await say(ann, "four");
  await until(() => ann.evaluate(kept), (all) => all.length === 4, "four messages in the database");
  await ann.close();
  const again = watch(await ann.context().newPage());
  await again.goto(proxy.url);
  await again.waitForSelector('.message.own.sending:has-text("four")');
  proxy.blocked.clear();
  await tryNow(again);
  assert.deepEqual((await stored(again)).map(([, text]) => text).slice(1), ["one", "two", "three", "four"]);
  await until(() => again.evaluate(kept), (all) => all.length === 0, "nothing left in the database");
  await again.reload();
  await hears(again, "four");
  assert.deepEqual((await stored(again)).map(([offset]) => offset), [1, 2, 3, 4, 5]);
  await again.context().close();
});

test("a page of another origin loads the client and talks, each way, also when it comes back with its token", async () => {
  await start([]);
  const elsewhere = http.createServer((request, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Elsewhere</title>"));
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const page = watch(await browser.newPage());
  await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
  const heard = await page.evaluate(async (url) => {
    const { Parlor } = await import(`${url}/sdk/parlor.js`);
    const heard = [];
    for (const way of ["websocket", "sse", "poll", "sse"]) {
      const parlor = new Parlor({ url: `${url}/ws`, name: "eve", ways: [way] });
      await parlor.connect();
      const message = new Promise((resolve) => parlor.on("message", resolve));
      await parlor.join("elsewhere");
      await parlor.publish("elsewhere", way);
      heard.push([parlor.user, (await message).data]);
      parlor.close();
    }
    return heard;
  }, server.url);
  assert.deepEqual(heard.map(([, way]) => way), ["websocket", "sse", "poll", "sse"]);
  assert.equal(new Set(heard.map(([user]) => user)).size, 1, "one person all the time");
  await page.close();
  elsewhere.close();
});

/** What the page keeps in the browser's database. */
function kept() {
  return new Promise((resolve, reject) => {
    const opened = indexedDB.open("parlor", 1);
    opened.onerror = () => reject(opened.error);
    opened.onsuccess = () => {
      const all = opened.result.transaction("unsent").objectStore("unsent").getAll();
      all.onsuccess = () => (opened.result.close(), resolve(all.result.map(({ command }) => command.data)));
    };
  });
}
