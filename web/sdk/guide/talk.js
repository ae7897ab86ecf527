// Two lines to be in a room, and one to say something there.
import { Parlor } from "../parlor.js";

const url = new URL("../../ws", import.meta.url).href;

/** @param {(...words: any[]) => void} say */
export async function run(say) {
  // store: null forgets this guest; leave it out to stay the same one.
  const parlor = new Parlor({ url, store: null });
  parlor.on("message", ({ from, data }) => say(`${from}:`, data));
  const { name } = await parlor.connect();
  say("connected as", name);

  await parlor.join("examples", { last: 3 });
  const { offset, ack } = await parlor.publish("examples", "Hello from the examples");
  say("stored at", offset, "safe:", ack);
  parlor.close();
}
