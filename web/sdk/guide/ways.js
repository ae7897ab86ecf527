// One room, reached in each of the three ways.
import { Parlor } from "../parlor.js";

const url = new URL("../../ws", import.meta.url).href;

/** @param {(...words: any[]) => void} say */
export async function run(say) {
  /** @type {import("../ways.js").Way[]} */
  const ways = ["websocket", "sse", "poll"]; // the default; one of them alone is for showing what it does
  const clients = ways.map((way) => new Parlor({ url, store: null, ways: [way] }));
  const room = `examples/${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const heard = clients.map((parlor) => hears(parlor, 3));
  for (const parlor of clients) {
    await parlor.connect();
    await parlor.join(room);
  }
  for (const parlor of clients) await parlor.publish(room, parlor.state.way ?? "");
  for (const [at, all] of (await Promise.all(heard)).entries()) say(ways[at], "heard", all.join(", "));
  for (const parlor of clients) parlor.close();
}

/** @param {Parlor} parlor @param {number} count @returns {Promise<any[]>} */
function hears(parlor, count) {
  /** @type {any[]} */
  const all = [];
  return new Promise((resolve) => parlor.on("message", ({ data }) => all.push(data) === count && resolve(all)));
}
