// Every row of the demo's table of events, over each transport of the stock client.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import { Peer, Program, TRANSPORTS, needs, release, same, settle, until } from "./helper.mjs";

const skip = needs("DEMO_BIN");
let demo;
before(async () => {
  if (!skip) demo = await Program.start("DEMO");
});
afterEach(release);
after(() => demo?.close());

/** A room name that no other test uses. */
let rooms = 0;
const newRoom = () => `room-${++rooms}`;

/** Values that must come back as they went, keys in their order. */
const VALUES = [null, true, false, 0, -1, 1.5, -0.25, 1e21, 1e-7, 9007199254740991, "", "plain", '"\\/\b\f\n\r\t', "héllo 你好 😀 \u2028\u0000", [], {}, [[[]]], { z: 1, a: { "": [null] }, __proto: 2 }, "x".repeat(70_000)];

const BYTES = Buffer.from(Array.from({ length: 300 }, (_, i) => i % 256));

/** Title, and what happens; `join` makes one more client on the row's transport. */
const ROWS = [
  ["a new connection is welcomed with its id, its namespace and no recovery", async (join) => {
    const peer = await join();
    assert.deepEqual(peer.welcome, { sid: peer.sid, ns: "/", recovered: false });
  }],
  ["echo with an ack gives every argument back in the ack and in no event", async (join) => {
    const peer = await join();
    assert.deepEqual(await peer.asks("echo"), []);
    assert.deepEqual(await peer.asks("echo", 1, "two", [3], { four: 4 }), [1, "two", [3], { four: 4 }]);
    assert.equal(peer.unread("echo"), 0);
  }],
  ["echo without an ack gives every argument back in one event", async (join) => {
    const peer = await join();
    for (const args of [[], ["one"], [1, "two", [3], { four: 4 }]]) {
      peer.emit("echo", ...args);
      assert.deepEqual(await peer.hears("echo"), args);
    }
  }],
  ["every JSON value comes back as it was sent, with its keys in order", async (join) => {
    const peer = await join();
    same(await peer.asks("echo", ...VALUES), VALUES);
    peer.emit("echo", ...VALUES);
    same(await peer.hears("echo"), VALUES);
  }],
  ["bytes come back as bytes, wherever they stand among the arguments", async (join) => {
    const peer = await join();
    const args = [Buffer.from([]), "text", { deep: [BYTES, { more: Buffer.from([255]) }] }, BYTES];
    assert.deepEqual(await peer.asks("echo", ...args), args);
    peer.emit("echo", ...args);
    assert.deepEqual(await peer.hears("echo"), args);
  }],
  ["ten attachments in one event come back in order", async (join) => {
    const peer = await join();
    const args = Array.from({ length: 10 }, (_, i) => Buffer.from([i, 0, 255 - i]));
    assert.deepEqual(await peer.asks("echo", ...args), args);
  }],
  ["add acknowledges the sum", async (join) => {
    const peer = await join();
    assert.equal(await peer.ask("add", 1, 2), 3);
    assert.equal(await peer.ask("add", -5, 2.5), -2.5);
  }],
  ["a hundred questions of one tick get each its own answer", async (join) => {
    const peer = await join();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => peer.ask("add", i, 1000)));
    assert.deepEqual(answers, Array.from({ length: 100 }, (_, i) => i + 1000));
  }],
  ["a hundred events of one tick come back in order", async (join) => {
    const peer = await join();
    for (let i = 0; i < 100; i++) peer.emit("echo", i);
    for (let i = 0; i < 100; i++) assert.deepEqual(await peer.hears("echo"), [i]);
  }],
  ["what is emitted before the connection stands arrives in order after it", async (_join, options) => {
    const peer = new Peer(demo.url, options);
    for (let i = 0; i < 50; i++) peer.emit("echo", i, Buffer.from([i]));
    for (let i = 0; i < 50; i++) assert.deepEqual(await peer.hears("echo"), [i, Buffer.from([i])]);
  }],
  ["never-ack and unknown events are never acknowledged, whatever their names", async (join) => {
    const peer = await join();
    const acked = [];
    for (const name of ["never-ack", "unheard of", "", "__proto__", "constructor", "toString", "hasOwnProperty", "error", "welcome"]) {
      peer.emit(name, () => acked.push(name));
      peer.emit(name, "argument", BYTES, () => acked.push(name));
      peer.emit(name);
    }
    assert.equal(await peer.ask("slow-ack", 100), "late");
    assert.deepEqual(acked, []);
    assert.ok(peer.socket.connected);
  }],
  ["a slow acknowledgement is overtaken by a fast one", async (join) => {
    const peer = await join();
    const order = [];
    await Promise.all([
      peer.ask("slow-ack", 300).then((word) => order.push(word)),
      peer.ask("add", 1, 1).then((sum) => order.push(sum)),
    ]);
    assert.deepEqual(order, [2, "late"]);
  }],
  ["two hundred slow acknowledgements at once all arrive, and the heartbeat goes on meanwhile", async (join) => {
    const peer = await join();
    for (let i = 0; i < 200; i++) peer.emit("never-ack", () => assert.fail("acknowledged"));
    const answers = await Promise.all(Array.from({ length: 200 }, () => peer.ask("slow-ack", 1500)));
    assert.deepEqual(new Set(answers), new Set(["late"]));
    assert.equal(peer.unread("disconnect"), 0);
  }],
  ["ask-me asks the client and passes on the list of its answers", async (join) => {
    const peer = await join();
    peer.socket.on("question", (payload, ack) => ack("heard", payload, 3));
    for (const payload of ["text", { a: [1] }, BYTES, null]) {
      peer.emit("ask-me", payload);
      assert.deepEqual(await peer.hears("answer"), [["heard", payload, 3]]);
    }
    peer.socket.off("question").on("question", (_payload, ack) => ack());
    peer.emit("ask-me", "nothing to say");
    assert.deepEqual(await peer.hears("answer"), [[]]);
  }],
  ["ask-me says answer-timeout when the client does not answer in time", async (join) => {
    const peer = await join();
    peer.emit("ask-me", "anybody?");
    assert.deepEqual(await peer.hears("answer-timeout"), []);
    const [, ack] = await peer.hears("question");
    ack("too late");
    assert.equal(await peer.ask("add", 1, 1), 2);
    assert.equal(peer.unread("answer"), 0);
  }],
  ["bin-info has received bytes as bytes and text as text", async (join) => {
    const peer = await join();
    assert.deepEqual(await peer.ask("bin-info", BYTES), { len: 300, first: 0, last: 43 });
    assert.deepEqual(await peer.ask("bin-info", new Uint8Array([7])), { len: 1, first: 7, last: 7 });
    assert.deepEqual(await peer.ask("bin-info", "AAEC"), { error: "not binary" });
    assert.deepEqual(await peer.ask("bin-info", { _placeholder: "no", num: 0 }), { error: "not binary" });
  }],
  ["make-bin acknowledges with the bytes that were asked for", async (join) => {
    const peer = await join();
    for (const size of [0, 1, 300, 200_000]) {
      const bytes = await peer.ask("make-bin", size);
      assert.ok(Buffer.from(Array.from({ length: size }, (_, i) => i % 256)).equals(Buffer.from(bytes)), `${size} bytes`);
    }
  }],
  ["join and leave acknowledge the sorted list of rooms", async (join) => {
    const peer = await join();
    assert.deepEqual(await peer.ask("join", "pear"), ["pear"]);
    assert.deepEqual(await peer.ask("join", "apple"), ["apple", "pear"]);
    assert.deepEqual(await peer.ask("join", "apple"), ["apple", "pear"]);
    assert.deepEqual(await peer.ask("leave", "pear"), ["apple"]);
    assert.deepEqual(await peer.ask("leave", "never joined"), ["apple"]);
    assert.deepEqual(await peer.ask("leave", "apple"), []);
  }],
  ["rooms may have any text as their name", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    for (const room of ["with space", "__proto__", "constructor", "a#b,c/d?e%25", "房间 😀", "/", "x".repeat(150)]) {
      assert.deepEqual(await two.ask("join", room), [room]);
      assert.equal(await one.ask("room-size", room), 1);
      one.emit("to-room", room, 1);
      assert.deepEqual(await two.hears("room-msg"), [{ room, from: one.sid, payload: 1 }]);
      assert.deepEqual(await two.ask("leave", room), []);
    }
  }],
  ["to-room reaches the room without the sender", async (join) => {
    const [one, two, three] = await Promise.all([join(), join(), join()]);
    const room = newRoom();
    await Promise.all([one, two].map((peer) => peer.ask("join", room)));
    for (const payload of ["text", { a: BYTES }]) {
      one.emit("to-room", room, payload);
      assert.deepEqual(await two.hears("room-msg"), [{ room, from: one.sid, payload }]);
    }
    three.emit("to-room", room, "from outside");
    for (const peer of [one, two]) assert.deepEqual(await peer.hears("room-msg"), [{ room, from: three.sid, payload: "from outside" }]);
    await settle(one, three);
    await settle(three, one);
    for (const peer of [one, two, three]) assert.equal(peer.unread("room-msg"), 0);
  }],
  ["in-room reaches the room and a sender who is in it", async (join) => {
    const [one, two, three] = await Promise.all([join(), join(), join()]);
    const room = newRoom();
    await Promise.all([one, two].map((peer) => peer.ask("join", room)));
    for (const sender of [one, three]) {
      sender.emit("in-room", room, "all of you");
      for (const peer of [one, two]) assert.deepEqual(await peer.hears("room-msg"), [{ room, from: sender.sid, payload: "all of you" }]);
    }
    await settle(one, three);
    assert.equal(three.unread("room-msg"), 0);
  }],
  ["to-except leaves out the sockets of the second room", async (join) => {
    const [one, two, three] = await Promise.all([join(), join(), join()]);
    const [room, except] = [newRoom(), newRoom()];
    await Promise.all([one, two, three].map((peer) => peer.ask("join", room)));
    await two.ask("join", except);
    one.emit("to-except", room, except, "not you");
    for (const peer of [one, three]) assert.deepEqual(await peer.hears("room-msg"), [{ room, from: one.sid, payload: "not you" }]);
    await settle(one, two);
    assert.equal(two.unread("room-msg"), 0);
    three.emit("to-except", room, one.sid, "not the first");
    for (const peer of [two, three]) assert.deepEqual(await peer.hears("room-msg"), [{ room, from: three.sid, payload: "not the first" }]);
    await settle(three, one);
    assert.equal(one.unread("room-msg"), 0);
  }],
  ["whoever has left a room hears no more of it", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    const room = newRoom();
    await two.ask("join", room);
    await two.ask("leave", room);
    one.emit("to-room", room, "gone?");
    await settle(one, two);
    assert.equal(two.unread("room-msg"), 0);
  }],
  ["broadcast reaches all others, all reaches the sender too", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    one.emit("broadcast", { by: BYTES });
    one.emit("all", "everyone");
    assert.deepEqual(await two.hears("broadcast"), [{ by: BYTES }]);
    for (const peer of [one, two]) assert.deepEqual(await peer.hears("all"), ["everyone"]);
    assert.equal(one.unread("broadcast"), 0);
  }],
  ["private reaches one socket and says from whom", async (join) => {
    const [one, two, three] = await Promise.all([join(), join(), join()]);
    for (const payload of ["psst", BYTES, [1, { two: 2 }]]) {
      one.emit("private", two.sid, payload);
      assert.deepEqual(await two.hears("private"), [{ from: one.sid, payload }]);
    }
    await settle(two, three);
    assert.equal(three.unread("private"), 0);
  }],
  ["room-ack gathers one answer of each member", async (join) => {
    const [one, two, three] = await Promise.all([join(), join(), join()]);
    const room = newRoom();
    await Promise.all([one, two].map((peer) => peer.ask("join", room)));
    for (const [name, peer] of Object.entries({ one, two, three })) peer.socket.on("poll", (payload, ack) => ack(`${name} ${payload}`, "ignored"));
    assert.deepEqual((await three.ask("room-ack", room, "here")).sort(), ["one here", "two here"]);
    assert.deepEqual((await one.ask("room-ack", room, "too")).sort(), ["one too", "two too"]);
    assert.deepEqual(await one.ask("room-ack", newRoom(), "nobody"), []);
  }],
  ["room-ack passes on the answers that came in time when a member is silent", async (join) => {
    const [one, two, three] = await Promise.all([join(), join(), join()]);
    const room = newRoom();
    await Promise.all([one, two].map((peer) => peer.ask("join", room)));
    two.socket.on("poll", (payload, ack) => ack(payload));
    assert.deepEqual(await three.ask("room-ack", room, BYTES), [BYTES]);
    assert.equal(one.unread("poll"), 1);
  }],
  ["room-size counts the sockets of a room, and one that ended no longer", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    const room = newRoom();
    assert.equal(await one.ask("room-size", room), 0);
    await Promise.all([one, two].map((peer) => peer.ask("join", room)));
    assert.equal(await one.ask("room-size", room), 2);
    assert.equal(await one.ask("room-size", two.sid), 1);
    const { sid } = two;
    two.close();
    await until(() => one.ask("reasons", sid), "a reason for the end of the second client");
    assert.equal(await one.ask("room-size", room), 1);
    assert.equal(await one.ask("room-size", sid), 0);
  }],
  ["a volatile event arrives at a client that is ready, without an offset", async (join) => {
    const peer = await join();
    // It may be dropped while a poll is on its way; a client that goes on asking hears it.
    await until(async () => {
      peer.emit("volatile", { now: 1 });
      await peer.ask("add", 0, 0);
      return peer.unread("volatile") > 0;
    }, "a volatile event");
    assert.deepEqual(await peer.hears("volatile"), [{ now: 1 }]);
  }],
  ["session values stay with the socket that set them", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    assert.equal(await one.ask("session-get", "colour"), null);
    assert.equal(await one.ask("session-set", "colour", { name: "蓝", rgb: [0, 0, 255] }), true);
    assert.deepEqual(await one.ask("session-get", "colour"), { name: "蓝", rgb: [0, 0, 255] });
    assert.equal(await two.ask("session-get", "colour"), null);
  }],
  ["whoami knows the handshake and the rooms", async (join, { transports }) => {
    const peer = await join({ auth: { token: "abc", n: 1 }, query: { colour: "light blue", again: "1&2" }, extraHeaders: { "x-test": "yes" } });
    await peer.ask("join", "a room");
    const { query, rooms, transport, ...rest } = await peer.ask("whoami");
    assert.deepEqual(rest, { sid: peer.sid, ns: "/", auth: { token: "abc", n: 1 }, xtest: "yes" });
    assert.equal(query.EIO, "4");
    assert.equal(query.colour, "light blue");
    assert.equal(query.again, "1&2");
    assert.ok(rooms.includes("a room"));
    if (transports) assert.equal(transport, transports[0]);
    assert.equal((await (await join()).ask("whoami")).xtest, null);
  }],
  ["a burst arrives whole and in order", async (join) => {
    const peer = await join();
    for (const [n, size] of [[500, 10], [20, 50_000], [1, 900_000]]) {
      peer.emit("burst", n, size);
      for (let i = 0; i < n; i++) assert.deepEqual(await peer.hears("burst"), [i, "x".repeat(size)]);
    }
  }],
  ["events of both directions cross a connection under load in order", async (join) => {
    const peer = await join();
    peer.emit("burst", 500, 100);
    for (let i = 0; i < 500; i++) peer.emit("echo", i, "y".repeat(100));
    for (let i = 0; i < 500; i++) assert.deepEqual(await peer.hears("burst"), [i, "x".repeat(100)]);
    for (let i = 0; i < 500; i++) assert.deepEqual(await peer.hears("echo"), [i, "y".repeat(100)]);
  }],
  ["a message just below the limit passes, one above it ends the connection and nothing else", async (join) => {
    const [one, two] = await Promise.all([join(), join()]);
    const [back] = await one.asks("echo", "x".repeat(990_000));
    assert.equal(back.length, 990_000);
    one.emit("echo", "x".repeat(1_100_000));
    assert.match(await one.ends(), /^transport (close|error)$/);
    assert.equal(await two.ask("add", 1, 1), 2);
  }],
];

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  for (const [title, run] of ROWS) {
    test(`${name}: ${title}`, { skip }, () => run((options) => Peer.join(demo.url, { transports, ...options }), { transports }));
  }
}

