// Socket.IO packet by packet: every sentence of the protocol's document that binds a server, and what real clients rest on.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import { Program, beyondNode, needs, release } from "./helper.mjs";
import { Poll, RS, Wire } from "./raw.mjs";

const PATH = "/socket.io/";
const skip = needs("ECHO_BIN");
const demoSkip = needs("DEMO_BIN");
let echo, small, demo;
before(async () => {
  if (!skip) {
    echo = await Program.start("ECHO");
    small = await Program.start("ECHO", ["--max-payload", "1000"]);
  }
  if (!demoSkip) demo = await Program.start("DEMO");
});
afterEach(release);
after(() => Promise.all([echo?.close(), small?.close(), demo?.close()]));

const check = (title, run) => test(title, { skip }, run);

/** A WebSocket whose Engine.IO handshake is done. */
const wired = (program = echo) => Wire.open(program, PATH);

/** The same after it has joined `namespaces` and heard their first event. */
async function joined(...namespaces) {
  const wire = await wired();
  for (const namespace of namespaces.length ? namespaces : ["/"]) {
    const prefix = namespace === "/" ? "" : `${namespace},`;
    wire.send(`40${prefix}`);
    assert.ok((await wire.read()).startsWith(`40${prefix}{`));
    assert.equal(await wire.read(), `42${prefix}["auth",{}]`);
  }
  return wire;
}

/** The program serves the next client, whatever the last one did. */
async function serves() {
  assert.ok(echo.alive, echo.said);
  const wire = await joined();
  wire.send('42["message","next"]');
  assert.equal(await wire.read(), '42["message-back","next"]');
}

/** A JSON placeholder for attachment `num`. */
const held = (num) => `{"_placeholder":true,"num":${num}}`;

for (const [sent, prefix, auth] of [
  ["40", "", "{}"],
  ['40{"token":"123"}', "", '{"token":"123"}'],
  ["40{}", "", "{}"],
  ['40{"z":[1,{"y":null}],"a":"你"}', "", '{"z":[1,{"y":null}],"a":"你"}'],
  ["40/custom", "/custom,", "{}"],
  ["40/custom,", "/custom,", "{}"],
  ['40/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}'],
]) {
  check(`${sent} is answered with the key sid alone, and the auth that came arrives`, async () => {
    const wire = await wired();
    wire.send(sent);
    const answer = await wire.read();
    assert.match(answer, new RegExp(`^40${prefix}\\{"sid":"[\\w-]{20,}"\\}$`));
    assert.ok(!answer.includes(wire.handshake.sid), "the session's id is a secret of the transport");
    assert.equal(await wire.read(), `42${prefix}["auth",${auth}]`);
  });
}

