// The stock server: a room is the same room for every protocol, with one order for all.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { WebSocket } from "ws";
import { needs, TRANSPORTS, until, within } from "./helper.mjs";

const skip = needs("PARLOR_BIN");
let server;

/** `parlor serve` on a free port, with data of its own. */
async function start() {
  const dir = await mkdtemp(path.join(tmpdir(), "parlor-one-room-"));
  const data = path.join(dir, "data");
  const child = spawn(process.env.PARLOR_BIN, ["serve", "--listen", "127.0.0.1:0", "--data", data, "--no-limits"], { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = await within(once(createInterface({ input: child.stdout }), "line"), () => "the first line");
  const url = line.replace("listening on ", "");
  return { child, dir, url, key: async () => (await readFile(path.join(data, "api.key"), "utf8")).trim() };
}

before(async () => {
  if (!skip) server = await start();
});

after(async () => {
  if (!server) return;
  server.child.kill("SIGKILL");
  await once(server.child, "exit");
  await rm(server.dir, { recursive: true, force: true });
});

/** Somebody who publishes, and hears the room, whatever the protocol. */
class Member {
  heard = [];
  #waiting = [];

  hears(message) {
    this.heard.push(message);
    this.#waiting = this.#waiting.filter(({ count, done }) => this.heard.length < count || (done(), false));
  }

  async count(count) {
    if (this.heard.length < count) await within(new Promise((done) => this.#waiting.push({ count, done })), () => `${count} messages; there are ${this.heard.length}`);
  }
}

/** A stock Socket.IO client of the stock server. */
async function viaSocketIo(name, transports, rooms = ["hall"]) {
  const socket = io(server.url, { auth: { name, rooms }, transports, forceNew: true });
  const member = new Member();
  socket.on("message", (message) => member.hears(message));
  await within(new Promise((done) => socket.once("joined", done)), () => "joined");
  member.publish = (data) => socket.emitWithAck("publish", { room: "hall", data });
  member.close = () => socket.close();
  member.socket = socket;
  return member;
}

/** A native client. */
async function viaWebSocket(name) {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/ws?name=${name}&room=hall`);
  const member = new Member();
  const replies = new Map();
  let joined;
  const ready = new Promise((done) => (joined = done));
  socket.on("message", (text) => {
    const object = JSON.parse(text);
    if (object.type === "message") member.hears(object);
    if (object.type === "joined") joined();
    replies.get(object.id)?.(object);
  });
  await within(ready, () => "joined");
  let next = 1;
  member.publish = (data) => {
    const id = next++;
    socket.send(JSON.stringify({ type: "publish", id, room: "hall", data }));
    return new Promise((done) => replies.set(id, done));
  };
  member.close = () => socket.close();
  return member;
}

/** Publishes by requests, as the second half of the connection with this session, or as nobody's. */
function viaRequests(session) {
  return async (data) => {
    const headers = session ? { "Parlor-Session": session } : {};
    const answer = await fetch(`${server.url}/send`, { method: "POST", headers, body: JSON.stringify({ type: "publish", room: "hall", data }) });
    return answer.json();
  };
}

/** Server-sent events, or lines: `path` says which. */
async function viaStream(path) {
  const member = new Member();
  const end = new AbortController();
  const answer = await fetch(`${server.url}${path}?room=hall`, { signal: end.signal });
  let session, joined;
  const ready = new Promise((done) => (joined = done));
  (async () => {
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const lines = (text + piece).split("\n");
      text = lines.pop();
      for (const line of lines) {
        const object = /^(?:data: )?(\{.*)/.exec(line)?.[1];
        if (!object) continue;
        const said = JSON.parse(object);
        if (said.type === "welcome") session = said.session;
        if (said.type === "joined") joined();
        if (said.type === "message") member.hears(said);
      }
    }
  })().catch((error) => assert.equal(error.name, "AbortError"));
  await within(ready, () => "joined");
  member.publish = viaRequests(session);
  member.close = () => end.abort();
  return member;
}

/** Long polling. */
async function viaPoll(name) {
  const member = new Member();
  const end = new AbortController();
  const poll = async (more) => (await fetch(`${server.url}/poll?room=hall${more}`, { signal: end.signal })).json();
  const { session, cursor } = await poll(`&name=${name}`);
  (async () => {
    for (let next = cursor; ; ) {
      const answer = await poll(`&cursor=${next}`);
      assert.ok(answer.recovered, JSON.stringify(answer));
      answer.messages.forEach((message) => member.hears(message));
      next = answer.cursor;
    }
  })().catch((error) => assert.equal(error.name, "AbortError"));
  member.publish = viaRequests(session);
  member.close = () => end.abort();
  return member;
}

/** A backend, which hears nothing. */
async function viaHttp() {
  const authorization = `Bearer ${await server.key()}`;
  const publish = async (data) => {
    const answer = await fetch(`${server.url}/api/publish`, { method: "POST", headers: { authorization }, body: JSON.stringify({ room: "hall", data }) });
    return answer.json();
  };
  return { publish, close: () => {} };
}

test("ten publishers and eight subscribers on every transport see one order, and nothing is lost", { skip }, async () => {
  const members = [
    await viaWebSocket("native"),
    await viaSocketIo("socket", TRANSPORTS.websocket),
    await viaSocketIo("poller", TRANSPORTS.polling),
    await viaSocketIo("riser", TRANSPORTS.upgrade),
    await viaStream("/sse"),
    await viaStream("/stream"),
    await viaPoll("long"),
    await viaWebSocket("other"),
  ];
  const publishers = [...members, await viaHttp(), { publish: viaRequests() }];
  const each = 25;
  const offsets = await Promise.all(publishers.map(async (publisher, who) => {
    const own = [];
    for (let n = 0; n < each; n++) {
      const reply = await publisher.publish(`${who} ${n}`);
      assert.ok(reply.offset > 0, JSON.stringify(reply));
      own.push(reply.offset);
    }
    return own;
  }));
  const total = publishers.length * each;
  await Promise.all(members.map((member) => member.count(total)));
  const first = members[0].heard;
  assert.deepEqual(first.map(({ offset }) => offset), Array.from({ length: total }, (_, n) => n + 1));
  for (const member of members) assert.deepEqual(member.heard, first);
  assert.deepEqual(offsets.flat().sort((a, b) => a - b), first.map(({ offset }) => offset));
  members.forEach((member) => member.close());
});

test("commands are events with an ack, refusals are acks, and bytes stay bytes", { skip }, async () => {
  const [ann, bob] = [await viaSocketIo("ann", TRANSPORTS.websocket, ["room1", "hall"]), await viaSocketIo("bob", TRANSPORTS.polling, ["hall"])];
  const native = await viaWebSocket("nat");
  const reply = await ann.publish(Buffer.from([1, 2, 3]));
  assert.equal(reply.type, "published");
  await Promise.all([bob.count(1), native.count(1)]);
  assert.deepEqual(bob.heard.at(-1).data, Buffer.from([1, 2, 3]));
  assert.equal(native.heard.at(-1).data, "AQID");
  assert.equal(bob.heard.at(-1).from, "ann");
  const refused = await ann.socket.emitWithAck("publish", { room: "$secret", data: 1 });
  assert.deepEqual([refused.type, refused.code], ["error", "bad_name"]);
  assert.equal((await ann.socket.emitWithAck("whatever", {})).code, "no_handler");
  assert.equal((await ann.socket.emitWithAck("publish", "x")).code, "bad_message");
  assert.equal((await ann.socket.emitWithAck("ping")).type, "pong");
  const direct = new Promise((done) => bob.socket.once("direct", done));
  assert.equal((await ann.socket.emitWithAck("direct", { to: "bob", data: "psst" })).type, "published");
  assert.equal((await within(direct, () => "the direct message")).data, "psst");
  const members = await ann.socket.emitWithAck("members", { room: "hall" });
  assert.ok(members.members.some(({ name }) => name === "bob"));
  [ann, bob, native].forEach((member) => member.close());
});

test("the line for Socket.IO in the README runs as it stands", { skip }, async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const [line] = /^io\(.*$/m.exec(readme);
  let socket;
  const said = new Promise((done) => {
    const client = (url, options) => (socket = io(url.replace("http://localhost:9527", server.url), { ...options, forceNew: true }));
    new Function("io", "console", line)(client, { log: done });
  });
  assert.deepEqual([(await within(said, () => "the ack")).type, socket.auth], ["published", { name: "dora" }]);
  socket.close();
});

test("a taken name is refused with what a program reads, and the client may try again", { skip }, async () => {
  const first = await viaSocketIo("dora", TRANSPORTS.websocket);
  const second = io(server.url, { auth: { name: "dora" }, forceNew: true });
  const [error] = await within(new Promise((done) => second.once("connect_error", (...args) => done(args))), () => "connect_error");
  assert.deepEqual([error.data.type, error.data.code], ["error", "name_taken"]);
  second.auth = { name: "dora2" };
  second.connect();
  const welcome = await within(new Promise((done) => second.once("welcome", done)), () => "welcome");
  assert.equal(welcome.name, "dora2");
  const other = io(`${server.url}/other`, { forceNew: true, reconnection: false });
  const [wrong] = await within(new Promise((done) => other.once("connect_error", (...args) => done(args))), () => "connect_error");
  assert.equal(wrong.message, "Invalid namespace");
  [first, second, other].forEach((socket) => socket.close());
});

test("everybody hears goodbye when the server is told to stop, also who polls", { skip }, async () => {
  const own = await start();
  const sockets = Object.entries(TRANSPORTS).map(([name, transports]) => io(own.url, { auth: { name }, transports, forceNew: true, reconnection: false }));
  const told = sockets.map((socket) => {
    const said = [];
    socket.on("bye", (bye) => said.push(bye.code));
    return new Promise((done) => socket.on("disconnect", (reason) => done([...said, reason])));
  });
  await within(Promise.all(sockets.map((socket) => new Promise((done) => socket.once("welcome", done)))), () => "welcome");
  // The stock client loses what comes in the middle of its upgrade if its server ends there.
  const carried = () => sockets.map((socket) => socket.io.engine.transport.name).join(" ");
  await until(() => carried() === "websocket polling websocket", "the upgrade");
  const ended = once(own.child, "exit");
  own.child.kill("SIGTERM");
  for (const heard of told) {
    const [bye, reason] = await within(heard, () => "the end");
    assert.equal(bye, 1001);
    // Whoever polls once more after the goodbye finds nobody.
    assert.match(reason, /^transport (close|error)$/);
  }
  assert.deepEqual(await within(ended, () => "the end of the process"), [0, null]);
  await rm(own.dir, { recursive: true, force: true });
});
