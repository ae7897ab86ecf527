// Inside somebody else's axum application: stock clients over every transport, beside its own routes and raw sockets.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, test } from "node:test";
import { WebSocket } from "ws";
import { keep, needs, Peer, Program, release, TRANSPORTS, until, within } from "./helper.mjs";

const skip = needs("AXUM_BIN");
let axum;

before(async () => {
  if (!skip) axum = await Program.start("AXUM");
});
after(() => axum?.close());
afterEach(release);

const hall = async () => (await fetch(`${axum.url}/hall`)).json();
const say = (text) => fetch(`${axum.url}/say`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(text) });

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: a stock client meets raw sockets and HTTP in the application's room`, { skip }, async () => {
    const before = await hall();
    const peer = new Peer(axum.url, { transports, offsets: false });
    await peer.hears("connect");
    const engine = peer.socket.io.engine;
    if (name === "upgrade" && engine.transport.name !== "websocket") await within(once(engine, "upgrade"), () => "an upgrade");
    assert.equal(engine.transport.name, name === "polling" ? "polling" : "websocket");
    const raw = keep(new WebSocket(`${axum.url.replace("http", "ws")}/ws`));
    const heard = [];
    raw.on("message", (text) => heard.push(String(text)));
    await within(once(raw, "open"), () => "a raw socket");
    assert.equal(await peer.ask("say", "from Socket.IO"), 204);
    assert.equal((await say("from HTTP")).status, 204);
    raw.send("from a raw socket");
    const words = ["from Socket.IO", "from HTTP", "from a raw socket"];
    for (const word of words) assert.deepEqual(await peer.hears("message"), [word]);
    await until(() => heard.length >= words.length, "three texts on the raw socket");
    assert.deepEqual(heard, words);
    assert.equal((await hall()).said, before.said + 3);
    // Those of the test before are gone some time.
    await until(async () => (await hall()).here === 2, "two in the hall");
  });
}

test("the application's own answers stand beside it", { skip }, async () => {
  assert.equal((await fetch(`${axum.url}/nowhere`)).status, 404);
  const answer = await fetch(`${axum.url}/socket.io/?EIO=4&transport=polling&sid=none`);
  assert.deepEqual([answer.status, await answer.json()], [400, { code: 1, message: "Session ID unknown" }]);
});

test("a stop says goodbye to everybody and ends the program", { skip }, async () => {
  const own = await Program.start("AXUM");
  const peers = [];
  for (const transports of Object.values(TRANSPORTS)) peers.push(new Peer(own.url, { transports, offsets: false }));
  for (const peer of peers) await peer.hears("connect");
  // The stock client hears nothing for 45 seconds if its server ends in the middle of its upgrade.
  const carried = () => peers.map((peer) => peer.socket.io.engine.transport.name).join(" ");
  await until(() => carried() === "websocket polling websocket", "the upgrade");
  const gone = once(own.process, "exit");
  own.process.kill("SIGINT");
  for (const peer of peers) await peer.ends();
  assert.deepEqual(await within(gone, () => "an end"), [0, null]);
});
