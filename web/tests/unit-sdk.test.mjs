// The browser client against a scripted server: each test is one promise of the client's README.
import assert from "node:assert/strict";
import test from "node:test";
import { delay, mayRetry } from "../sdk/backoff.js";
import { newKey } from "../sdk/key.js";
import { Parlor, ParlorError } from "../sdk/parlor.js";
import { FakeClock, fakeStore, fakeWebSocket, settle } from "./fake.mjs";

const WELCOME = {
  type: "welcome", session: "s1", user: "g1", name: "ann", token: "t1", protocol: 1, server: "parlor/0.1.0", limits: { data: 100 },
};

/** A client, its scripted socket class, its clock, and everything it emits, as [event, value]. */
function setUp(options = {}) {
  const clock = new FakeClock();
  const Socket = fakeWebSocket();
  const store = options.store ?? fakeStore();
  const parlor = new Parlor({ url: "http://chat.test/ws", ways: ["websocket"], clock, WebSocket: Socket, store, random: () => 0.5, ...options });
  const events = [];
  for (const name of ["state", "welcome", "joined", "message", "direct", "gap", "caughtup", "presence", "typing", "read", "lost", "error"]) {
    parlor.on(name, (event) => events.push([name, event]));
  }
  const seen = (name) => events.filter(([event]) => event === name).map(([, value]) => value);
  return { clock, Socket, store, parlor, events, seen };
}

/** The same, connected and welcomed. */
async function connected(options) {
  const all = setUp({ name: "ann", ...options });
  all.parlor.connect();
  await all.Socket.last.say(WELCOME);
  return all;
}

const message = (offset, data = `m${offset}`, more = {}) => ({
  type: "message", room: "lobby", offset, pos: `p${offset}`, from: "bob", user: "g2", event: "message", data, time: 1, ...more,
});
const direct = (offset, more = {}) => ({
  type: "direct", from: "bob", user: "g2", to: "ann", to_user: "g1", offset, pos: `d${offset}`, event: "message", data: `d${offset}`, time: 1, ...more,
});
const joined = (id, offset, more = {}) => ({
  type: "joined", id, room: "lobby", offset, pos: `p${offset}`, recovered: true, messages: [], members: [{ user: "g1", name: "ann" }], count: 1, version: 1, unread: 0, ...more,
});

/** Breaks the connection and lets the client open the next one, which the server welcomes. */
async function reconnect({ Socket, clock }, code) {
  await Socket.last.end(code);
  await clock.advance(20_000);
  await Socket.last.say(WELCOME);
}

/** Joins the lobby, whose newest message is `offset`. */
async function inLobby(all, offset = 41, more = {}) {
  const join = all.parlor.join("lobby", { last: 50 });
  await all.Socket.last.say(joined(all.Socket.last.of("join")[0].id, offset, more));
  await join;
}

test("the address carries the name, the subprotocol carries the token, and never the other way round", async () => {
  const { Socket, parlor, store } = await connected();
  assert.equal(Socket.last.url, "ws://chat.test/ws?name=ann");
  assert.deepEqual(Socket.last.protocols, ["parlor.v1"]);
  assert.deepEqual(JSON.parse(store.getItem("parlor.account")), { name: "ann", token: "t1", user: "g1" });
  parlor.close();

  const again = setUp({ store });
  again.parlor.connect();
  assert.equal(again.Socket.last.url, "ws://chat.test/ws?name=ann", "for the day when the token has lapsed");
  assert.deepEqual(again.Socket.last.protocols, ["parlor.v1", "parlor.token.t1"]);
});

test("a new guest shows its token at once so that its name is kept", async () => {
  const { Socket } = await connected();
  assert.deepEqual(Socket.last.of("auth"), [{ type: "auth", token: "t1", id: 1 }]);
  const remembered = await connected({ store: fakeStore({ "parlor.account": '{"name":"ann","token":"t1"}' }) });
  assert.deepEqual(remembered.Socket.last.of("auth"), [], "the subprotocol has shown it already");
});

test("another name is another person: the kept token is not used", async () => {
  const { Socket } = await connected({ name: "zoe", store: fakeStore({ "parlor.account": '{"name":"ann","token":"t1"}' }) });
  assert.equal(Socket.last.url, "ws://chat.test/ws?name=zoe");
  assert.deepEqual(Socket.last.protocols, ["parlor.v1"]);
});

