// How the browser client finds a way to its server, what goes over it, and what it keeps for the next page.
import assert from "node:assert/strict";
import test from "node:test";
import { Parlor } from "../sdk/parlor.js";
import { FakeClock, fakeFetch, fakeStore, fakeWebSocket, settle } from "./fake.mjs";

const WELCOME = { type: "welcome", session: "s1", user: "g1", name: "ann", token: "t1", protocol: 1, server: "parlor/0.1.0", limits: { data: 1000 } };
const joined = (id, offset, messages = []) => ({
  type: "joined", id, room: "lobby", offset, pos: `p${offset}`, recovered: true, messages, members: [], count: 0, version: 1,
});
const message = (offset) => ({ type: "message", room: "lobby", offset, pos: `p${offset}`, from: "bob", user: "g2", event: "message", data: offset, time: 1 });

function setUp(options = {}) {
  const clock = options.clock ?? new FakeClock();
  const Socket = fakeWebSocket();
  const network = fakeFetch();
  const store = options.store ?? fakeStore();
  const parlor = new Parlor({ url: "http://chat.test/in/ws", name: "ann", clock, WebSocket: Socket, fetch: network.fetch, store, random: () => 0.5, ...options });
  const seen = [];
  parlor.on("message", ({ offset }) => seen.push(offset));
  parlor.connect().catch(() => {});
  return { clock, Socket, store, parlor, seen, ...network };
}

/** Connected by an event stream, because the WebSocket ended without a word. */
async function overEvents(options) {
  const all = setUp(options);
  await all.Socket.last.end();
  await all.last("/in/sse").stream();
  await all.last("/in/sse").say(WELCOME);
  return all;
}

/** Connected by polls: the stream is refused by something on the way. */
async function overPolls(options) {
  const all = setUp(options);
  await all.Socket.last.end();
  await all.last("/in/sse").answer("not here", 403);
  await all.last("/in/poll").answer({ messages: [WELCOME], cursor: "c1", session: "s1", recovered: true });
  return all;
}

test("a WebSocket that ends without a word is followed by a stream at once, and a stream by polls", async () => {
  const all = setUp();
  assert.equal(all.parlor.state.way, "websocket");
  await all.Socket.last.end();
  const sse = all.last("/in/sse");
  assert.deepEqual([sse.query, sse.headers], [{ name: "ann" }, {}]);
  await sse.answer("<h1>No</h1>", 403);
  const poll = all.last("/in/poll");
  assert.deepEqual(poll.query, { name: "ann", welcome: "1" });
  await poll.answer({ messages: [WELCOME], cursor: "c1", session: "s1", recovered: true });
  assert.deepEqual(all.parlor.state, { phase: "open", way: "poll" });
  assert.deepEqual(all.last("/in/poll").query, { cursor: "c1", wait: "25" });
});

test("when no way leads there, the wait begins only after the last one, and the next attempt starts with the best", async () => {
  const all = setUp();
  await all.Socket.last.end();
  await all.last("/in/sse").fail();
  assert.equal(all.parlor.state.phase, "connecting");
  await all.last("/in/poll").fail();
  assert.equal(all.parlor.state.phase, "waiting");
  await all.clock.advance(250);
  assert.equal(all.Socket.sockets.length, 2);
});

test("a word of the server's is an answer: no other way is tried", async () => {
  const refused = setUp();
  await refused.Socket.last.end(4506, "name_taken");
  assert.equal(refused.parlor.state.phase, "closed");
  const later = setUp();
  await later.Socket.last.end(1013, "later");
  assert.equal(later.parlor.state.phase, "waiting");
  assert.deepEqual([refused.asked.length, later.asked.length], [0, 0]);
});

test("a way that swallows everything is left after four seconds, the last one after ten", async () => {
  const all = setUp();
  await all.clock.advance(4_000);
  assert.equal(all.last("/in/sse").path, "/in/sse");
  await all.last("/in/sse").stream();
  await all.clock.advance(4_000);
  assert.ok(all.last("/in/sse").signal.aborted);
  await all.clock.advance(9_999);
  assert.equal(all.parlor.state.way, "poll");
  assert.equal(all.parlor.state.phase, "connecting");
  await all.clock.advance(1);
  assert.equal(all.parlor.state.phase, "waiting");
});