test("nine members on three transports hear what all of them say in one order", { skip }, async () => {
  const kinds = Object.values(TRANSPORTS).flatMap((transports) => [transports, transports, transports]);
  const members = await Promise.all(kinds.map((transports) => Peer.join(demo.url, { transports })));
  const room = newRoom();
  await Promise.all(members.map((peer) => peer.ask("join", room)));
  for (let n = 0; n < 30; n++) for (const peer of members) peer.emit("in-room", room, n);
  const heard = await Promise.all(members.map(async (peer) => {
    const texts = [];
    while (texts.length < 270) texts.push((await peer.hears("room-msg"))[0]);
    return texts;
  }));
  for (const texts of heard) assert.deepEqual(texts, heard[0]);
  for (const { sid } of members) {
    assert.deepEqual(heard[0].filter(({ from }) => from === sid).map(({ payload }) => payload), Array.from({ length: 30 }, (_, n) => n));
  }
});

test("upgrade: the client ends up on a WebSocket", { skip }, async () => {
  const peer = await Peer.join(demo.url);
  await until(async () => (await peer.ask("whoami")).transport === "websocket", "the upgrade");
  assert.equal(peer.socket.io.engine.transport.name, "websocket");
});

test("without recovery an event carries its own arguments and no offset", { skip }, async () => {
  const plain = await Program.start("DEMO", ["--no-recovery"]);
  try {
    const peer = await Peer.join(plain.url, { offsets: false });
    peer.emit("echo", "only this");
    assert.deepEqual(await peer.hears("echo"), ["only this"]);
    assert.deepEqual(peer.welcome, { sid: peer.sid, ns: "/", recovered: false });
    await release();
  } finally {
    await plain.close();
  }
});

for (const [path, type, body] of [["/healthz", /./, "ok"], ["/blank", /^text\/html/, null]]) {
  test(`GET ${path} answers 200`, { skip }, async () => {
    const answer = await fetch(demo.url + path);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type") ?? "none", type);
    if (body) assert.equal(await answer.text(), body);
  });
}
