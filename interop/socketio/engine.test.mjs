// Engine.IO packet by packet: every sentence of the protocol's document that binds a server, and what real clients rest on.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import { Socket } from "engine.io-client";
import { WebSocket } from "ws";
import { Journal, Program, TRANSPORTS, beyondNode, deferred, keep, needs, orInNode, release, until, within } from "./helper.mjs";
import { Poll, RS, Wire } from "./raw.mjs";

const skip = needs("ENGINE_BIN");
/** One program with the default heartbeat, one that beats fast and takes little. */
let engine, quick;
before(async () => {
  if (skip) return;
  engine = await Program.start("ENGINE");
  quick = await Program.start("ENGINE", ["--ping-interval", "300", "--ping-timeout", "1500", "--max-payload", "100"]);
});
afterEach(release);
after(() => Promise.all([engine?.close(), quick?.close()]));

const check = (title, run) => test(title, { skip }, run);
const url = (query) => `${engine.url}/engine.io/?${query}`;
const UNKNOWN_SID = { status: 400, body: '{"code":1,"message":"Session ID unknown"}' };

/** Status and body; the body of a request that was cut off is `reset`. */
async function answer(request) {
  try {
    const { status, body } = await request;
    return { status, body };
  } catch {
    return { status: 0, body: "reset" };
  }
}

/** The status and body with which a WebSocket is refused. */
async function refusal(target) {
  const ws = keep(new WebSocket(target.replace(/^http/, "ws")));
  const { promise, resolve } = deferred();
  ws.on("error", () => {});
  ws.on("unexpected-response", (_request, response) => {
    let body = "";
    response.on("data", (bytes) => (body += bytes));
    response.on("close", () => resolve({ status: response.statusCode, body }));
  });
  ws.on("open", () => resolve("it was accepted"));
  return within(promise, () => "a refusal");
}

check("a polling handshake tells the session, the upgrade and the limits, in this order", async () => {
  const { handshake, headers, early } = await Poll.open(engine);
  assert.deepEqual(Object.entries(handshake), [["sid", handshake.sid], ["upgrades", ["websocket"]], ["pingInterval", 25000], ["pingTimeout", 20000], ["maxPayload", 1000000]]);
  assert.match(handshake.sid, /^[\w-]{20,}$/);
  assert.deepEqual(early, []);
  assert.match(headers.get("content-type"), /^text\/plain; ?charset=UTF-8$/i);
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal(headers.get("set-cookie"), null);
});

check("a WebSocket handshake offers no upgrade", async () => {
  const { handshake } = await Wire.open(engine);
  assert.deepEqual(Object.entries(handshake).slice(1), [["upgrades", []], ["pingInterval", 25000], ["pingTimeout", 20000], ["maxPayload", 1000000]]);
});

check("the options are told in the handshake", async () => {
  for (const { handshake } of [await Poll.open(quick), await Wire.open(quick)]) {
    assert.deepEqual([handshake.pingInterval, handshake.pingTimeout, handshake.maxPayload], [300, 1500, 100]);
  }
});

for (const [query, method, body] of [
  ["EIO=4", "GET", '{"code":0,"message":"Transport unknown"}'],
  ["EIO=4&transport=abc", "GET", '{"code":0,"message":"Transport unknown"}'],
  ["EIO=4&transport=constructor", "GET", '{"code":0,"message":"Transport unknown"}'],
  ["EIO=4&transport=abc&sid=none", "POST", '{"code":0,"message":"Transport unknown"}'],
  ["EIO=4&transport=polling&sid=none", "GET", '{"code":1,"message":"Session ID unknown"}'],
  ["EIO=4&transport=polling&sid=none", "POST", '{"code":1,"message":"Session ID unknown"}'],
  ["EIO=4&transport=polling&sid=__proto__", "GET", '{"code":1,"message":"Session ID unknown"}'],
  ["EIO=4&transport=polling", "POST", '{"code":2,"message":"Bad handshake method"}'],
  ["EIO=4&transport=polling", "PUT", '{"code":2,"message":"Bad handshake method"}'],
  ["EIO=4&transport=websocket", "GET", '{"code":3,"message":"Bad request"}'],
  ["transport=polling", "GET", '{"code":5,"message":"Unsupported protocol version"}'],
  ["EIO=abc&transport=polling", "GET", '{"code":5,"message":"Unsupported protocol version"}'],
  ["EIO=3&transport=polling", "GET", '{"code":5,"message":"Unsupported protocol version"}'],
]) {
  check(`${method} ?${query} is answered 400 ${body}`, async () => {
    const got = await Poll.request(url(query), { method });
    assert.deepEqual([got.status, got.body], [400, body]);
    assert.match(got.headers.get("content-type"), /^application\/json/);
  });
}

