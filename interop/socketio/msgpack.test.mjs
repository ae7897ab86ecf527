// The demo's second instance, spoken to with the stock client's MessagePack parser.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import parser from "socket.io-msgpack-parser";
import { Peer, Program, TRANSPORTS, needs, release, same, settle } from "./helper.mjs";
import { Poll, RS, Wire } from "./raw.mjs";

const skip = needs("DEMO_BIN");
let demo;
before(async () => {
  if (!skip) demo = await Program.start("DEMO");
});
afterEach(release);
after(() => demo?.close());

const BYTES = Buffer.from(Array.from({ length: 300 }, (_, i) => i % 256));

/** Values that must come back as they went: each width of number, text, bytes, list and map that the format has. */
const VALUES = [
  null, true, false, 0, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, 9007199254740991,
  -1, -32, -33, -128, -129, -32_768, -32_769, -2_147_483_648, -2_147_483_649, -9007199254740991, 1.5, -0.25, 1e-300,
  "", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65_536), "你好 😀\u0000",
  [], Array.from({ length: 15 }, () => 1), Array.from({ length: 16 }, () => 2), Array.from({ length: 65_536 }, () => 3),
  {}, { z: 1, a: { "": [null] } }, Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`key ${i}`, i])),
];

let rooms = 0;
const newRoom = () => `room-${++rooms}`;

const ROWS = [
  ["a connection without auth is welcomed and has an empty auth", async (join) => {
    const peer = await join();
    assert.deepEqual(peer.welcome, { sid: peer.sid, ns: "/", recovered: false });
    const { auth } = await peer.ask("whoami");
    assert.deepEqual(auth, {});
  }],
  ["auth arrives, and refuses with message and data", async (join) => {
    const admin = await join({ namespace: "/admin", auth: { token: "secret", list: [1, BYTES] } });
    assert.deepEqual((await admin.ask("whoami")).auth, { token: "secret", list: [1, BYTES] });
    for (const [namespace, message, data] of [["/admin", "not authorized", { code: 401 }], ["/nowhere", "Invalid namespace", undefined]]) {
      const peer = new Peer(`${demo.url}${namespace}`, { path: "/msgpack/", parser });
      const [error] = await peer.hears("connect_error");
      assert.deepEqual([error.message, error.data], [message, data]);
    }
  }],
  ["every value comes back as it was sent, with its keys in order", async (join) => {
    const peer = await join();
    same(await peer.asks("echo", ...VALUES), VALUES);
    peer.emit("echo", ...VALUES);
    same(await peer.hears("echo"), VALUES);
  }],
  ["bytes come back as bytes, more than ten of them in one event", async (join) => {
    const peer = await join();
    const args = [Buffer.from([]), { deep: [BYTES] }, Buffer.alloc(70_000, 7), ...Array.from({ length: 12 }, (_, i) => Buffer.from([i]))];
    assert.deepEqual(await peer.asks("echo", ...args), args);
    peer.emit("echo", ...args);
    assert.deepEqual(await peer.hears("echo"), args);
  }],
  ["an undefined argument is read as absent, not as bytes", async (join) => {
    const peer = await join();
    const [first, second, third] = await peer.asks("echo", 1, undefined, 3);
    assert.deepEqual([first, second ?? null, third], [1, null, 3]);
    assert.deepEqual(await peer.ask("bin-info", undefined), { error: "not binary" });
  }],
  ["bin-info and make-bin know bytes", async (join) => {
    const peer = await join();
    assert.deepEqual(await peer.ask("bin-info", BYTES), { len: 300, first: 0, last: 43 });
    assert.deepEqual(await peer.ask("bin-info", "text"), { error: "not binary" });
    for (const size of [0, 1, 300, 70_000]) {
      assert.ok(Buffer.from(Array.from({ length: size }, (_, i) => i % 256)).equals(await peer.ask("make-bin", size)));
    }
  }],
  ["sums, lists of rooms, sizes and late answers are acknowledged", async (join) => {
    const peer = await join();
    const room = newRoom();
    assert.equal(await peer.ask("add", 2, 3), 5);
    assert.deepEqual(await peer.ask("join", room), [room]);
    assert.equal(await peer.ask("room-size", room), 1);
    assert.deepEqual(await peer.ask("leave", room), []);
    assert.equal(await peer.ask("slow-ack", 10), "late");
    assert.equal(await peer.ask("session-set", "key", { value: BYTES }), true);
    assert.deepEqual(await peer.ask("session-get", "key"), { value: BYTES });
    assert.equal(await peer.ask("session-get", "no key"), null);
  }],
  ["the server asks and passes on the answer", async (join) => {
    const peer = await join();
    peer.socket.on("question", (payload, ack) => ack(payload, "and", 3));
    for (const payload of ["text", BYTES, { a: [1] }]) {
      peer.emit("ask-me", payload);
      assert.deepEqual(await peer.hears("answer"), [[payload, "and", 3]]);
    }
  }],
  ["rooms, private messages and broadcasts reach the others", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    const room = newRoom();
    await Promise.all([one, two].map((peer) => peer.ask("join", room)));
    one.emit("to-room", room, BYTES);
    assert.deepEqual(await two.hears("room-msg"), [{ room, from: one.sid, payload: BYTES }]);
    one.emit("private", two.sid, { to: "you" });
    assert.deepEqual(await two.hears("private"), [{ from: one.sid, payload: { to: "you" } }]);
    one.emit("broadcast", [1, 2]);
    assert.deepEqual(await two.hears("broadcast"), [[1, 2]]);
    for (const peer of [one, two]) peer.socket.on("poll", (payload, ack) => ack(payload));
    assert.deepEqual(await one.ask("room-ack", room, BYTES), [BYTES, BYTES]);
    await settle(two, one);
    assert.equal(one.unread("room-msg") + one.unread("broadcast"), 0);
  }],
  ["unknown events are never acknowledged, whatever their names", async (join) => {
    const peer = await join();
    const acked = [];
    for (const name of ["never-ack", "unheard of", "__proto__", "constructor", "toString", "hasOwnProperty"]) peer.emit(name, () => acked.push(name));
    assert.equal(await peer.ask("slow-ack", 50), "late");
    assert.deepEqual(acked, []);
  }],
  ["a burst and a hundred echoes arrive in order", async (join) => {
    const peer = await join();
    peer.emit("burst", 300, 1000);
    for (let i = 0; i < 100; i++) peer.emit("echo", i);
    for (let i = 0; i < 300; i++) assert.deepEqual(await peer.hears("burst"), [i, "x".repeat(1000)]);
    for (let i = 0; i < 100; i++) assert.deepEqual(await peer.hears("echo"), [i]);
  }],
  ["namespaces and their ends are told as with JSON", async (join) => {
    const peer = await join({ namespace: "/dyn-5" });
    assert.equal(peer.welcome.ns, "/dyn-5");
    peer.emit("kick");
    assert.equal(await peer.ends(), "io server disconnect");
    const other = await join({ namespace: "/chat" });
    other.emit("drop");
    assert.equal(await other.ends(), "transport close");
  }],
];

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  for (const [title, run] of ROWS) {
    const join = ({ namespace = "/", ...options } = {}) => Peer.join(demo.url + namespace, { path: "/msgpack/", parser, transports, ...options });
    test(`${name}: ${title}`, { skip }, () => run(join));
  }
}

