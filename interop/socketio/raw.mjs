// Clients without a library: one WebSocket, one polling session, packet by packet.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { Journal, deferred, keep, within } from "./helper.mjs";

/** Separates the packets of one payload. */
export const RS = "\x1e";

/** A WebSocket that speaks Engine.IO by hand. */
export class Wire {
  #journal = new Journal();
  #ended = deferred();

  constructor(url, { pongs = true, ...options } = {}) {
    this.ws = keep(new WebSocket(url.replace(/^http/, "ws"), options));
    this.ws.on("message", (data, isBinary) => {
      const packet = isBinary ? data : String(data);
      if (packet === "2" && pongs) this.ws.send("3");
      else this.#journal.write("packet", packet);
    });
    this.ws.on("open", () => this.#journal.write("open"));
    this.ws.on("error", () => {});
    this.ws.on("close", (code) => this.#ended.resolve(code));
  }

  /** A session from its handshake on. */
  static async open(program, path = "/engine.io/", { query = "", ...options } = {}) {
    const wire = new Wire(`${program.url}${path}?EIO=4&transport=websocket${query}`, options);
    const packet = await wire.read();
    assert.equal(packet[0], "0", packet);
    wire.handshake = JSON.parse(packet.slice(1));
    return wire;
  }

  /** Waits for the WebSocket alone. */
  async opened() {
    await Promise.race([this.#journal.read("open"), this.ended().then((code) => assert.fail(`closed with ${code} before it opened`))]);
    return this;
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  /** The next packet: text, or a Buffer. Fails as soon as none can come. */
  async read() {
    const end = this.#ended.promise.then((code) => assert.fail(`closed with ${code} instead of a packet`));
    return (await Promise.race([this.#journal.read("packet"), end]))[0];
  }

  /** How many packets have come that nobody has read. */
  get unread() {
    return this.#journal.unread("packet");
  }

  /** The close code with which it ended. */
  ended() {
    return within(this.#ended.promise, () => "an end of the WebSocket");
  }
}

/** A polling session by hand. */
export class Poll {
  /** Answer and body of any request. */
  static async request(url, options) {
    const answer = await within(fetch(url, options), () => `an answer to ${options?.method ?? "GET"} ${url}`);
    return { status: answer.status, headers: answer.headers, body: await answer.text() };
  }

  static async open(program, path = "/engine.io/", { query = "", headers } = {}) {
    const poll = new Poll();
    const { status, body, headers: answered } = await Poll.request(`${program.url}${path}?EIO=4&transport=polling${query}`, { headers });
    assert.equal(status, 200, body);
    const [packet, ...rest] = body.split(RS);
    assert.equal(packet[0], "0", body);
    poll.handshake = JSON.parse(packet.slice(1));
    poll.headers = answered;
    poll.early = rest;
    poll.sid = poll.handshake.sid;
    poll.url = `${program.url}${path}?EIO=4&transport=polling&sid=${poll.sid}`;
    return poll;
  }

  get() {
    return Poll.request(this.url);
  }

  /** The packets of one poll, which must succeed. */
  async packets() {
    const { status, body } = await this.get();
    assert.equal(status, 200, body);
    return body.split(RS);
  }

  post(body, headers = {}) {
    return Poll.request(this.url, { method: "POST", body, headers: { "content-type": "text/plain;charset=UTF-8", ...headers } });
  }

  /** Posts packets that the server must take. */
  async send(...packets) {
    const { status, body } = await this.post(packets.join(RS));
    assert.deepEqual([status, body], [200, "ok"]);
  }
}
