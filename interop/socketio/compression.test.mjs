// The stock server with --compression and Node's `ws`, which shows on its socket how many bytes came.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { WebSocket } from "ws";
import { needs, within } from "./helper.mjs";

const skip = needs("PARLOR_BIN");

/** Joins `live:talk` and gives the socket. */
async function join(url, perMessageDeflate) {
  const ws = new WebSocket(`${url}/ws?room=live:talk`, { perMessageDeflate });
  await hears(ws, "joined");
  return ws;
}

/** The next object of a type. */
function hears(ws, type) {
  const heard = new Promise((done) => {
    ws.on("message", function take(data) {
      const object = JSON.parse(data);
      if (object.type !== type) return;
      ws.off("message", take);
      done(object);
    });
  });
  return within(heard, () => type);
}

test("a long message crosses the wire compressed for those who offered it", { skip }, async (t) => {
  const data = await mkdtemp(path.join(tmpdir(), "parlor-compression-"));
  const child = spawn(process.env.PARLOR_BIN, ["serve", "--listen", "127.0.0.1:0", "--data", data, "--compression"], { stdio: ["ignore", "pipe", "ignore"] });
  t.after(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
    await rm(data, { recursive: true, force: true });
  });
  const [line] = await within(once(createInterface({ input: child.stdout }), "line"), () => "the first line");
  const url = line.replace("listening on http", "ws");

  const people = [await join(url, true), await join(url, { serverMaxWindowBits: 9 }), await join(url, false)];
  assert.deepEqual(people.map((ws) => ws.extensions !== ""), [true, true, false]);
  const said = "what is said again and again, ".repeat(1000);
  const before = people.map((ws) => ws._socket.bytesRead);
  const heard = people.map((ws) => hears(ws, "message"));
  people[0].send(JSON.stringify({ type: "publish", room: "live:talk", data: said }));
  for (const message of await Promise.all(heard)) assert.equal(message.data, said);
  const bytes = people.map((ws, index) => ws._socket.bytesRead - before[index]);
  assert.ok(bytes[0] < said.length / 20, `${bytes}`);
  // A window that is smaller than that of the shared frame gets it plain, and so does who offers nothing.
  assert.ok(bytes[1] > said.length && bytes[2] > said.length, `${bytes}`);
  people.forEach((ws) => ws.terminate());
});