test("what worked is tried first for ten minutes, by other pages too; then WebSocket has its chance again", async () => {
  const first = await overEvents();
  first.parlor.close();
  const second = setUp({ store: first.store, clock: first.clock });
  assert.deepEqual([second.Socket.sockets.length, second.last("/in/sse").headers.authorization], [0, "Bearer t1"]);
  second.parlor.close();
  const elsewhere = setUp({ store: first.store, clock: first.clock, url: "http://other.test/ws" });
  assert.equal(elsewhere.Socket.sockets.length, 1, "another server");
  await first.clock.advance(600_000);
  const third = setUp({ store: first.store, clock: first.clock });
  assert.equal(third.Socket.sockets.length, 1);
  await third.Socket.last.say(WELCOME);
  assert.deepEqual([...first.store.values.keys()], ["parlor.account"], "the best way needs no note");
});

test("a WebSocket that worked is tried twice alone before the other ways: a restart is no blockade", async () => {
  const all = setUp();
  await all.Socket.last.say(WELCOME);
  await all.Socket.last.end();
  for (let n = 2; n <= 3; n++) {
    await all.clock.advance(1_000);
    assert.equal(all.Socket.sockets.length, n);
    await all.Socket.last.end();
    assert.equal(all.asked.length, 0);
  }
  await all.clock.advance(1_000);
  await all.Socket.last.end();
  assert.equal(all.last("/in/sse").path, "/in/sse");
});

test("over a stream, what is said in one breath is one body, and the next waits for its answer", async () => {
  const all = await overEvents();
  const [first] = all.asked.filter(({ path }) => path === "/in/send");
  assert.equal(first.headers["parlor-session"], "s1");
  assert.deepEqual(first.body.map(({ type }) => type), ["auth"], "a new guest shows its token");
  const results = [all.parlor.publish("lobby", "one"), all.parlor.publish("lobby", "two")];
  await settle();
  assert.equal(all.asked.filter(({ path }) => path === "/in/send").length, 1);
  await first.answer([{ type: "ok", id: first.body[0].id }]);
  const second = all.last("/in/send");
  assert.deepEqual(second.body.map(({ data }) => data), ["one", "two"]);
  await second.answer(second.body.map(({ id }, at) => ({ type: "published", id, room: "lobby", offset: at + 1, ack: "local" })));
  assert.deepEqual((await Promise.all(results)).map(({ offset }) => offset), [1, 2]);
});

test("what arrives on the stream before the answer to the join waits for it", async () => {
  const all = await overEvents();
  await all.last("/in/send").answer([{ type: "ok", id: 1 }]);
  const gaps = [];
  all.parlor.on("gap", (gap) => gaps.push(gap));
  all.parlor.join("lobby");
  await settle();
  await all.last("/in/sse").say(message(43), { type: "gap", room: "lobby", missed: 3 }, { type: "presence", room: "lobby", version: 2, joined: [{ user: "g2", name: "bob" }], left: [], count: 1 });
  assert.deepEqual(all.seen, []);
  const { body } = all.last("/in/send");
  await all.last("/in/send").answer([joined(body[0].id, 42, [message(42)])]);
  assert.deepEqual(all.seen, [42, 43]);
  assert.deepEqual(gaps, [{ room: "lobby", missed: 3, after: "p43" }]);
  assert.deepEqual([...all.parlor.rooms.get("lobby").members.values()], ["bob"]);
});