test("a token that the server refuses is given up once, the name is kept", async () => {
  const all = setUp({ store: fakeStore({ "parlor.account": '{"name":"ann","token":"old"}' }) });
  all.parlor.connect().catch(() => {});
  await all.Socket.last.end(4500, "bad token");
  assert.equal(all.Socket.sockets.length, 2);
  assert.equal(all.Socket.last.url, "ws://chat.test/ws?name=ann");
  await all.Socket.last.end(4500, "bad token");
  assert.equal(all.parlor.state.phase, "closed");
});

test("what is published before the connection is open is sent in order once it is", async () => {
  const all = setUp({ name: "ann" });
  const results = [all.parlor.publish("lobby", "one"), all.parlor.publish("lobby", "two")];
  all.parlor.connect();
  assert.deepEqual(all.Socket.last.sent, []);
  await all.Socket.last.say(WELCOME);
  const [one, two] = all.Socket.last.of("publish");
  assert.deepEqual([one.data, two.data], ["one", "two"]);
  await all.Socket.last.say(
    { type: "published", id: two.id, room: "lobby", offset: 8, pos: "p8", ack: "local" },
    { type: "published", id: one.id, room: "lobby", offset: 7, pos: "p7", ack: "local" },
  );
  assert.deepEqual((await Promise.all(results)).map(({ offset }) => offset), [7, 8]);
  assert.equal(all.parlor.waiting, 0);
});

test("a publish without an answer is sent again with the same key, after the joins", async () => {
  const all = await connected();
  await inLobby(all);
  all.parlor.publish("lobby", "hello");
  const { key } = all.Socket.last.of("publish")[0];
  assert.match(key, /^[0-9a-z]{8}-[0-9a-z]{20}$/);
  await reconnect(all);
  const order = all.Socket.last.sent.filter(({ type }) => type === "join" || type === "publish");
  assert.deepEqual(order.map(({ type }) => type), ["join", "publish"]);
  assert.equal(order[1].key, key);
  assert.equal(order[0].since, "p41");
});

test("a reply that does not come means a dead connection, and the publish is repeated on the next", async () => {
  const all = await connected();
  const { key } = (all.parlor.publish("lobby", "hello"), all.Socket.last.of("publish")[0]);
  await all.clock.advance(10_000);
  assert.equal(all.parlor.state.phase, "waiting");
  assert.deepEqual(all.Socket.sockets[0].closedWith, { code: 1000, reason: "no reply" });
  await all.clock.advance(20_000);
  await all.Socket.last.say(WELCOME);
  assert.equal(all.Socket.last.of("publish")[0].key, key);
});

test("a refusal reaches the publisher with its code and its sentence", async () => {
  const all = await connected();
  const result = all.parlor.publish("ops", "hello");
  await all.Socket.last.say({ type: "error", id: all.Socket.last.of("publish")[0].id, code: "forbidden", message: "ann may not publish in ops" });
  await assert.rejects(result, (error) => error instanceof ParlorError && error.code === "forbidden" && /may not/.test(error.message));
});

test("rate_limited pauses for retry_after, then goes on one at a time in the old order", async () => {
  const all = await connected();
  for (const data of ["a", "b", "c"]) all.parlor.publish("lobby", data);
  const [a, b, c] = all.Socket.last.of("publish");
  const limited = { type: "error", code: "rate_limited", message: "slower, please", retry_after: 2 };
  await all.Socket.last.say({ ...limited, id: a.id }, { ...limited, id: b.id }, { ...limited, id: c.id });
  await all.clock.advance(1_999);
  assert.equal(all.Socket.last.of("publish").length, 3);
  await all.clock.advance(1);
  assert.deepEqual(all.Socket.last.of("publish").slice(3).map(({ data, key }) => [data, key]), [["a", a.key]]);
  await all.Socket.last.say({ type: "published", id: all.Socket.last.of("publish")[3].id, ack: "local" });
  assert.equal(all.Socket.last.of("publish")[4].data, "b");
});

test("a room that keeps nothing gets no key, and a message that may have arrived is not sent twice", async () => {
  const all = await connected();
  const lost = all.parlor.publish("live:x", "tick");
  const first = all.Socket.last.of("publish")[0];
  await all.Socket.last.say({ type: "error", id: first.id, code: "no_log", message: "this room keeps nothing" });
  assert.equal(all.Socket.last.of("publish")[1].key, undefined);
  await all.Socket.last.end();
  await assert.rejects(lost, { code: "disconnected" });
});

