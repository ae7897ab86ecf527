// What is written before there is a connection is sent once there is one.
import { Parlor } from "../parlor.js";

const url = new URL("../../ws", import.meta.url).href;

/** @param {(...words: any[]) => void} say */
export async function run(say) {
  const parlor = new Parlor({ url, store: null });
  const sent = ["one", "two", "three"].map((text) => parlor.publish("examples", text));
  say(parlor.waiting, "messages wait");

  await parlor.connect();
  for (const { offset } of await Promise.all(sent)) say("stored at", offset);
  say(parlor.waiting, "messages wait");
  parlor.close();
}