for (const [query, message] of [
  ["EIO=4", "Transport unknown"],
  ["EIO=4&transport=abc", "Transport unknown"],
  ["transport=websocket", "Unsupported protocol version"],
  ["EIO=3&transport=websocket", "Unsupported protocol version"],
  ["EIO=4&transport=websocket&sid=none", "Session ID unknown"],
]) {
  test(`a WebSocket with ?${query} is refused: ${message}`, { skip: /version/.test(message) ? beyondNode("ENGINE_BIN", "it takes the upgrade and then writes a status line into it") : skip }, async () => {
    const { status, body } = await refusal(url(query));
    assert.equal(status, 400);
    assert.ok(body.includes(message), body);
  });
}

check("a session is bound to its transport and to its protocol version", async () => {
  const poll = await Poll.open(engine);
  const wire = await Wire.open(engine);
  assert.deepEqual(await answer(Poll.request(url(`EIO=4&transport=polling&sid=${wire.handshake.sid}`))), { status: 400, body: '{"code":3,"message":"Bad request"}' });
  // Node sees a request that does not fit its session, others a version that they do not speak.
  const { status, body } = await answer(Poll.request(url(`EIO=3&transport=polling&sid=${poll.sid}`)));
  assert.ok(status === 400 && [3, 5].includes(JSON.parse(body).code), body);
  await poll.send("4alive");
  assert.deepEqual(await poll.packets(), ["4alive"]);
  wire.send("4alive");
  assert.equal(await wire.read(), "4alive");
});

test("JSONP is refused in words", { skip: beyondNode("ENGINE_BIN", "it still speaks JSONP") }, async () => {
  const { status, body } = await Poll.request(url("EIO=4&transport=polling&j=0"));
  assert.equal(status, 400);
  assert.match(JSON.parse(body).message, /jsonp/i);
});

for (const packets of [["4hello"], ["4one", "4two", "4three"], ["4hello", "bAQIDBA=="], ["4"], ["4héllo 你好 😀"], ["4a\nb\r\n\t", "4\u2028"], ["b", "bAA=="], [`4${"x".repeat(900_000)}`]]) {
  check(`a poll gives back ${JSON.stringify(packets).slice(0, 60)}`, async () => {
    const poll = await Poll.open(engine);
    const posted = await poll.post(packets.join(RS));
    assert.deepEqual([posted.status, posted.body, posted.headers.get("content-type")], [200, "ok", "text/html"]);
    const back = [];
    while (back.length < packets.length) back.push(...(await poll.packets()));
    assert.deepEqual(back, packets);
  });
}

check("a hundred packets in one body come back in order", async () => {
  const poll = await Poll.open(engine);
  const packets = Array.from({ length: 100 }, (_, i) => `4${i}`);
  await poll.send(...packets);
  const back = [];
  while (back.length < 100) back.push(...(await poll.packets()));
  assert.deepEqual(back, packets);
});

test("no answer to a poll has more than sixteen packets", { skip: beyondNode("ENGINE_BIN", "it puts all that waits into one answer") }, async () => {
  const poll = await Poll.open(engine);
  await poll.send(...Array.from({ length: 100 }, (_, i) => `4${i}`));
  for (let seen = 0; seen < 100; ) {
    const { length } = await poll.packets();
    assert.ok(length <= 16, `${length} packets`);
    seen += length;
  }
});

for (const [title, body] of [["nothing", ""], ["an empty packet at the end", `4a${RS}`], ["an empty packet at the start", `${RS}4a`], ["an empty packet in the middle", `4a${RS}${RS}4b`], ["an unknown type", "abc"], ["a digit that is no type", "7"], ["a ping, which is the server's to send", "2"]]) {
  check(`a body with ${title} ends the session`, async () => {
    const poll = await Poll.open(engine);
    const { status } = await answer(poll.post(body));
    // Node cuts the line instead, or says ok before it ends the session.
    assert.ok([400, ...orInNode(0, 200)].includes(status), `${status}`);
    await until(async () => (await poll.get()).body === UNKNOWN_SID.body, "the end of the session");
  });
}

