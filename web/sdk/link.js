// One lasting link to a server: opens sockets one after the other, in whichever way works; notices dead ones, waits between attempts.
import { delay, mayRetry } from "./backoff.js";

/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {import("./ways.js").Way} Way */
/**
 * A WebSocket, or what has its face. `oneWay`: it answers pings elsewhere.
 * @typedef {object} Socket
 * @property {((event: any) => any) | null} onmessage  `data` is text or a frame; without it the event is only a sign of life
 * @property {((event: any) => any) | null} onclose
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {boolean} [oneWay]
 */

/**
 * What the link is doing. `retryAt` (ms since 1970) is there while it waits; `code` and `reason` say how the last
 * connection ended; `error` is the server's refusal, if it gave one before it closed; `way` is how it is connected, or tries.
 * @typedef {object} State
 * @property {"idle" | "connecting" | "open" | "waiting" | "closed"} phase
 * @property {number} [retryAt]
 * @property {number} [code]
 * @property {string} [reason]
 * @property {import("./wire.js").Refusal} [error]
 * @property {Way} [way]
 */

/**
 * The clock and the timers, so that tests can own them.
 * @typedef {{now(): number, setTimeout(run: () => void, ms: number): any, clearTimeout(timer: any): void}} Clock
 */

/**
 * @typedef {object} Hooks
 * @property {(way: Way) => Socket} dial
 * @property {(frame: Frame) => void} frame
 * @property {() => void} down  the connection, open a moment ago, is gone
 * @property {(state: State) => void} state
 * @property {(end: {code: number, error?: import("./wire.js").Refusal}) => boolean} again  may a final refusal be tried once more?
 */

/** A connection that has not been welcomed by then is given up; the server waits as long for its side of the greeting. */
const HELLO_MS = 10_000;
/** The same while there is another way to try: something in between may swallow this one without a word. */
const OTHER_WAY_MS = 4_000;
/** Silence after which the client asks "still there?", as often as the server itself pings. */
const QUIET_MS = 25_000;
/** Time for the answer, as the server allows on its side. Together they are also the silence after which what is only listened
 * to is dead: a stream says something every 15 s, a poll is answered after 25. */
const PONG_MS = 10_000;
/** A connection that lived this long counts as healthy: its end starts the back-off from the beginning. */
const HEALTHY_MS = 10_000;

export class Link {
  /** @type {Socket | null} */
  #socket = null;
  /** What is left to try in this attempt. @type {Way[]} */
  #ways = [];
  /** @type {Way | undefined} */
  #way = undefined;
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
   * @param {{clock: Clock, random: () => number, ways: import("./ways.js").Ways, isOnline: () => boolean}} tools
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
    this.#ways = this.tools.ways.order();
    this.#dial();
  }

  /** The server has said welcome: the link is open. */
  welcomed() {
    this.#openedAt = this.tools.clock.now();
    if (this.#way) this.tools.ways.worked(this.#way);
    this.#enter({ phase: "open", way: this.#way });
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

  /** Nobody is looking: a good moment to find out whether the best way works again. */
  improve() {
    if (this.isOpen && this.tools.ways.mayBeBetter) this.fail("trying a better way");
  }

  /** Ends the link for good; `open` may start it again. */
  close() {
    this.#stopTimer();
    const was = this.isOpen;
    this.#drop("closed by the application");
    if (was) this.hooks.down();
    this.#enter({ phase: "closed", code: 1000, reason: "closed by the application" });
  }

  /** @returns {void} */
  #dial() {
    this.#stopTimer();
    this.#farewell = {};
    const way = (this.#way = this.#ways.shift());
    if (!way) return this.#ended(1006, "this runtime can open no connection");
    try {
      const socket = (this.#socket = this.hooks.dial(way));
      socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
      socket.onclose = (event) => socket === this.#socket && this.#ended(event.code, event.reason);
    } catch (error) {
      return this.#ended(1006, String(error)); // The page's own policy forbids it.
    }
    this.#after(this.#ways.length > 0 ? OTHER_WAY_MS : HELLO_MS, () => this.fail("no welcome"));
    this.#enter({ phase: "connecting", way });
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = this.tools.clock.now();
    let frame = /** @type {Frame} */ (data);
    try {
      if (typeof data === "string") frame = JSON.parse(data);
    } catch {
      return this.fail("the server did not send JSON");
    }
    if (typeof frame?.type === "string") this.hooks.frame(frame);
  }

  /** @param {number} code @param {string} reason @returns {void} */
  #ended(code, reason) {
    const wasOpen = this.isOpen;
    const { retryAfter, final, error } = this.#farewell;
    const end = this.#farewell.code ?? code;
    this.#stopTimer();
    this.#socket = null;
    // Without a word of the server's it may be this way that does not lead there.
    if (!wasOpen && end === 1006 && error === undefined && this.#ways.length > 0) return this.#dial();
    if (wasOpen && this.tools.clock.now() - this.#openedAt >= HEALTHY_MS) this.#attempt = 0;
    if (wasOpen) this.hooks.down();
    const why = { code: end, reason: error?.code ?? reason, error };
    if (final || !mayRetry(end)) {
      if (this.hooks.again({ code: end, error })) return this.open();
      return this.#enter({ phase: "closed", ...why });
    }
    const wait = delay(this.#attempt++, { retryAfter, random: this.tools.random });
    this.#enter({ phase: "waiting", retryAt: this.tools.clock.now() + wait, ...why });
    this.#after(wait, () => this.#waited());
  }

  /** Without a network an attempt cannot help; its return ends the wait, and in case nobody says so it is looked for. */
  #waited() {
    if (this.tools.isOnline()) return this.open();
    this.#after(QUIET_MS, () => this.#waited());
  }

  /** Browsers hide ping frames, so a connection that died quietly is found by asking. */
  #listenForSilence() {
    const limit = this.#socket?.oneWay ? QUIET_MS + PONG_MS : QUIET_MS;
    const left = this.#heardAt + limit - this.tools.clock.now();
    this.#after(Math.max(left, 1), () => {
      if (this.tools.clock.now() - this.#heardAt < limit) this.#listenForSilence();
      else this.#ask();
    });
  }

  #ask() {
    const asked = this.tools.clock.now();
    if (this.#socket?.oneWay) {
      return asked - this.#heardAt < QUIET_MS + PONG_MS ? this.#listenForSilence() : this.fail("silence");
    }
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
