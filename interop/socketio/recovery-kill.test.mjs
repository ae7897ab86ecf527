// Recovery of the unmodified client when the server itself is killed without a word and started again on its store.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, afterEach } from "node:test";
import { Peer, Program, TRANSPORTS, beyondNode, keep, release } from "./helper.mjs";
import { Line } from "./line.mjs";

const skip = beyondNode("DEMO_BIN", "its adapters keep nothing on a disk of their own");
afterEach(release);
const directories = [];
after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true }))));

/** A server with a store, which can be killed and started again on the same port and store. */
class Server {
  static async start() {
    const server = keep(new Server());
    directories.push((server.data = await mkdtemp(join(tmpdir(), "recovery-"))));
    await server.again();
    return server;
  }

  async again() {
    this.program = await Program.start("DEMO", ["--data", this.data], this.program?.port);
    this.url = this.program.url;
  }

  close() {
    return this.program.close();
  }
}

/** A server, and a client of it whose line can be cut. */
async function pair(transports, namespace = "/") {
  const server = await Server.start();
  const line = await Line.to(server.program.port);
  const client = await enter(line, transports, namespace);
  return { server, line, client };
}

/** A client that comes back at once, as often as it takes. */
function enter(line, transports, namespace = "/") {
  const auth = { token: "secret" };
  return Peer.join(line.url + namespace, { transports, auth, reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 10, randomizationFactor: 0 });
}

/** Kills the server and starts it again, with somebody on it who says things while the client is away. */
async function killed({ server, line, client }, namespace = "/") {
  await server.close();
  line.cut();
  await client.ends();
  await server.again();
  return Peer.join(server.url + namespace, { auth: { token: "secret" } });
}

/** Waits for the return and checks that it is the same socket. */
async function recovered(peer, sid) {
  assert.deepEqual(await peer.joined(), { sid, ns: peer.welcome.ns, recovered: true });
}

/** Says something to everybody and waits until it has its place. */
async function say(peer, ...values) {
  for (const value of values) peer.emit("all", value);
  for (const value of values) assert.deepEqual(await peer.hears("all"), [value]);
}

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  const check = (title, run) => test(`${name}: ${title}`, { skip }, run);

  check("a client that has heard nothing but its welcome is recovered after a kill", async () => {
    const all = await pair(transports);
    const { sid } = all.client;
    const other = await killed(all);
    await say(other, 1, 2, 3);
    all.line.mend();
    await recovered(all.client, sid);
    for (const n of [1, 2, 3]) assert.deepEqual(await all.client.hears("all"), [n]);
    await all.client.ask("add", 0, 0);
    assert.equal(all.client.unread("all"), 0);
  });

  check("rooms and session are the same after a kill, and what went to other rooms is not heard", async () => {
    const all = await pair(transports);
    const { client } = all;
    const { sid } = client;
    for (const room of ["one", "two", "left"]) await client.ask("join", room);
    await client.ask("leave", "left");
    await client.ask("session-set", "colour", { rgb: [1, 2, 3] });
    await client.ask("session-set", "key", Buffer.from([0, 255]));
    const other = await killed(all);
    for (const room of ["left", "one", "elsewhere", "two"]) other.emit("to-room", room, room);
    other.emit("to-except", "one", "two", "for nobody here");
    other.emit("private", sid, "for it alone");
    other.emit("private", "somebody else", "not for it");
    await say(other, "end");
    all.line.mend();
    await recovered(client, sid);
    for (const room of ["one", "two"]) assert.deepEqual(await client.hears("room-msg"), [{ room, from: other.sid, payload: room }]);
    assert.deepEqual(await client.hears("private"), [{ from: other.sid, payload: "for it alone" }]);
    assert.deepEqual(await client.hears("all"), ["end"]);
    assert.deepEqual([client.unread("room-msg"), client.unread("private")], [0, 0]);
    assert.deepEqual(await client.ask("session-get", "colour"), { rgb: [1, 2, 3] });
    assert.deepEqual(await client.ask("session-get", "key"), Buffer.from([0, 255]));
    assert.deepEqual(await client.ask("join", "two"), ["one", "two"]);
    other.emit("to-room", "one", "live again");
    assert.deepEqual(await client.hears("room-msg"), [{ room: "one", from: other.sid, payload: "live again" }]);
  });
}