check("a body without a length, in chunks that cut a character, is taken", async () => {
  const poll = await Poll.open(engine);
  const bytes = Buffer.from("4é你😀");
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (sent === bytes.length) controller.close();
      else controller.enqueue(bytes.subarray(sent, ++sent));
    },
  });
  const { status } = await Poll.request(poll.url, { method: "POST", body, duplex: "half", headers: { "content-type": "text/plain" } });
  assert.equal(status, 200);
  assert.deepEqual(await poll.packets(), ["4é你😀"]);
});

check("a body of bytes is refused", async () => {
  const poll = await Poll.open(engine);
  assert.equal((await poll.post("4hello", { "content-type": "application/octet-stream" })).status, 400);
});

check("a body may have as many bytes as were told, and no more", async () => {
  const poll = await Poll.open(quick);
  assert.equal((await poll.post(`4${"é".repeat(49)}`)).status, 200);
  assert.equal((await (await Poll.open(quick)).post(`4${"é".repeat(50)}`)).status, 413);
});

check("a second poll ends the session: the first hears 1, the second 400", async () => {
  const poll = await Poll.open(engine);
  const both = [poll.get(), poll.get()].map(answer);
  assert.deepEqual((await Promise.all(both)).map(({ status, body }) => [status, status === 200 ? body : ""]).sort(), [[200, "1"], [400, ""]]);
  assert.deepEqual(await answer(poll.get()), UNKNOWN_SID);
});

check("closing by POST answers the waiting poll with 6", async () => {
  // The two take connections of their own, so the POST may overtake the poll: then there is no session to wait for.
  await until(async () => {
    const poll = await Poll.open(engine);
    const waiting = poll.get();
    await poll.send("1");
    const first = await answer(waiting);
    assert.deepEqual(first, first.status === 200 ? { status: 200, body: "6" } : UNKNOWN_SID);
    assert.deepEqual(await answer(poll.get()), UNKNOWN_SID);
    return first.status === 200;
  }, "a poll that is there before the close");
});

for (const [title, close, reason] of [
  ["a 1 on its WebSocket", (wire) => wire.send("1"), beyondNode("ENGINE_BIN", "it reads past the packet")],
  ["the WebSocket's own closing", (wire) => wire.ws.close(), skip],
  ["the loss of its WebSocket", (wire) => wire.ws.terminate(), skip],
]) {
  test(`${title} ends the session`, { skip: reason }, async () => {
    const wire = await Wire.open(engine);
    close(wire);
    await wire.ended();
    await until(async () => (await Poll.request(url(`EIO=4&transport=polling&sid=${wire.handshake.sid}`))).body === UNKNOWN_SID.body, "the end of the session");
  });
}

for (const packet of ["4hello", "4", "4héllo 你好 😀", Buffer.from([1, 2, 3, 4]), Buffer.alloc(0), Buffer.from("4hello"), `4${"x".repeat(999_999)}`]) {
  check(`a WebSocket gives back ${JSON.stringify(packet).slice(0, 60)}`, async () => {
    const wire = await Wire.open(engine);
    wire.send(packet);
    assert.deepEqual(await wire.read(), packet);
  });
}

for (const packet of ["abc", "", "7", "2"]) {
  check(`a WebSocket ends at ${JSON.stringify(packet)}`, async () => {
    const wire = await Wire.open(engine);
    wire.send(packet);
    await wire.ended();
  });
}

check("a WebSocket message over the limit ends with 1009", async () => {
  const wire = await Wire.open(quick);
  wire.send(`4${"x".repeat(99)}`);
  assert.equal((await wire.read()).length, 100);
  wire.send(`4${"x".repeat(100)}`);
  assert.equal(await wire.ended(), 1009);
});

check("the first ping comes one interval after the handshake, on both transports", async () => {
  // The clock starts before the handshake, so a slow machine cannot make the interval look short.
  const from = performance.now();
  const [poll, wire] = await Promise.all([Poll.open(quick), Wire.open(quick, "/engine.io/", { pongs: false })]);
  const came = async (first) => [await first, performance.now() - from >= 299];
  assert.deepEqual(await Promise.all([came(poll.get().then(({ body }) => body)), came(wire.read())]), [["2", true], ["2", true]]);
});

