// The stock server's chat with recovery switched on: a stock client that comes back has missed nothing, or says so.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, afterEach } from "node:test";
import { io } from "socket.io-client";
import { Journal, Program, TRANSPORTS, keep, needs, release, within } from "./helper.mjs";
import { Line } from "./line.mjs";

const skip = needs("PARLOR_BIN");
afterEach(release);
const directories = [];
after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true }))));

/** `parlor` with a store, which can be killed and started again on the same port and store. */
class Server {
  static async start(...options) {
    const server = keep(new Server());
    directories.push((server.data = await mkdtemp(join(tmpdir(), "chat-recovery-"))));
    server.options = options;
    await server.again();
    return server;
  }

  async again() {
    this.program = await Program.start("PARLOR", ["--data", this.data, "--no-limits", "--recovery", "60", ...this.options], this.program?.port);
    this.url = this.program.url;
  }

  close() {
    return this.program.close();
  }
}

/** A stock client of the chat, and what it hears. */
class Person {
  journal = new Journal();

  constructor(url, name, { rooms = [], ...options } = {}) {
    this.socket = io(url, { forceNew: true, auth: { name, rooms }, reconnectionDelay: 10, reconnectionDelayMax: 10, randomizationFactor: 0, ...options });
    this.socket.on("connect", () => this.journal.write("connect", { sid: this.socket.id, recovered: this.socket.recovered === true }));
    for (const name of ["welcome", "joined", "message", "direct", "connect_error", "disconnect"]) this.socket.on(name, (...args) => this.journal.write(name, ...args));
    keep(this);
  }

  static async enter(url, name, options = {}) {
    const person = new Person(url, name, options);
    [person.first] = await person.journal.read("connect");
    for (const _ of options.rooms ?? []) await person.journal.read("joined");
    return person;
  }

  /** A command and its answer. */
  ask(name, object) {
    return within(this.socket.emitWithAck(name, object), () => `an answer to ${name}`);
  }

  async publish(room, ...values) {
    for (const data of values) assert.equal((await this.ask("publish", { room, data })).type, "published");
  }

  /** The data of the next messages, and that each has a place behind it unless its room keeps nothing. */
  async hears(count, name = "message") {
    const heard = [];
    for (let n = 0; n < count; n++) {
      const [message, place] = await this.journal.read(name);
      assert.equal(typeof place, "string");
      heard.push(message.data);
    }
    return heard;
  }

  /** Nothing came that was not read. */
  async nothingMore() {
    assert.equal((await this.ask("ping", {})).type, "pong");
    for (const name of ["message", "direct", "welcome", "joined"]) assert.equal(this.journal.unread(name), 0, name);
  }

  async isBack(recovered) {
    const [again] = await this.journal.read("connect");
    assert.equal(again.recovered, recovered);
    assert.equal(again.sid === this.first.sid, recovered);
    this.first = again;
  }

  close() {
    this.socket.disconnect();
  }
}

/** Somebody whose line can be cut. */
async function pair(server, transports, rooms) {
  const line = await Line.to(server.program.port);
  const ann = await Person.enter(line.url, "ann", { rooms, transports });
  await ann.journal.read("welcome");
  // A leave is answered when everything before it is written down.
  await ann.ask("leave", { room: "nowhere" });
  return { line, ann };
}

async function cut({ line, ann }) {
  line.cut();
  await ann.journal.read("disconnect");
}

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  const check = (title, run) => test(`${name}: ${title}`, { skip }, run);

  check("what was said in the rooms of a client comes in one order, and nothing of other rooms", async () => {
    const server = await Server.start();
    const two = await pair(server, transports, ["a", "b"]);
    const bob = await Person.enter(server.url, "bob");
    await bob.publish("a", "before");
    assert.deepEqual(await two.ann.hears(1), ["before"]);
    await cut(two);
    for (const [n, room] of ["a", "b", "c", "a", "c", "b"].entries()) await bob.publish(room, n);
    two.line.mend();
    await two.ann.isBack(true);
    assert.deepEqual(await two.ann.hears(4), [0, 1, 3, 5]);
    await bob.publish("b", "live");
    assert.deepEqual(await two.ann.hears(1), ["live"]);
    await two.ann.nothingMore();
  });

  check("a client that has heard nothing is recovered after a kill", async () => {
    const server = await Server.start();
    const two = await pair(server, transports, ["a"]);
    await server.close();
    await cut(two);
    await server.again();
    const bob = await Person.enter(server.url, "bob");
    await bob.publish("a", 1, 2, 3);
    two.line.mend();
    await two.ann.isBack(true);
    assert.deepEqual(await two.ann.hears(3), [1, 2, 3]);
    await two.ann.nothingMore();
    const { members } = await bob.ask("members", { room: "a" });
    assert.deepEqual(members.map((member) => member.name), ["ann"]);
  });
}

test("ten kills in a row lose nothing and double nothing", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], ["a"]);
  assert.equal((await two.ann.ask("join", { room: "b" })).type, "joined");
  await two.ann.ask("leave", { room: "nowhere" });
  for (let round = 0; round < 10; round++) {
    await server.close();
    await cut(two);
    await server.again();
    const bob = await Person.enter(server.url, "bob");
    await bob.publish("a", `${round} a`);
    await bob.publish("b", `${round} b`);
    two.line.mend();
    await two.ann.isBack(true);
    assert.deepEqual(await two.ann.hears(2), [`${round} a`, `${round} b`]);
    if (round % 2) {
      await bob.publish("b", `${round} live`);
      assert.deepEqual(await two.ann.hears(1), [`${round} live`]);
    }
    bob.close();
  }
  await two.ann.nothingMore();
});