test("events that come in pieces, with comments between them, are whole", async () => {
  const all = await overEvents();
  await all.last("/in/send").answer([{ type: "ok", id: 1 }]);
  all.parlor.join("lobby");
  await settle();
  await all.last("/in/send").answer([joined(all.last("/in/send").body[0].id, 1)]);
  const said = JSON.stringify({ ...message(2), data: "您好" });
  const bytes = `:\n\nid: x\ndata: ${said}\n\ndata: ${JSON.stringify(message(3))}\n`;
  await all.last("/in/sse").bytes(...bytes.match(/[^]{1,7}/g));
  assert.deepEqual(all.seen, [2]);
  await all.last("/in/sse").bytes("\n");
  assert.deepEqual(all.seen, [2, 3]);
});

test("a stream is dead after 35 seconds of silence; comments are not silence", async () => {
  const all = await overEvents();
  await all.last("/in/send").answer([{ type: "ok", id: 1 }]);
  await all.clock.advance(34_999);
  await all.last("/in/sse").bytes(":\n\n");
  await all.clock.advance(34_999);
  assert.equal(all.parlor.state.phase, "open");
  await all.clock.advance(1);
  assert.equal(all.parlor.state.phase, "waiting");
  assert.deepEqual(all.asked.filter(({ path }) => path === "/in/send").length, 1, "asking elsewhere would prove nothing");
});

test("who comes back another way resumes at the last message of any way", async () => {
  const all = await overEvents();
  await all.last("/in/send").answer([{ type: "ok", id: 1 }]);
  all.parlor.join("lobby");
  await settle();
  await all.last("/in/send").answer([joined(all.last("/in/send").body[0].id, 1)]);
  await all.last("/in/sse").say(message(2));
  all.parlor.publish("lobby", "unanswered");
  await settle();
  const { key } = all.last("/in/send").body[0];
  await all.last("/in/sse").end();
  for (let n = 0; n < 3; n++) {
    await all.clock.advance(1_000);
    await all.last("/in/sse").fail();
  }
  await all.Socket.last.end();
  await all.last("/in/poll").answer({ messages: [{ ...WELCOME, session: "s2" }], cursor: "c1", session: "s2", recovered: true });
  const { body, headers } = all.last("/in/send");
  assert.equal(headers["parlor-session"], "s2");
  assert.deepEqual(body.map(({ type, since, key }) => [type, since ?? key]), [["join", "p2"], ["publish", key]]);
  await all.last("/in/poll").answer({ messages: [message(3)], cursor: "c2", session: "s2", recovered: true });
  await all.last("/in/send").answer([joined(body[0].id, 3, [message(3)]), { type: "published", id: body[1].id, room: "lobby", offset: 4, ack: "local" }]);
  assert.deepEqual(all.seen, [2, 3], "nothing twice");
});

test("a poll that is answered by another session means that one's own is over", async () => {
  const all = await overPolls();
  await all.last("/in/poll").answer({ messages: [], cursor: "c2", recovered: true });
  assert.equal(all.parlor.state.phase, "waiting");
  assert.equal(all.parlor.state.reason, "the session is over");
});

test("a refusal over HTTP ends it as over a WebSocket, with the server's sentence", async () => {
  const all = setUp({ ways: ["sse", "poll"] });
  await all.last("/in/sse").answer({ type: "error", code: "name_taken", message: "ann is here already", suggestions: ["ann-2"] }, 409);
  assert.equal(all.parlor.state.phase, "closed");
  assert.deepEqual([all.parlor.state.code, all.parlor.state.error.message], [4506, "ann is here already"]);
  const busy = setUp({ ways: ["sse", "poll"] });
  await busy.last("/in/sse").answer({ type: "error", code: "busy", message: "later", retry_after: 5 }, 503);
  assert.equal(busy.parlor.state.retryAt - busy.clock.now(), 5_250);
});

test("a token that has lapsed is given up once over HTTP too", async () => {
  const store = fakeStore({ "parlor.account": '{"name":"ann","token":"old"}' });
  const all = setUp({ store, ways: ["sse"] });
  assert.equal(all.last("/in/sse").headers.authorization, "Bearer old");
  await all.last("/in/sse").answer({ type: "error", code: "unauthenticated", message: "no such token" }, 401);
  assert.equal(all.asked.length, 2);
  assert.equal(all.last("/in/sse").headers.authorization, undefined);
});