test("at most eight replies are awaited at once", async () => {
  const all = await connected();
  for (let n = 0; n < 12; n++) all.parlor.publish("lobby", n);
  assert.equal(all.Socket.last.of("publish").length, 8);
  await all.Socket.last.say({ type: "published", id: all.Socket.last.of("publish")[0].id, ack: "local" });
  assert.equal(all.Socket.last.of("publish").length, 9);
});

test("the thousand-and-first waiting message is refused", async () => {
  const { parlor } = setUp({ name: "ann" });
  for (let n = 0; n < 1000; n++) parlor.publish("lobby", n).catch(() => {});
  await assert.rejects(parlor.publish("lobby", "too many"), { code: "queue_full" });
  parlor.close();
});

test("data over the server's limit is refused before it is sent", async () => {
  const all = await connected();
  await assert.rejects(all.parlor.publish("lobby", "语".repeat(40)), { code: "too_large" });
  assert.deepEqual(all.Socket.last.of("publish"), []);
});

test("messages of the first join arrive as message events, each once", async () => {
  const all = await connected();
  await inLobby(all, 42, { messages: [message(41), message(42)] });
  await all.Socket.last.say(message(42), message(43));
  assert.deepEqual(all.seen("message").map(({ offset }) => offset), [41, 42, 43]);
  assert.deepEqual(all.seen("caughtup"), []);
});

test("after a break the client resumes at the last message it received and says what it caught up", async () => {
  const all = await connected();
  await inLobby(all, 41);
  await all.Socket.last.say(message(42), message(43));
  await reconnect(all);
  const join = all.Socket.last.of("join")[0];
  assert.deepEqual(join, { type: "join", room: "lobby", since: "p43", id: join.id });
  await all.Socket.last.say(joined(join.id, 46, { messages: [message(44), message(45)] }), message(46), message(47));
  assert.deepEqual(all.seen("message").map(({ offset }) => offset), [42, 43, 44, 45, 46, 47]);
  assert.deepEqual(all.seen("caughtup"), [{ room: "lobby", count: 3 }]);
  assert.deepEqual(all.seen("joined").map(({ resumed, recovered }) => [resumed, recovered]), [[false, true], [true, true]]);
});

test("the position is that of the last message of the first page, not of the head", async () => {
  const all = await connected();
  await inLobby(all, 41);
  await reconnect(all);
  await all.Socket.last.say(joined(all.Socket.last.of("join")[0].id, 500, { messages: [message(42)] }));
  await reconnect(all);
  assert.equal(all.Socket.last.of("join")[0].since, "p42");
});

test("nothing missed is said too, so that the reader knows", async () => {
  const all = await connected();
  await inLobby(all, 41);
  await reconnect(all);
  await all.Socket.last.say(joined(all.Socket.last.of("join")[0].id, 41));
  assert.deepEqual(all.seen("caughtup"), [{ room: "lobby", count: 0 }]);
});

test("what cannot be recovered is told with its reason, and the new log is followed from its head", async () => {
  const all = await connected();
  await inLobby(all, 41);
  await reconnect(all);
  await all.Socket.last.say(joined(all.Socket.last.of("join")[0].id, 3, { recovered: false, reason: "epoch_changed" }), message(4));
  const last = all.seen("joined").at(-1);
  assert.deepEqual([last.resumed, last.recovered, last.reason], [true, false, "epoch_changed"]);
  assert.deepEqual(all.seen("message").map(({ offset }) => offset), [4]);
  assert.deepEqual(all.seen("caughtup"), []);
});

test("a refused join rejects and is not tried again", async () => {
  const all = await connected();
  const join = all.parlor.join("ops");
  await all.Socket.last.say({ type: "error", id: all.Socket.last.of("join")[0].id, code: "forbidden", message: "no" });
  await assert.rejects(join, { code: "forbidden" });
  await reconnect(all);
  assert.deepEqual(all.Socket.last.of("join"), []);
});