test("a client that is killed with its server right after a join is in the room or a new one", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], ["a"]);
  for (let round = 0; round < 10; round++) {
    assert.equal((await two.ann.ask("join", { room: `${round}` })).type, "joined");
    await server.close();
    await cut(two);
    await server.again();
    const bob = await Person.enter(server.url, "bob");
    await bob.publish(`${round}`, round);
    two.line.mend();
    const [{ recovered }] = await two.ann.journal.read("connect");
    if (recovered) assert.deepEqual(await two.ann.hears(1), [round]);
    bob.close();
  }
});

test("direct messages are among what was missed, and those that were heard are not", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], []);
  const bob = await Person.enter(server.url, "bob");
  await bob.ask("direct", { to: "ann", data: "first" });
  assert.deepEqual(await two.ann.hears(1, "direct"), ["first"]);
  const eve = await Person.enter(server.url, "eve");
  // A guest who has not shown its token is there for others to write to only while it is here.
  two.line.freeze();
  await two.ann.journal.read("disconnect");
  await bob.ask("direct", { to: "ann", data: "second" });
  await eve.ask("direct", { to: "ann", data: "third" });
  two.line.mend();
  await two.ann.isBack(true);
  assert.deepEqual(await two.ann.hears(2, "direct"), ["second", "third"]);
  await two.ann.nothingMore();
});

test("attempts that fail take nothing from the one that succeeds", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], ["a"]);
  const bob = await Person.enter(server.url, "bob");
  await cut(two);
  const values = Array.from({ length: 20 }, (_, n) => n);
  await bob.publish("a", ...values);
  let failures = 0;
  two.line.mend();
  two.line.listen((bytes) => {
    // The server has taken the client back; the client does not hear of it.
    if (failures === 3 || !bytes.toString("latin1").includes('"pid":"')) return bytes.length;
    failures++;
    return 0;
  });
  await two.ann.isBack(true);
  assert.equal(failures, 3);
  assert.deepEqual(await two.ann.hears(20), values);
  await two.ann.nothingMore();
});

test("a room left is not heard again, one joined is, and who speaks meanwhile is heard once", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], ["a", "b"]);
  const bob = await Person.enter(server.url, "bob");
  await bob.publish("b", "in b");
  assert.deepEqual(await two.ann.hears(1), ["in b"]);
  assert.equal((await two.ann.ask("leave", { room: "b" })).type, "left");
  assert.equal((await two.ann.ask("join", { room: "c", last: 5 })).type, "joined");
  await cut(two);
  // Publications go on while it comes back.
  const publishing = bob.publish("c", ...Array.from({ length: 300 }, (_, n) => n));
  await bob.publish("b", "not for ann");
  two.line.mend();
  await two.ann.isBack(true);
  assert.deepEqual(await two.ann.hears(300), Array.from({ length: 300 }, (_, n) => n));
  await publishing;
  await two.ann.nothingMore();
});

test("what cannot be given whole is not given at all: too much, or a room that keeps nothing", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], ["a"]);
  const bob = await Person.enter(server.url, "bob");
  await cut(two);
  await Promise.all(Array.from({ length: 1100 }, (_, n) => bob.publish("a", n)));
  two.line.mend();
  await two.ann.isBack(false);
  await two.ann.journal.read("welcome");
  await two.ann.journal.read("joined");
  await two.ann.nothingMore();
  assert.equal((await two.ann.ask("join", { room: "live:goals" })).type, "joined");
  await cut(two);
  two.line.mend();
  await two.ann.isBack(false);
});

test("a ring in memory that a kill has emptied, and a goodbye, end it", { skip }, async () => {
  const server = await Server.start();
  const two = await pair(server, ["websocket"], ["memory:game"]);
  const bob = await Person.enter(server.url, "bob");
  await cut(two);
  await bob.publish("memory:game", 1);
  two.line.mend();
  await two.ann.isBack(true);
  assert.deepEqual(await two.ann.hears(1), [1]);
  await server.close();
  await cut(two);
  await server.again();
  two.line.mend();
  await two.ann.isBack(false);
  two.ann.socket.disconnect();
  await two.ann.journal.read("disconnect");
  two.ann.socket.connect();
  await two.ann.isBack(false);
});

test("without a store it lasts as long as the process", { skip }, async () => {
  const server = await Server.start("--engine", "memory");
  const two = await pair(server, ["websocket"], ["a"]);
  const bob = await Person.enter(server.url, "bob");
  await cut(two);
  await bob.publish("a", 1);
  two.line.mend();
  await two.ann.isBack(true);
  assert.deepEqual(await two.ann.hears(1), [1]);
  await server.close();
  await cut(two);
  await server.again();
  two.line.mend();
  await two.ann.isBack(false);
});

test("a place that is not the server's own gives a new connection", { skip }, async () => {
  const server = await Server.start();
  const ann = await Person.enter(server.url, "ann", { rooms: ["a"], reconnection: false });
  await ann.publish("a", 1);
  const { sid } = ann.first;
  const [pid, offset] = [ann.socket._pid, ann.socket._lastOffset];
  assert.match(offset, /^\d+\/.+\/a$/);
  ann.socket.io.engine.close();
  await ann.journal.read("disconnect");
  for (const [auth, recovered] of [[{ pid, offset: "" }, false], [{ pid, offset: offset.replace("/a", "/b") }, false], [{ pid, offset: `9${offset}` }, false], [{ pid: "unheard of", offset }, false], [{ pid, offset }, true]]) {
    const again = await Person.enter(server.url, undefined, { auth });
    assert.equal(again.first.sid === sid, recovered, JSON.stringify(auth));
    again.socket.io.engine.close();
  }
});
