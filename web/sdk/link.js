// One lasting link to a server: opens sockets one after the other, notices dead ones, waits between attempts.
import { delay, mayRetry } from "./backoff.js";

/** @typedef {import("./wire.js").Frame} Frame */

/**
 * What the link is doing. `retryAt` (ms since 1970) is there while it waits; `code` and `reason` say how the last
 * connection ended; `error` is the server's refusal, if it gave one before it closed.
 * @typedef {object} State
 * @property {"idle" | "connecting" | "open" | "waiting" | "closed"} phase
 * @property {number} [retryAt]
 * @property {number} [code]
 * @property {string} [reason]
 * @property {import("./wire.js").Refusal} [error]
 */

/**
 * The clock and the timers, so that tests can own them.
 * @typedef {{now(): number, setTimeout(run: () => void, ms: number): any, clearTimeout(timer: any): void}} Clock
 */

/**
 * @typedef {object} Hooks
 * @property {() => {url: string, protocols: string[]}} address  asked at every attempt, because the token may have changed
 * @property {(frame: Frame) => void} frame
 * @property {() => void} down  the connection, open a moment ago, is gone
 * @property {(state: State) => void} state
 * @property {(end: {code: number, error?: import("./wire.js").Refusal}) => boolean} again  may a final refusal be tried once more?
 */

/** A connection that has not been welcomed by then is given up; the server waits as long for its side of the greeting. */
const HELLO_MS = 10_000;
/** Silence after which the client asks "still there?", as often as the server itself pings. */
const QUIET_MS = 25_000;
/** Time for the answer, as the server allows on its side. */
const PONG_MS = 10_000;
/** A connection that lived this long counts as healthy: its end starts the back-off from the beginning. */
const HEALTHY_MS = 10_000;

export class Link {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {State} */
  #state = { phase: "idle" };
  #attempt = 0;
  #openedAt = 0;
  #heardAt = 0;
  /** @type {any} one timer at a time: greeting, silence, answer or the wait between attempts */
  #timer = null;
  /** @type {{code?: number, retryAfter?: number, final?: boolean, error?: import("./wire.js").Refusal}} */
  #farewell = {};

  /**
   * @param {Hooks} hooks
   * @param {{clock: Clock, random: () => number, WebSocket: typeof WebSocket}} tools
   */
  constructor(hooks, tools) {
    this.hooks = hooks;
    this.tools = tools;
  }

  get state() {
    return this.#state;
  }

  get isOpen() {
    return this.#state.phase === "open";
  }

  /** Opens a socket now, unless one is open or opening. Also ends a wait early. */
  open() {
    if (this.#socket) return;
    this.#stopTimer();
    this.#farewell = {};
    const { url, protocols } = this.hooks.address();
    const socket = new this.tools.WebSocket(url, protocols);
    this.#socket = socket;
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#ended(event.code, event.reason);
    this.#after(HELLO_MS, () => this.fail("no welcome"));
    this.#enter({ phase: "connecting" });
  }

  /** The server has said welcome: the link is open. */
  welcomed() {
    this.#openedAt = this.tools.clock.now();
    this.#enter({ phase: "open" });
    this.#listenForSilence();
  }

  /** @param {Frame} frame */
  send(frame) {
    this.#socket?.send(JSON.stringify(frame));
  }

  /** The server announced the end: what it says about another attempt is remembered until the socket closes.
   * @param {import("./wire.js").Bye} bye */
  bye(bye) {
    this.#farewell.code = bye.code;
    this.#farewell.retryAfter = bye.retry_after;
    this.#farewell.final = bye.reconnect === false;
  }

  /** A refusal that answers no command is the reason for the close that may follow it.
   * @param {import("./wire.js").Refusal} error */
  refused(error) {
    this.#farewell.error = error;
    if (error.retry_after !== undefined) this.#farewell.retryAfter = error.retry_after;
  }

  /** Gives the present connection up as dead and goes on with the next attempt.
   * @param {string} reason */
  fail(reason) {
    this.#drop(reason);
    this.#ended(1006, reason);
  }

  /** The device woke up or found a network: ends a wait, or checks an open connection at once. */
  nudge() {
    if (this.#state.phase === "waiting") this.open();
    else if (this.isOpen) this.#ask();
  }

  /** Ends the link for good; `open` may start it again. */
  close() {
    this.#stopTimer();
    const was = this.isOpen;
    this.#drop("closed by the application");
    if (was) this.hooks.down();
    this.#enter({ phase: "closed", code: 1000, reason: "closed by the application" });
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = this.tools.clock.now();
    if (typeof data !== "string") return;
    /** @type {Frame} */
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.fail("the server did not send JSON");
    }
    if (frame && typeof frame.type === "string") this.hooks.frame(frame);
  }

  /** @param {number} code @param {string} reason */
  #ended(code, reason) {
    const wasOpen = this.isOpen;
    const { retryAfter, final, error } = this.#farewell;
    const end = this.#farewell.code ?? code;
    this.#stopTimer();
    this.#socket = null;
    if (wasOpen && this.tools.clock.now() - this.#openedAt >= HEALTHY_MS) this.#attempt = 0;
    if (wasOpen) this.hooks.down();
    const why = { code: end, reason: error?.code ?? reason, error };
    if (final || !mayRetry(end)) {
      if (this.hooks.again({ code: end, error })) return this.open();
      return this.#enter({ phase: "closed", ...why });
    }
    const wait = delay(this.#attempt++, { retryAfter, random: this.tools.random });
    this.#enter({ phase: "waiting", retryAt: this.tools.clock.now() + wait, ...why });
    this.#after(wait, () => this.open());
  }

  /** Browsers hide ping frames, so a connection that died quietly is found by asking. */
  #listenForSilence() {
    const left = this.#heardAt + QUIET_MS - this.tools.clock.now();
    this.#after(Math.max(left, 1), () => {
      if (this.tools.clock.now() - this.#heardAt < QUIET_MS) this.#listenForSilence();
      else this.#ask();
    });
  }

  #ask() {
    const asked = this.tools.clock.now();
    this.send({ type: "ping" });
    this.#after(PONG_MS, () => {
      if (this.#heardAt < asked) this.fail("no answer to ping");
      else this.#listenForSilence();
    });
  }

  /** Lets go of the socket without waiting for its closing handshake, which a dead network would never finish.
   * @param {string} reason */
  #drop(reason) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000, reason);
  }

  /** @param {State} state */
  #enter(state) {
    this.#state = state;
    this.hooks.state(state);
  }

  /** @param {number} ms @param {() => void} run */
  #after(ms, run) {
    this.#stopTimer();
    this.#timer = this.tools.clock.setTimeout(run, ms);
  }

  #stopTimer() {
    this.tools.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }
}
