// Clients that break no rule of the protocol and yet could cost everybody else dearly.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { after, afterEach, before } from "node:test";
import { Peer, Program, beyondNode, keep, needs, release, until } from "./helper.mjs";
import { Poll, RS, Wire } from "./raw.mjs";

const skip = needs("DEMO_BIN");
const PATH = "/socket.io/";
let demo;
before(async () => {
  if (!skip) demo = await Program.start("DEMO");
});
afterEach(release);
after(() => demo?.close());

/** The most memory that the program has held so far, in MB. */
async function peak(program) {
  const status = await readFile(`/proc/${program.process.pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)[1]) / 1024;
}

/** What a client asks for and never reads: 400 MB. */
const FLOOD = '42["burst",4000,100000]';
/** What the server may hold meanwhile, all buffers and logs together. */
const BOUND = 200;

/** The id of the socket in the answers to its CONNECT. */
const sidOf = (packets) => /"sid":"([^"]+)"/.exec(packets)[1];

for (const [transport, open] of [
  ["WebSocket", async (program) => {
    const wire = await Wire.open(program, PATH);
    wire.send("40");
    const sid = sidOf(await wire.read());
    wire.ws.pause();
    wire.send(FLOOD);
    return sid;
  }],
  ["poll", async (program) => {
    const poll = await Poll.open(program, PATH);
    await poll.send("40");
    const sid = sidOf((await poll.packets()).join(""));
    await poll.send(FLOOD);
    return sid;
  }],
]) {
  test(`a client that never reads its ${transport} is cut off before it fills the memory`, { skip: beyondNode("DEMO_BIN", "it keeps all that waits") }, async () => {
    const program = keep(await Program.start("DEMO"));
    const watcher = await Peer.join(program.url);
    const sid = await open(program);
    await until(() => watcher.ask("reasons", sid), "the end of the one who does not read");
    const held = await peak(program);
    assert.ok(held < BOUND, `${Math.round(held)} MB`);
    assert.equal(watcher.unread("disconnect"), 0);
  });
}

test("a member who never reads delays nobody in the room", { skip }, async () => {
  const [one, two] = await Promise.all([Peer.join(demo.url), Peer.join(demo.url)]);
  const wire = await Wire.open(demo, PATH);
  wire.send("40");
  await wire.read();
  wire.send('420["join","slow"]');
  await two.ask("join", "slow");
  await until(async () => (await one.ask("room-size", "slow")) === 2, "both members");
  wire.ws.pause();
  const text = "x".repeat(100_000);
  for (let n = 0; n < 200; n++) one.emit("to-room", "slow", [n, text]);
  for (let n = 0; n < 200; n++) {
    const [{ payload }] = await two.hears("room-msg");
    assert.equal(payload[0], n);
  }
});

for (const [title, open] of [
  ["a WebSocket", async () => {
    const wire = await Wire.open(demo, PATH);
    return () => wire.ended();
  }],
  ["a polling session", async () => {
    const poll = await Poll.open(demo, PATH);
    return async () => {
      // It answers each ping, so only its silence towards Socket.IO can end it.
      for (let answer = await poll.get(); answer.status === 200; answer = await poll.get()) {
        if (answer.body === "2") await poll.post("3");
      }
    };
  }],
]) {
  test(`${title} that never joins a namespace is ended`, { skip }, async () => {
    await (await open())();
  });
}

test("a body of a million separators costs its sender alone", { skip }, async () => {
  const [watcher, poll] = [await Peer.join(demo.url), await Poll.open(demo, PATH)];
  await poll.post(RS.repeat(1_000_000)).catch(() => {});
  assert.equal(await watcher.ask("add", 1, 1), 2);
  assert.equal((await poll.get()).status, 400);
});

test("five hundred rooms of one client are left when it goes", { skip }, async () => {
  const [watcher, peer] = [await Peer.join(demo.url), await Peer.join(demo.url)];
  const names = Array.from({ length: 500 }, (_, n) => `many-${n}`);
  for (const name of names) peer.emit("join", name, () => {});
  assert.equal((await peer.ask("join", "many-0")).length, 500);
  assert.equal(await watcher.ask("room-size", "many-499"), 1);
  const { sid } = peer;
  peer.close();
  await until(() => watcher.ask("reasons", sid), "the end");
  const sizes = await Promise.all(names.map((name) => watcher.ask("room-size", name)));
  assert.deepEqual(new Set(sizes), new Set([0]));
});

test("connections that come and go leave the server as it was", { skip }, async () => {
  const watcher = await Peer.join(demo.url);
  const sids = [];
  for (let round = 0; round < 10; round++) {
    const peers = await Promise.all(Array.from({ length: 10 }, (_, n) => Peer.join(demo.url, { transports: n % 2 ? ["polling"] : ["websocket"] })));
    for (const peer of peers) {
      sids.push(peer.sid);
      peer.close();
    }
  }
  assert.equal(new Set(sids).size, 100, "an id is never given twice");
  for (const sid of sids) assert.equal(await until(() => watcher.ask("reasons", sid), `an end of ${sid}`), "client namespace disconnect");
});
