// The stock client of Socket.IO 2, which speaks Engine.IO 3, against a server that was asked to take it.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import io from "socket.io-client-2";
import { Journal, Peer, Program, TRANSPORTS, deferred, keep, needs, release, until, within } from "./helper.mjs";
import { Poll } from "./raw.mjs";

const skip = needs("DEMO_BIN");
let demo;
before(async () => {
  if (!skip) demo = await Program.start("DEMO", ["--eio3", "--no-recovery"]);
});
afterEach(release);
after(() => demo?.close());

const BYTES = Buffer.from(Array.from({ length: 300 }, (_, i) => i % 256));
const EVENTS = ["connect", "disconnect", "error", "welcome", "echo", "answer", "room-msg", "all", "private", "burst"];

/** An old client that writes down what it hears; it knows no catch-all, so the events are named. */
class Old {
  #journal = new Journal();

  constructor(path, options) {
    this.socket = keep(io(demo.url + path, { forceNew: true, reconnection: false, ...options }));
    for (const name of EVENTS) this.socket.on(name, (...args) => this.#journal.write(name, ...args));
  }

  static async join(path, options) {
    const old = new Old(path, options);
    [old.welcome] = await old.hears("welcome");
    return old;
  }

  get sid() {
    return this.welcome.sid;
  }

  hears(name) {
    return this.#journal.read(name);
  }

  unread(name) {
    return this.#journal.unread(name);
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  asks(name, ...args) {
    const { promise, resolve } = deferred();
    this.socket.emit(name, ...args, (...reply) => resolve(reply));
    return within(promise, () => `an acknowledgement of ${name}`);
  }

  async ask(name, ...args) {
    return (await this.asks(name, ...args))[0];
  }
}

const ROWS = [
  ["a new connection is welcomed", async (join) => {
    const old = await join("/");
    assert.deepEqual(old.welcome, { sid: old.socket.id, ns: "/", recovered: false });
  }],
  ["echoes come back with and without an ack", async (join) => {
    const old = await join("/");
    const args = [1, "two", [3], { four: 4, a: null }, "héllo 你好 😀"];
    assert.deepEqual(await old.asks("echo", ...args), args);
    old.emit("echo", ...args);
    assert.deepEqual(await old.hears("echo"), args);
    assert.equal(await old.ask("add", 2, 3), 5);
  }],
  ["bytes come back as bytes, in both directions", async (join) => {
    const old = await join("/");
    const args = ["text", BYTES, { deep: [Buffer.from([255])] }];
    const plain = (values) => JSON.stringify(values, (_key, value) => (value instanceof ArrayBuffer ? Buffer.from(value).toJSON() : value));
    assert.equal(plain(await old.asks("echo", ...args)), plain(args));
    old.emit("echo", ...args);
    assert.equal(plain(await old.hears("echo")), plain(args));
    assert.deepEqual(await old.ask("bin-info", BYTES), { len: 300, first: 0, last: 43 });
    assert.ok(BYTES.equals(Buffer.from(await old.ask("make-bin", 300))));
  }],
  ["a hundred events of one tick come back in order", async (join) => {
    const old = await join("/");
    for (let i = 0; i < 100; i++) old.emit("echo", i, "é".repeat(i));
    for (let i = 0; i < 100; i++) assert.deepEqual(await old.hears("echo"), [i, "é".repeat(i)]);
  }],
  ["a burst arrives whole and in order", async (join) => {
    const old = await join("/");
    old.emit("burst", 300, 100);
    for (let i = 0; i < 300; i++) assert.deepEqual(await old.hears("burst"), [i, "x".repeat(100)]);
  }],
  ["the server asks and passes on the answer", async (join) => {
    const old = await join("/");
    old.socket.on("question", (payload, ack) => ack("heard", payload));
    old.emit("ask-me", { a: [1] });
    assert.deepEqual(await old.hears("answer"), [["heard", { a: [1] }]]);
  }],
  ["namespaces are joined beside the main one, with an id that says so", async (join) => {
    const [chat, dynamic] = [await join("/chat"), await join("/dyn-4")];
    assert.deepEqual([chat.welcome.ns, dynamic.welcome.ns], ["/chat", "/dyn-4"]);
    assert.equal(chat.sid, chat.socket.id);
    assert.equal(await chat.ask("add", 1, 1), 2);
  }],
  ["a refusal arrives as an error", async (_join, options) => {
    assert.deepEqual(await new Old("/?reject=1", options).hears("error"), [{ code: "E_REJECT" }]);
    assert.deepEqual(await new Old("/admin", options).hears("error"), [{ code: 401 }]);
  }],
  ["it talks with a client of today in one room", async (join, options) => {
    const old = await join("/");
    const today = await Peer.join(demo.url, { offsets: false, ...options });
    for (const peer of [old, today]) assert.deepEqual(await peer.ask("join", "mixed"), ["mixed"]);
    old.emit("to-room", "mixed", { from: "old" });
    assert.deepEqual(await today.hears("room-msg"), [{ room: "mixed", from: old.sid, payload: { from: "old" } }]);
    today.emit("to-room", "mixed", "你好");
    assert.deepEqual(await old.hears("room-msg"), [{ room: "mixed", from: today.sid, payload: "你好" }]);
  }],
  ["its end is told to others, and the server's to it", async (join) => {
    const [leaves, stays, kicked] = [await join("/"), await join("/"), await join("/")];
    leaves.socket.disconnect();
    assert.match(await until(() => stays.ask("reasons", leaves.sid), "the reason"), /^(client namespace disconnect|transport close)$/);
    kicked.emit("kick");
    assert.deepEqual(await kicked.hears("disconnect"), ["io server disconnect"]);
  }],
  ["its own pings are answered, so that it stays longer than an interval and a time-out", async (join) => {
    const old = await join("/");
    const pongs = deferred();
    let count = 0;
    old.socket.on("pong", () => ++count === 3 && pongs.resolve());
    await within(pongs.promise, () => "three pongs");
    assert.equal(await old.ask("add", 1, 1), 2);
    assert.equal(old.unread("disconnect"), 0);
  }],
];

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  for (const [title, run] of ROWS) {
    const options = transports ? { transports } : {};
    test(`${name}: ${title}`, { skip }, () => run((path) => Old.join(path, options), options));
  }
}

test("version 3 counts characters, and joins the main namespace unasked", { skip }, async () => {
  const handshake = await Poll.request(`${demo.url}/socket.io/?EIO=3&transport=polling&b64=1`);
  assert.equal(handshake.status, 200);
  const [first, ...early] = unpack(handshake.body);
  const { sid, ...rest } = JSON.parse(first.slice(1));
  assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 2000, pingTimeout: 2000, maxPayload: 1000000 });
  const session = `${demo.url}/socket.io/?EIO=3&transport=polling&b64=1&sid=${sid}`;
  const packets = early;
  const gather = async (count) => {
    while (packets.length < count) packets.push(...unpack((await Poll.request(session)).body));
    return packets.splice(0, count);
  };
  assert.deepEqual(await gather(2), ["40", `42["welcome",${JSON.stringify({ sid, ns: "/", recovered: false })}]`]);
  const event = '42["echo","你好😀"]';
  assert.equal((await Poll.request(session, { method: "POST", body: `${event.length}:${event}1:2`, headers: { "content-type": "text/plain;charset=UTF-8" } })).body, "ok");
  assert.deepEqual((await gather(2)).sort(), ["3", event]);
});

/** The packets of a payload of version 3, each behind its length in UTF-16 units. */
function unpack(body) {
  const packets = [];
  for (let at = 0; at < body.length; ) {
    const colon = body.indexOf(":", at);
    const end = colon + 1 + Number(body.slice(at, colon));
    assert.ok(colon > at && end <= body.length, body);
    packets.push(body.slice(colon + 1, end));
    at = end;
  }
  return packets;
}

test("without the setting it is refused in words", { skip }, async () => {
  const strict = await Program.start("DEMO");
  try {
    const { status, body } = await Poll.request(`${strict.url}/socket.io/?EIO=3&transport=polling`);
    assert.deepEqual([status, body], [400, '{"code":5,"message":"Unsupported protocol version"}']);
  } finally {
    await strict.close();
  }
});
