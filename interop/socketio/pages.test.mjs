// The stock server's pages of messages: a stock client has bytes in them as bytes, ten attachments at most.
import assert from "node:assert/strict";
import test, { afterEach } from "node:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io } from "socket.io-client";
import { Journal, Program, TRANSPORTS, keep, needs, release, within } from "./helper.mjs";

const skip = needs("PARLOR_BIN");
const PLACEHOLDER = { _placeholder: true, num: 0 };
let directory;
afterEach(async () => {
  await release();
  await rm(directory, { recursive: true });
});

/** The stock server, and somebody who is in a room of it. */
async function start(transports, ...options) {
  directory = await mkdtemp(join(tmpdir(), "pages-"));
  const server = keep(await Program.start("PARLOR", ["--data", directory, "--no-limits", ...options]));
  return { url: server.url, ann: await Client.enter(server.url, { auth: { name: "ann" }, transports }) };
}

class Client {
  journal = new Journal();

  static async enter(url, options) {
    const client = keep(new Client());
    client.socket = io(url, { forceNew: true, reconnection: false, ...options });
    for (const name of ["welcome", "joined", "message", "direct"]) client.socket.on(name, (...args) => client.journal.write(name, ...args));
    const [{ token }] = await client.journal.read("welcome");
    return Object.assign(client, { token });
  }

  ask(name, object) {
    return within(this.socket.emitWithAck(name, object), () => `an answer to ${name}`);
  }

  async publish(...values) {
    for (const data of values) assert.equal((await this.ask("publish", { room: "files", data })).type, "published");
  }

  async hears(count, name = "message") {
    const heard = [];
    for (let n = 0; n < count; n++) heard.push((await this.journal.read(name))[0].data);
    return heard;
  }

  /** The data of one page of the room, whether there is more, and the offsets at both ends. */
  async page(range) {
    const { messages, more } = await this.ask("history", { room: "files", ...range });
    return { data: messages.map((message) => message.data), more, first: messages[0]?.offset, last: messages.at(-1)?.offset };
  }

  close() {
    this.socket.disconnect();
  }
}

const bytes = (count, from = 0) => Array.from({ length: count }, (_, n) => Buffer.from([from + n, 255]));

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: a page ends after the tenth attachment, and the next goes on there`, { skip }, async () => {
    const { ann } = await start(transports);
    const files = bytes(25);
    await ann.publish(...files.slice(0, 12), "text", ...files.slice(12));
    const newest = await ann.page({});
    assert.deepEqual(newest.data, files.slice(15));
    assert.equal(newest.more, true);
    const middle = await ann.page({ before: newest.first });
    assert.deepEqual(middle.data, [...files.slice(5, 12), "text", ...files.slice(12, 15)]);
    assert.equal(middle.more, true);
    const oldest = await ann.page({ before: middle.first });
    assert.deepEqual([oldest.data, oldest.more], [files.slice(0, 5), false]);
    const forwards = await ann.page({ after: 0 });
    assert.deepEqual([forwards.data, forwards.more], [files.slice(0, 10), true]);
    const next = await ann.page({ after: forwards.last, limit: 4 });
    assert.deepEqual([next.data, next.more], [[...files.slice(10, 12), "text", files[12]], true]);
  });
}

test("what a join has no room for follows as messages, also where clients recover", { skip }, async () => {
  const { ann, url } = await start(["websocket"], "--recovery", "60");
  const files = bytes(25);
  await ann.publish(...files);
  const bob = await Client.enter(url, { auth: { name: "bob" }, transports: ["websocket"] });
  const joined = await bob.ask("join", { room: "files", last: 25 });
  assert.deepEqual(joined.messages.map((message) => message.data), files.slice(0, 10));
  await ann.publish("live");
  assert.deepEqual(await bob.hears(16), [...files.slice(10), "live"]);
});

test("several attachments of one message stay together", { skip }, async () => {
  const { ann } = await start(["websocket"]);
  const [a, b, c] = [bytes(4), bytes(4, 10), bytes(4, 20)];
  await ann.publish({ a }, { b, name: '{"_placeholder":true,"num":7}' }, { c });
  const newest = await ann.page({});
  assert.deepEqual([newest.data, newest.more], [[{ b, name: '{"_placeholder":true,"num":7}' }, { c }], true]);
  assert.deepEqual((await ann.page({ before: newest.first })).data, [{ a }]);
});

test("a message that looks like a placeholder gets no bytes of others", { skip }, async () => {
  const { ann, url } = await start(["websocket"]);
  const [file] = bytes(1);
  await ann.publish(file);
  // Clients of Socket.IO cannot say it; others can.
  for (const text of ['{"_placeholder":true,"num":0}', '{"\\u005fplaceholder":true,"num":99}']) {
    const answer = await fetch(`${url}/send?name=eve`, { method: "POST", body: `{"type":"publish","room":"files","data":${text}}` });
    assert.equal(answer.status, 200);
  }
  await ann.publish(file);
  const pages = [];
  for (let page, before; page?.more ?? true; before = page.first) {
    page = await ann.page(before ? { before } : {});
    pages.push(page.data);
  }
  assert.deepEqual(pages, [[file], [PLACEHOLDER, { _placeholder: true, num: 99 }], [file]]);
});

test("what waited for somebody who was away has bytes too", { skip }, async () => {
  const { ann, url } = await start(["websocket"]);
  // Whoever has shown its token can be written to while it is away.
  assert.equal((await ann.ask("auth", { token: ann.token })).type, "ok");
  const bob = await Client.enter(url, { auth: { name: "bob" }, transports: ["websocket"] });
  ann.close();
  const files = bytes(12);
  for (const data of files) assert.equal((await bob.ask("direct", { to: "ann", data })).type, "published");
  const again = await Client.enter(url, { auth: { token: ann.token }, transports: ["websocket"] });
  const [joined] = await again.journal.read("joined");
  assert.deepEqual(joined.messages.map((message) => message.data), files.slice(0, 10));
  assert.deepEqual(await again.hears(2, "direct"), files.slice(10));
});
