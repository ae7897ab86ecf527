// Who is in a room, and who is writing.
import { Parlor } from "../parlor.js";

const url = new URL("../../ws", import.meta.url).href;

/** @param {(...words: any[]) => void} say */
export async function run(say) {
  const room = `examples/${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const [host, guest] = [new Parlor({ url, store: null }), new Parlor({ url, store: null })];
  host.on("presence", ({ members, count }) => say(count, "here:", [...members.values()].join(", ")));
  const writes = new Promise((resolve) => host.on("typing", resolve));
  await host.connect();
  await host.join(room);
  await guest.connect();
  await guest.join(room);

  guest.typing(room);
  await writes;
  say(guest.name, "is writing");
  host.close();
  guest.close();
}