check("a client that answers each ping is kept", async () => {
  const [poll, wire] = await Promise.all([Poll.open(quick), Wire.open(quick, "/engine.io/", { pongs: false })]);
  const polling = async () => {
    for (let n = 0; n < 4; n++) {
      assert.deepEqual(await poll.packets(), ["2"]);
      await poll.send("3");
    }
  };
  const talking = async () => {
    for (let n = 0; n < 4; n++) {
      assert.equal(await wire.read(), "2");
      wire.send("3");
    }
  };
  await Promise.all([polling(), talking()]);
});

check("a client that answers no ping is gone", async () => {
  const [silent, never, wire] = await Promise.all([Poll.open(quick), Poll.open(quick), Wire.open(quick, "/engine.io/", { pongs: false })]);
  assert.deepEqual(await silent.packets(), ["2"]);
  assert.deepEqual(await answer(silent.get()), { status: 200, body: "1" });
  assert.deepEqual(await answer(silent.get()), UNKNOWN_SID);
  await wire.ended();
  await until(async () => (await never.get()).body === UNKNOWN_SID.body, "the end of a session that never polled");
});

/** A WebSocket that wants to take a polling session over. */
const attempt = async (poll) => new Wire(poll.url.replace("polling", "websocket")).opened();

check("an upgrade answers the probe, frees the poll and goes on over the WebSocket", async () => {
  const poll = await Poll.open(engine);
  const waiting = poll.get();
  const wire = await attempt(poll);
  wire.send("2probe");
  assert.equal(await wire.read(), "3probe");
  assert.deepEqual(await answer(waiting), { status: 200, body: "6" });
  await poll.send("4posted between probe and upgrade");
  wire.send("5", "4hello", Buffer.from([1, 2]));
  assert.deepEqual([await wire.read(), await wire.read(), await wire.read()], ["4posted between probe and upgrade", "4hello", Buffer.from([1, 2])]);
});

check("a poll that begins after the probe is freed as well", async () => {
  const poll = await Poll.open(engine);
  const wire = await attempt(poll);
  wire.send("2probe");
  assert.equal(await wire.read(), "3probe");
  assert.deepEqual(await poll.packets(), ["6"]);
});

check("after an upgrade neither a poll nor another WebSocket gets the session", async () => {
  const poll = await Poll.open(engine);
  const wire = await attempt(poll);
  wire.send("2probe");
  assert.equal(await wire.read(), "3probe");
  wire.send("5", "4hello");
  assert.equal(await wire.read(), "4hello");
  assert.deepEqual(await answer(poll.get()), { status: 400, body: '{"code":3,"message":"Bad request"}' });
  const late = new Wire(poll.url.replace("polling", "websocket"));
  await late.ended();
  wire.send("4still here");
  assert.equal(await wire.read(), "4still here");
});

check("an attempt that says something else, or goes away, leaves the polling session alone", async () => {
  for (const fail of [(wire) => wire.send("4hello"), (wire) => wire.send("2wrong"), (wire) => wire.ws.close(), (wire) => wire.ws.terminate()]) {
    const poll = await Poll.open(engine);
    const wire = await attempt(poll);
    fail(wire);
    await wire.ended();
    await poll.send("4polling");
    assert.deepEqual(await poll.packets(), ["4polling"]);
  }
});

check("a second attempt beside the first is turned away", async () => {
  const poll = await Poll.open(engine);
  const first = await attempt(poll);
  first.send("2probe");
  assert.equal(await first.read(), "3probe");
  await new Wire(poll.url.replace("polling", "websocket")).ended();
  assert.deepEqual(await poll.packets(), ["6"]);
  first.send("5", "4first");
  assert.equal(await first.read(), "4first");
});

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  check(`${name}: the stock engine.io-client gets everything back once and in order`, async () => {
    const socket = keep(new Socket(engine.url, { transports }));
    socket.binaryType = "arraybuffer";
    const journal = new Journal();
    socket.on("message", (data) => journal.write("message", data));
    const sent = Array.from({ length: 500 }, (_, i) => (i % 5 ? `text ${i}` : Uint8Array.from([i % 256, i >> 8]).buffer));
    for (const data of sent) socket.send(data);
    for (const data of sent) assert.deepEqual(await journal.read("message"), [data]);
    if (!transports) await until(() => socket.transport.name === "websocket", "the upgrade");
    socket.send("last");
    assert.deepEqual(await journal.read("message"), ["last"]);
  });
}