test("presence follows versions: old news is ignored, a hole asks for the whole list", async () => {
  const all = await connected();
  await inLobby(all);
  const push = (version, count, joined = [], left = []) => ({ type: "presence", room: "lobby", version, count, joined, left });
  const bob = { user: "g2", name: "bob" };
  await all.Socket.last.say(push(2, 2, [bob]), push(1, 1, [], [bob]));
  assert.deepEqual([...all.parlor.rooms.get("lobby").members.values()], ["ann", "bob"]);
  assert.deepEqual(all.Socket.last.of("members"), []);
  await all.Socket.last.say(push(5, 4, [{ user: "g5", name: "eve" }]));
  const ask = all.Socket.last.of("members")[0];
  const whole = [{ user: "g1", name: "ann" }, bob, { user: "g4", name: "dan" }, { user: "g5", name: "eve" }];
  await all.Socket.last.say({ type: "members", id: ask.id, room: "lobby", members: whole, count: 4, version: 5 });
  assert.deepEqual([...all.parlor.rooms.get("lobby").members.values()], ["ann", "bob", "dan", "eve"]);
});

test("direct messages arrive once, and a hole is filled from history before what came after it", async () => {
  const all = await connected();
  await all.Socket.last.say(direct(4), direct(4), direct(7));
  const ask = all.Socket.last.of("history")[0];
  assert.deepEqual([ask.with, ask.after], ["bob", "d4"]);
  await all.Socket.last.say(direct(8));
  await all.Socket.last.say({ type: "history", id: ask.id, with: "bob", messages: [direct(5), direct(6), direct(7)], more: false });
  assert.deepEqual(all.seen("direct").map(({ offset }) => offset), [4, 5, 6, 7, 8]);
});

test("after a break every conversation is caught up, and unread ones given at the opening are not doubled", async () => {
  const all = await connected();
  await all.Socket.last.say(direct(4));
  await all.Socket.last.end();
  await all.clock.advance(20_000);
  await all.Socket.last.say(WELCOME);
  const ask = all.Socket.last.of("history")[0];
  await all.Socket.last.say({ type: "joined", with: "bob", with_user: "g2", offset: 6, pos: "d6", unread: 3, messages: [direct(4), direct(5), direct(6)] });
  const mine = direct(5, { user: "g1", from: "ann", to: "bob", to_user: "g2" });
  await all.Socket.last.say({ type: "history", id: ask.id, with: "bob", messages: [mine, direct(6)], more: false });
  assert.deepEqual(all.seen("direct").map(({ offset }) => offset), [4, 5, 6]);
});

test("typing is a passing event: at most one in two seconds, never queued, shown apart from messages", async () => {
  const all = setUp({ name: "ann" });
  all.parlor.typing("lobby");
  all.parlor.connect();
  await all.Socket.last.say(WELCOME);
  assert.deepEqual(all.Socket.last.of("publish"), []);
  all.parlor.typing("lobby");
  await all.clock.advance(1_999);
  all.parlor.typing("lobby");
  assert.deepEqual(all.Socket.last.of("publish").map(({ event, store, key }) => [event, store, key]), [["typing", false, undefined]]);
  await all.clock.advance(1);
  all.parlor.typing("lobby");
  assert.equal(all.Socket.last.of("publish").length, 2);
  await all.Socket.last.say({ type: "message", room: "lobby", from: "bob", user: "g2", event: "typing", data: true, time: 1 });
  assert.deepEqual(all.seen("typing").map(({ user }) => user), ["g2"]);
  assert.deepEqual(all.seen("message"), []);
});

test("a question asked during a break is answered after it, a call is not repeated", async () => {
  const all = await connected();
  const rooms = all.parlor.listRooms();
  const call = all.parlor.call("shop.buy", 1);
  await all.Socket.last.end();
  await assert.rejects(call, { code: "disconnected" });
  await all.clock.advance(1_000);
  await all.Socket.last.say(WELCOME);
  assert.deepEqual(all.Socket.last.of("call"), []);
  await all.Socket.last.say({ type: "rooms", id: all.Socket.last.of("rooms")[0].id, rooms: [], more: false });
  assert.deepEqual((await rooms).rooms, []);
});

test("a question without an answer times out with its own code", async () => {
  const all = await connected();
  const members = all.parlor.members("lobby");
  const refused = assert.rejects(members, { code: "timeout" });
  await all.clock.advance(10_000);
  await refused;
});

