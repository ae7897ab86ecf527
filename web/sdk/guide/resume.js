// What is said during a break arrives after it.
import { Parlor } from "../parlor.js";

const url = new URL("../../ws", import.meta.url).href;

/** @param {(...words: any[]) => void} say */
export async function run(say) {
  const room = `examples/${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const reader = new Parlor({ url, store: null });
  const writer = new Parlor({ url, store: null });
  reader.on("state", ({ phase }) => say("reader:", phase));
  reader.on("message", ({ offset, data }) => say("reader got", offset, data));
  await Promise.all([reader.connect(), writer.connect()]);
  await reader.join(room);
  const heard = new Promise((resolve) => reader.once("message", resolve));
  await writer.publish(room, "before the break");
  await heard; // an answer to the writer does not wait for readers

  reader.close();
  await writer.publish(room, "during the break");
  await writer.publish(room, "still during it");

  const caughtUp = new Promise((resolve) => reader.on("caughtup", resolve));
  reader.reconnect();
  say("caught up", await caughtUp);
  reader.close();
  writer.close();
}