/** `{"type":0,"nsp":"/"}` in the format's own bytes, and with its data undefined as the client sends it. */
const CONNECT = "82a47479706500a36e7370a12f";
const CONNECT_UNDEFINED = "83a47479706500a36e7370a12fa464617461d40000";

for (const [title, hex] of [["without data", CONNECT], ["with undefined data", CONNECT_UNDEFINED]]) {
  test(`a CONNECT ${title} is answered in one binary message`, { skip }, async () => {
    const wire = await Wire.open(demo, "/msgpack/");
    wire.send(Buffer.from(hex, "hex"));
    const answers = [decode(await wire.read()), decode(await wire.read())];
    const connect = answers.find((packet) => packet.type === 0);
    assert.equal(connect.nsp, "/");
    assert.deepEqual(Object.keys(connect.data), ["sid", "pid"]);
    const welcome = answers.find((packet) => packet.type === 2);
    assert.deepEqual(welcome.data.slice(0, 2), ["welcome", { sid: connect.data.sid, ns: "/", recovered: false }]);
  });
}

test("over polling each packet travels as one base64 message", { skip }, async () => {
  const poll = await Poll.open(demo, "/msgpack/");
  await poll.send(`b${Buffer.from(CONNECT, "hex").toString("base64")}`);
  const packets = [];
  while (packets.length < 2) packets.push(...(await poll.packets()).filter((packet) => packet !== "2"));
  for (const packet of packets) assert.equal(packet[0], "b", packets.join(RS));
  assert.equal(decode(Buffer.from(packets[0].slice(1), "base64")).type, 0);
});

for (const [title, hex] of [
  ["that is no map", "93010203"],
  ["of an unknown type", "82a47479706505a36e7370a12f"],
  ["of a type that is no number", "82a474797065a132a36e7370a12f"],
  ["without a namespace", "81a47479706500"],
  ["that ends in the middle", "82a47479706500a36e73"],
  ["whose list claims four thousand million entries", "83a47479706502a36e7370a12fa464617461ddffffffff"],
  ["of an event whose data is no list", "83a47479706502a36e7370a12fa464617461a178"],
]) {
  test(`a packet ${title} ends the connection`, { skip }, async () => {
    const wire = await Wire.open(demo, "/msgpack/");
    wire.send(Buffer.from(CONNECT, "hex"));
    await wire.read();
    wire.send(Buffer.from(hex, "hex"));
    await wire.ended();
    const peer = await Peer.join(demo.url, { path: "/msgpack/", parser });
    assert.equal(await peer.ask("add", 1, 1), 2);
  });
}

/** What the stock decoder reads out of one message. */
function decode(bytes) {
  assert.ok(Buffer.isBuffer(bytes), `not binary: ${bytes}`);
  const decoder = new parser.Decoder();
  let packet;
  decoder.on("decoded", (decoded) => (packet = decoded));
  decoder.add(bytes);
  return packet;
}