test("codes of 4500 and above and broken rules end it, all others are tried again", () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4008, 4010, 4013, 4499]) assert.equal(mayRetry(code), true, `${code}`);
  for (const code of [1002, 1007, 1009, 4500, 4503, 4504, 4506, 4507, 4999]) assert.equal(mayRetry(code), false, `${code}`);
});

test("name_taken ends the attempt with the server's suggestions", async () => {
  const all = setUp({ name: "ann" });
  const welcome = assert.rejects(all.parlor.connect(), (error) => error.code === "name_taken" && error.suggestions[0] === "ann-2");
  await all.Socket.last.say({ type: "error", code: "name_taken", message: "ann is here already", suggestions: ["ann-2"] });
  await all.Socket.last.end(4506, "name_taken");
  await welcome;
  assert.equal(all.parlor.state.phase, "closed");
  assert.equal(all.parlor.state.reason, "name_taken");
});

test("bye is honoured: no reconnect means none, retry_after is a floor", async () => {
  const gone = await connected();
  await gone.Socket.last.say({ type: "bye", code: 4503, reason: "kicked", reconnect: false });
  await gone.Socket.last.end(1001);
  assert.equal(gone.parlor.state.phase, "closed");

  const restart = await connected();
  await restart.Socket.last.say({ type: "bye", code: 1001, reason: "shutdown", reconnect: true, retry_after: 3 });
  await restart.Socket.last.end(1001);
  assert.equal(restart.parlor.state.retryAt - restart.clock.now(), 3_250);
});

test("delays double up to twenty seconds, and jitter covers the whole span", () => {
  assert.deepEqual([0, 1, 2, 3, 9].map((n) => delay(n, { random: () => 1 })), [500, 1_000, 2_000, 4_000, 20_000]);
  assert.equal(delay(5, { random: () => 0 }), 0);
  assert.equal(delay(0, { random: () => 0, retryAfter: 1.5 }), 1_500);
});

test("a connection that died quietly is found by asking", async () => {
  const all = await connected();
  await all.clock.advance(25_000);
  assert.equal(all.Socket.last.of("ping").length, 1);
  await all.Socket.last.say({ type: "pong" });
  await all.clock.advance(10_000);
  assert.equal(all.parlor.state.phase, "open");
  await all.clock.advance(15_000);
  assert.equal(all.Socket.last.of("ping").length, 2);
  await all.clock.advance(10_000);
  assert.equal(all.parlor.state.phase, "waiting");
  assert.equal(all.parlor.state.reason, "no answer to ping");
});

test("a gap is told with the place before it, in the rooms one is in", async () => {
  const all = await connected();
  await inLobby(all);
  const gap = { type: "gap", room: "lobby", missed: 12 };
  await all.Socket.last.say(message(42), gap, message(55), { ...gap, room: "elsewhere" });
  assert.deepEqual(all.seen("gap"), [{ room: "lobby", missed: 12, after: "p42" }]);
  assert.deepEqual(all.seen("message").map(({ offset }) => offset), [42, 55]);
});

test("a server that accepts but never greets is given up after ten seconds", async () => {
  const all = setUp({ name: "ann" });
  all.parlor.connect();
  await all.clock.advance(10_000);
  assert.equal(all.parlor.state.phase, "waiting");
  assert.equal(all.parlor.state.reason, "no welcome");
});

test("a listener that throws does not stop the others", async (t) => {
  t.mock.method(console, "error", () => {});
  const all = setUp({ name: "ann" });
  const heard = [];
  all.parlor.on("welcome", () => { throw new Error("mine"); });
  all.parlor.on("welcome", ({ name }) => heard.push(name));
  all.parlor.connect();
  await all.Socket.last.say(WELCOME);
  assert.deepEqual(heard, ["ann"]);
});

test("closing rejects what waits and stops trying", async () => {
  const all = await connected();
  const waiting = assert.rejects(all.parlor.publish("lobby", "x"), { code: "closed" });
  all.parlor.close();
  await waiting;
  await settle();
  await all.clock.advance(60_000);
  assert.equal(all.Socket.sockets.length, 1);
});

test("keys sort by their time and never repeat", () => {
  const early = newKey(1_790_000_000_000);
  assert.equal(parseInt(early.split("-")[0], 36), 1_790_000_000_000);
  assert.ok(early < newKey(1_790_000_000_001));
  assert.notEqual(early, newKey(1_790_000_000_000));
});