/** A keeper in memory. */
function fakeKeeper() {
  const all = new Map();
  const done = async () => {};
  return { map: all, all: async () => [...all.values()], put: (waiting) => (all.set(waiting.key, structuredClone(waiting)), done()), remove: (key) => (all.delete(key), done()) };
}

test("what had no answer is sent by the next page, first, in its order and with its keys", async () => {
  const unsent = fakeKeeper();
  const first = setUp({ unsent, ways: ["websocket"] });
  await first.Socket.last.say(WELCOME);
  await first.Socket.last.end();
  for (const data of ["one", "two"]) first.parlor.publish("lobby", data).catch(() => {});
  first.parlor.publish("lobby", true, { event: "typing", store: false }).catch(() => {});
  const keys = [...unsent.map.keys()];
  assert.equal(keys.length, 2);
  first.parlor.close();
  await settle();

  const second = setUp({ unsent, store: first.store, clock: first.clock, ways: ["websocket"] });
  second.parlor.publish("lobby", "three");
  const kept = await second.parlor.unsent();
  assert.deepEqual(kept.map(({ data, room, key }) => [data, room, key]), [["one", "lobby", keys[0]], ["two", "lobby", keys[1]]]);
  await second.Socket.last.say(WELCOME);
  const sent = second.Socket.last.of("publish");
  assert.deepEqual(sent.map(({ data }) => data), ["one", "two", "three"]);
  assert.deepEqual(sent.slice(0, 2).map(({ key }) => key), keys);
  await second.Socket.last.say(...sent.map(({ id }, at) => ({ type: "published", id, room: "lobby", offset: at + 1, ack: "local" })));
  assert.equal((await kept[1].sent).offset, 2);
  assert.equal(unsent.map.size, 0);
});

test("nobody sends what another account has written", async () => {
  const unsent = fakeKeeper();
  const ann = setUp({ unsent, ways: ["websocket"] });
  await ann.Socket.last.say(WELCOME);
  ann.parlor.publish("lobby", "mine").catch(() => {});
  ann.parlor.close();

  const other = setUp({ unsent, token: "someone", ways: ["websocket"] });
  await other.Socket.last.say({ ...WELCOME, user: "g9" });
  assert.deepEqual(await other.parlor.unsent(), []);
  assert.deepEqual(other.Socket.last.of("publish"), []);
  other.parlor.close();

  const lapsed = setUp({ unsent, store: ann.store, ways: ["websocket"] });
  const [{ sent }] = await lapsed.parlor.unsent();
  const refused = assert.rejects(sent, { code: "unauthenticated" });
  await lapsed.Socket.last.say({ ...WELCOME, user: "g7" });
  await refused;
  assert.deepEqual(lapsed.Socket.last.of("publish"), []);
});

test("who forgets the account forgets what it had not sent", async () => {
  const unsent = fakeKeeper();
  const all = setUp({ unsent, ways: ["websocket"] });
  await all.Socket.last.say(WELCOME);
  all.parlor.publish("lobby", "mine").catch(() => {});
  all.parlor.close();
  all.parlor.forget();
  await settle();
  assert.equal(unsent.map.size, 0);
});

test("a message that waited past its key gets a new one only if it was never sent before", async () => {
  const all = setUp({ ways: ["websocket"] });
  const result = assert.rejects(all.parlor.publish("lobby", "late"), { code: "key_expired" });
  await all.Socket.last.say(WELCOME);
  const [first] = all.Socket.last.of("publish");
  const expired = { type: "error", code: "key_expired", message: "too old" };
  await all.Socket.last.say({ ...expired, id: first.id });
  const [, second] = all.Socket.last.of("publish");
  assert.notEqual(second.key, first.key);
  await all.Socket.last.end();
  await all.clock.advance(1_000);
  await all.Socket.last.say(WELCOME);
  assert.equal(all.Socket.last.of("publish")[0].key, second.key);
  await all.Socket.last.say({ ...expired, id: all.Socket.last.of("publish")[0].id });
  await result;
});
