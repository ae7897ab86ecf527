// Connections over plain HTTP, with the face of a WebSocket: an answer that does not end, or one answer after the other.
import { Post } from "./post.js";

/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {{url: URL, token: string | undefined}} Address */

/** How long the server holds a poll, in seconds; as long as it would without being asked. */
const POLL_WAIT = 25;

/** A refusal over HTTP ends the attempt as the same refusal over `/ws` does. @type {{[code: string]: number}} */
const CLOSE_CODES = {
  name_taken: 4506,
  unauthenticated: 4500,
  token_expired: 4500,
  too_many_connections: 4504,
  bad_name: 4501,
  bad_message: 4501,
  too_many_rooms: 4501,
};

class Listener {
  /** A ping is answered on another line, so that only what arrives by itself shows that this one lives. */
  oneWay = true;
  /** @type {(event: {data?: Frame}) => void} */
  onmessage = () => {};
  /** @type {(event: {code: number, reason: string}) => void} */
  onclose = () => {};
  /** @type {string | undefined} */
  session = undefined;
  #stop = new AbortController();
  #post;

  /**
   * @param {Address} address
   * @param {typeof fetch} fetch
   */
  constructor(address, fetch) {
    this.address = address;
    this.fetch = fetch;
    this.#post = new Post({
      request: (body) => this.request("send", { method: "POST", body, headers: { "parlor-session": this.session ?? "" } }),
      reply: (data) => this.onmessage({ data }),
      failed: (reason) => this.end(1006, reason),
    });
    this.listen().catch((error) => this.end(1006, String(error)));
  }

  /** @returns {Promise<void>} */
  async listen() {}

  /** @param {string} text */
  send(text) {
    this.#post.send(text);
  }

  close() {
    this.#stop.abort();
  }

  /** @param {number} code @param {string} reason */
  end(code, reason) {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.onclose({ code, reason });
  }

  /** @param {Frame} data */
  hear(data) {
    if (data.type === "welcome") this.session = data.session;
    this.onmessage({ data });
  }

  /**
   * @param {string} path  beside `/ws`
   * @param {{method?: string, body?: string, headers?: {[name: string]: string}, first?: boolean, query?: {[name: string]: string}}} [options]
   *   `first`: say who this is
   */
  request(path, { method, body, headers, first, query } = {}) {
    const url = new URL(path, this.address.url);
    if (first) url.search = this.address.url.search;
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const all = { ...headers };
    if (first && this.address.token) all.authorization = `Bearer ${this.address.token}`;
    const { fetch } = this; // The browser's own must not be called as somebody's method.
    return fetch(url, { method, body, headers: all, cache: "no-store", signal: this.#stop.signal });
  }

  /** The server's no, or that of something on the way. @param {Response} response */
  async refused(response) {
    const text = await response.text();
    let refusal;
    try {
      refusal = JSON.parse(text);
    } catch {
      // Not the server's.
    }
    if (refusal?.type !== "error") return this.end(1006, `status ${response.status}`);
    this.hear(refusal);
    this.end(CLOSE_CODES[refusal.code] ?? 1013, refusal.code);
  }
}

/** Server-sent events. `EventSource` can show no token, so they are read here. */
export class Events extends Listener {
  async listen() {
    const response = await this.request("sse", { first: true });
    const isEvents = response.headers.get("content-type")?.startsWith("text/event-stream");
    if (!response.ok || !isEvents || !response.body) return this.refused(response);
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return this.end(1006, "the stream ended");
      this.onmessage({}); // A comment is a sign of life too.
      text += decoder.decode(value, { stream: true });
      const events = text.split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) this.#event(event);
    }
  }

  /** @param {string} event  its lines */
  #event(event) {
    const lines = event.split("\n").filter((line) => line.startsWith("data:"));
    if (lines.length > 0) this.hear(JSON.parse(lines.map((line) => line.slice(5)).join("\n")));
  }
}

/** Long polling. */
export class Poll extends Listener {
  async listen() {
    for (let cursor = ""; ; ) {
      /** @type {{[name: string]: string}} */
      const query = cursor === "" ? { welcome: "1" } : { cursor, wait: String(POLL_WAIT) };
      const response = await this.request("poll", { first: cursor === "", query });
      if (!response.ok) return this.refused(response);
      const answer = await response.json();
      if (cursor !== "" && answer.session !== this.session) return this.end(1006, "the session is over");
      ({ cursor, session: this.session } = answer);
      this.onmessage({});
      for (const frame of answer.messages) this.hear(frame);
    }
  }
}