test("ten kills in a row lose nothing and double nothing", { skip }, async () => {
  const all = await pair(["websocket"]);
  const { sid } = all.client;
  await all.client.ask("join", "kept");
  for (let round = 0; round < 10; round++) {
    const other = await killed(all);
    other.emit("to-room", "kept", round);
    await say(other, round);
    all.line.mend();
    await recovered(all.client, sid);
    assert.deepEqual(await all.client.hears("room-msg"), [{ room: "kept", from: other.sid, payload: round }]);
    assert.deepEqual(await all.client.hears("all"), [round]);
    await say(other, `${round} live`);
    assert.deepEqual(await all.client.hears("all"), [`${round} live`]);
    other.close();
  }
  await all.client.ask("add", 0, 0);
  assert.deepEqual([all.client.unread("all"), all.client.unread("room-msg")], [0, 0]);
});

test("what was heard before a kill is not heard again after it", { skip }, async () => {
  const all = await pair(["websocket"]);
  const { sid } = all.client;
  await say(all.client, 1, 2);
  const other = await killed(all);
  await say(other, 3);
  all.line.mend();
  await recovered(all.client, sid);
  assert.deepEqual(await all.client.hears("all"), [3]);
  await all.client.ask("add", 0, 0);
  assert.equal(all.client.unread("all"), 0);
});

test("attempts that fail after a kill take nothing from the one that succeeds", { skip }, async () => {
  const all = await pair(["websocket"]);
  const { sid } = all.client;
  const other = await killed(all);
  const values = Array.from({ length: 20 }, (_, n) => n);
  await say(other, ...values);
  let failures = 0;
  all.line.mend();
  all.line.listen((bytes) => {
    // The server has taken the client back; the client does not hear of it.
    if (failures === 3 || !/"pid":"|42\[/.test(bytes.toString("latin1"))) return bytes.length;
    failures++;
    return 0;
  });
  await recovered(all.client, sid);
  assert.equal(failures, 3);
  for (const n of values) assert.deepEqual(await all.client.hears("all"), [n]);
  await all.client.ask("add", 0, 0);
  assert.equal(all.client.unread("all"), 0);
});

test("a gap that is too large after a kill gives a new socket and none of it", { skip }, async () => {
  const all = await pair(["websocket"]);
  const { sid } = all.client;
  await all.client.ask("join", "forgotten");
  const other = await killed(all);
  await say(other, ...Array.from({ length: 1100 }, (_, n) => n));
  all.line.mend();
  const again = await all.client.joined();
  assert.deepEqual([again.recovered, again.sid === sid], [false, false]);
  assert.equal(await other.ask("room-size", "forgotten"), 0);
  await all.client.ask("add", 0, 0);
  assert.equal(all.client.unread("all"), 0);
});

test("whoever left before a kill is a new socket after it", { skip }, async () => {
  const all = await pair(["websocket"]);
  const stays = await Peer.join(all.server.url);
  const { sid } = all.client;
  all.client.socket.disconnect();
  while ((await stays.ask("room-size", sid)) > 0);
  // A later change that is on disk says that the earlier one is.
  await say(stays, "written down");
  await all.server.close();
  await all.client.ends();
  await all.server.again();
  all.client.socket.connect();
  const again = await all.client.joined();
  assert.deepEqual([again.recovered, again.sid === sid], [false, false]);
});

test("without its store nobody pretends to be recovered", { skip }, async () => {
  const all = await pair(["websocket"]);
  const { sid } = all.client;
  await all.server.close();
  all.line.cut();
  await all.client.ends();
  await rm(all.server.data, { recursive: true });
  await all.server.again();
  all.line.mend();
  const again = await all.client.joined();
  assert.deepEqual([again.recovered, again.sid === sid], [false, false]);
});
