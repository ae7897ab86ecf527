// A message for one person.
import { Parlor } from "../parlor.js";

const url = new URL("../../ws", import.meta.url).href;

/** @param {(...words: any[]) => void} say */
export async function run(say) {
  const [host, guest] = [new Parlor({ url, store: null }), new Parlor({ url, store: null })];
  await Promise.all([host.connect(), guest.connect()]);
  const heard = new Promise((resolve) => guest.on("direct", resolve));
  await host.direct(guest.name ?? "", "just for you");
  const { from, data } = await heard;
  say(`${from}, to ${guest.name} alone:`, data);
  host.close();
  guest.close();
}