for (const sent of ["40/random", "40/random,", '40/random,{"token":"a"}']) {
  check(`${sent} is an invalid namespace, and the connection stays`, async () => {
    const wire = await wired();
    wire.send(sent, "40");
    assert.equal(await wire.read(), '44/random,{"message":"Invalid namespace"}');
    assert.match(await wire.read(), /^40\{/);
  });
}

check("both namespaces live on one connection under ids of their own", async () => {
  const wire = await joined("/", "/custom");
  wire.send('42["message","main"]', '42/custom,["message","custom"]');
  assert.deepEqual([await wire.read(), await wire.read()], ['42["message-back","main"]', '42/custom,["message-back","custom"]']);
});

for (const leave of ["41/custom", "41/custom,"]) {
  check(`${leave} leaves one namespace and not the other`, async () => {
    const wire = await joined("/", "/custom");
    wire.send(leave, '42["message","message to main namespace"]');
    assert.equal(await wire.read(), '42["message-back","message to main namespace"]');
    wire.send("40/custom,");
    assert.match(await wire.read(), /^40\/custom,\{"sid":/);
  });
}

/** What goes in, and what must come out; bytes stand for attachments. */
const [A, B] = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
const EXCHANGES = [
  ["plain text", ['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']],
  ["no arguments", ['42["message"]'], ['42["message-back"]']],
  ["keys in their order and text of any script", ['42["message",{"z":1,"a":{"":0}},"你好 😀","\\"\\\\\\n"]'], ['42["message-back",{"z":1,"a":{"":0}},"你好 😀","\\"\\\\\\n"]']],
  ["attachments after their text", [`452-["message",${held(0)},${held(1)}]`, A, B], [`452-["message-back",${held(0)},${held(1)}]`, A, B]],
  ["an attachment deep inside", [`451-["message",{"a":[${held(0)}],"b":1}]`, A], [`451-["message-back",{"a":[${held(0)}],"b":1}]`, A]],
  ["an empty attachment", [`451-["message",${held(0)}]`, Buffer.alloc(0)], [`451-["message-back",${held(0)}]`, Buffer.alloc(0)]],
  ["ten attachments", [`4510-["message",${Array.from({ length: 10 }, (_, i) => held(i))}]`, ...Array.from({ length: 10 }, (_, i) => Buffer.from([i]))], [`4510-["message-back",${Array.from({ length: 10 }, (_, i) => held(i))}]`, ...Array.from({ length: 10 }, (_, i) => Buffer.from([i]))]],
  ["a placeholder's look in a text event, which is only an object", [`42["message",${held(0)}]`], [`42["message-back",${held(0)}]`]],
  ["an ack of text", ['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']],
  ["an ack of nothing", ['420["message-with-ack"]'], ["430[]"]],
  ["an ack under a long id", ['429007199254740991["message-with-ack",1]'], ["439007199254740991[1]"]],
  ["an ack of attachments", [`452-789["message-with-ack",${held(0)},${held(1)}]`, A, B], [`462-789[${held(0)},${held(1)}]`, A, B]],
  ["text in a namespace", ['42/custom,["message",1]'], ['42/custom,["message-back",1]']],
  ["an ack in a namespace", ['42/custom,7["message-with-ack",1]'], ["43/custom,7[1]"]],
  ["attachments in a namespace", [`451-/custom,["message",${held(0)}]`, A], [`451-/custom,["message-back",${held(0)}]`, A]],
  ["an ack of attachments in a namespace", [`451-/custom,12["message-with-ack",${held(0)}]`, A], [`461-/custom,12[${held(0)}]`, A]],
  ["an answer that nobody asked for, which is ignored", ['4399["x"]', '42["message",1]'], ['42["message-back",1]']],
  ["an event that nobody listens to, which is ignored", ['42["unheard of",1]', '421["__proto__"]', '42["message",2]'], ['42["message-back",2]']],
];

/** A packet as a polling body carries it. */
const asText = (packet) => (typeof packet === "string" ? packet : `b${packet.toString("base64")}`);

for (const [title, sent, wanted] of EXCHANGES) {
  check(`over a WebSocket: ${title}`, async () => {
    const wire = await joined("/", "/custom");
    wire.send(...sent);
    for (const packet of wanted) assert.deepEqual(await wire.read(), packet);
  });
}

/** A polling session in both namespaces. */
async function polled() {
  const poll = await Poll.open(echo, PATH);
  await poll.send("40", "40/custom,");
  assert.equal((await gather(poll, 4)).filter((packet) => packet.includes('["auth",{}]')).length, 2);
  return poll;
}

/** The next `count` packets, by as many polls as it takes. */
async function gather(poll, count) {
  const packets = [];
  while (packets.length < count) packets.push(...(await poll.packets()));
  return packets;
}

for (const [title, sent, wanted] of EXCHANGES) {
  check(`over polling: ${title}`, async () => {
    const poll = await polled();
    await poll.send(...sent.map(asText));
    assert.deepEqual(await gather(poll, wanted.length), wanted.map(asText));
  });
}

check("a hundred events in one body come back in order", async () => {
  const poll = await polled();
  await poll.send(...Array.from({ length: 100 }, (_, i) => `42["message",${i}]`));
  assert.deepEqual(await gather(poll, 100), Array.from({ length: 100 }, (_, i) => `42["message-back",${i}]`));
});

test("no answer to a poll has more than sixteen packets, and what follows a cut is the attachment that was due", { skip: beyondNode("ECHO_BIN", "it puts all that waits into one answer") }, async () => {
  const poll = await polled();
  const one = [`451-["message",${held(0)}]`, asText(A), '42["message",1]'];
  await poll.send(...Array.from({ length: 30 }, () => one).flat());
  const seen = [];
  while (seen.length < 90) {
    const packets = await poll.packets();
    assert.ok(packets.length <= 16, `${packets.length} packets`);
    seen.push(...packets);
  }
  assert.deepEqual(seen, Array.from({ length: 30 }, () => [`451-["message-back",${held(0)}]`, asText(A), '42["message-back",1]']).flat());
});

check("a thousand events of one connection come back in order", async () => {
  const wire = await joined();
  wire.send(...Array.from({ length: 1000 }, (_, i) => `42["message",${i}]`));
  for (let i = 0; i < 1000; i++) assert.equal(await wire.read(), `42["message-back",${i}]`);
});

/** What ends a connection that has joined `/`. */
const ENDS = [
  ["an unknown type", "49"],
  ["text that is no packet", "4abc"],
  ["nothing at all", "4"],
  ["an event that is an object", "42{}"],
  ["an event that is text", '42"message"'],
  ["an event without a name", "42[]"],
  ["an event whose name is an object", '42[{"message":1}]'],
  ["an event whose name is null", "42[null]"],
  ["JSON that ends too early", '42["message"'],
  ["something behind the JSON", '42["message"]]'],
  ["NaN for a number", '42["message",NaN]'],
  ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => [`the reserved name ${name}`, `42["${name}"]`]),
  ["an answer that is an object", "431{}"],
  ["a DISCONNECT with an argument", '41{"a":1}'],
  ["a CONNECT_ERROR, which is the server's to send", '44{"message":"x"}'],
  ["a second CONNECT", "40"],
  ["an event of a namespace that was not joined", '42/custom,["message"]'],
  ["a DISCONNECT of a namespace that was not joined", "41/custom,"],
  ["bytes that no text announced", A],
  ["a binary event without a count", `45["message",${held(0)}]`],
  ["a binary event with none", '450-["message"]'],
  ["a count that is no number", `45x-["message",${held(0)}]`],
  ["a count that is negative", `45-1-["message",${held(0)}]`],
  ["a broken count", `451.5-["message",${held(0)}]`],
  ["more than ten attachments", `4511-["message",${held(0)}]`],
  ["a count that would fill the memory", `455999999-["message",${held(0)}]`],
  ["text where an attachment was due", `451-["message",${held(0)}]`, '42["message",1]'],
  ["a placeholder beyond the attachments", `451-["message",${held(1)}]`, A],
  ["a negative placeholder", `451-["message",${held(-1)}]`, A],
  ["a placeholder that is text", '451-["message",{"_placeholder":true,"num":"0"}]', A],
  ["a placeholder without a number", '451-["message",{"_placeholder":true}]', A],
];

for (const [title, ...packets] of ENDS) {
  check(`${title} ends the connection and nothing else`, async () => {
    const wire = await joined();
    wire.send(...packets);
    await wire.ended();
    await serves();
  });
}

for (const sent of ["40[]", '40"text"', "40null", "40{", "40/custom,[1]", '42["message","too early"]', "41", A]) {
  check(`${typeof sent === "string" ? sent : "bytes"} as the first packet ends the connection`, async () => {
    const wire = await wired();
    wire.send(sent);
    await wire.ended();
    await serves();
  });
}

check("an event of a namespace that was left ends the connection", async () => {
  const wire = await joined();
  wire.send("41", '42["message",1]');
  await wire.ended();
});

check("an invalid packet over polling ends the session", async () => {
  const poll = await polled();
  await poll.post("42{}").catch(() => {});
  let last;
  do last = await poll.get();
  while (last.status === 200);
  assert.deepEqual([last.status, last.body], [400, '{"code":1,"message":"Session ID unknown"}']);
  await serves();
});

check("an announced attachment that never comes keeps nothing alive", async () => {
  const wire = await joined();
  wire.send(`452-["message",${held(0)},${held(1)}]`, A);
  wire.ws.close();
  await wire.ended();
  await serves();
});

check("a message over the limit ends the connection with 1009", async () => {
  const wire = await wired(small);
  wire.send(`42["message","${"x".repeat(1000)}"]`);
  assert.equal(await wire.ended(), 1009);
});

for (const [title, before, open, close, after] of [
  ["lists in an event", '42["message",', "[", "]", "]"],
  ["objects in an event", '42["message",', '{"a":', "}", "]"],
  ["lists in an acknowledged event", '421["message-with-ack",', "[", "]", "]"],
  ["lists in a binary event", '451-["message",', "[", "]", `,${held(0)}]`],
  ["lists in the auth", '40/custom,{"a":', "[", "]", "}"],
]) {
  test(`a hundred thousand ${title} do not hurt the server`, { skip: beyondNode("ECHO_BIN", "its stack overflows and the process ends") }, async () => {
    const depth = open.length > 1 ? 100_000 / 2 : 100_000;
    const wire = await joined();
    const inside = open === "[" ? "" : "0";
    wire.send(before + open.repeat(depth) + inside + close.repeat(depth) + after, ...(before.startsWith("451") ? [A] : []));
    // It may be echoed or refused; either way something is heard.
    await Promise.race([wire.read().catch(() => null), wire.ended()]);
    await serves();
  });
}

for (const [title, run] of [
  ["an answer", (origin) => fetch(`${demo.url}${PATH}?EIO=4&transport=polling`, { headers: { origin } })],
  ["a refusal", (origin) => fetch(`${demo.url}${PATH}?EIO=4&transport=abc`, { headers: { origin } })],
]) {
  test(`${title} may be read by a page of any origin`, { skip: demoSkip }, async () => {
    const origin = "http://elsewhere.example";
    assert.ok(["*", origin].includes((await run(origin)).headers.get("access-control-allow-origin")));
  });
}

test("a page of any origin may ask whether it may POST", { skip: demoSkip }, async () => {
  const headers = { origin: "http://elsewhere.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type" };
  const answer = await fetch(`${demo.url}${PATH}?EIO=4&transport=polling`, { method: "OPTIONS", headers });
  assert.ok([200, 204].includes(answer.status), `${answer.status}`);
  assert.match(answer.headers.get("access-control-allow-methods"), /POST/);
  assert.match(answer.headers.get("access-control-allow-headers"), /content-type|\*/i);
});

test("a WebSocket of any origin is taken", { skip: demoSkip }, async () => {
  const wire = await Wire.open(demo, PATH, { origin: "http://elsewhere.example" });
  wire.send("40");
  assert.match(await wire.read(), /^40\{/);
});
