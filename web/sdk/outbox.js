// Messages on their way out: kept until the server has answered, sent again with the same key after every break.
import { ParlorError } from "./error.js";

/** @typedef {import("./wire.js").Published} Published */
/** @typedef {{type: "publish" | "direct", key?: string, [field: string]: any}} Command */
/**
 * @typedef {object} Item
 * @property {Command} command
 * @property {boolean} sent  on the present connection, its reply is awaited
 * @property {number} attempts  on any connection
 * @property {boolean} restored  a page before this one wrote it, and may have sent it
 * @property {Promise<Published>} answer
 * @property {(published: Published) => void} resolve
 * @property {(error: ParlorError) => void} reject
 */

/** Replies awaited at once. Enough to fill a slow line, few enough that a refusal for speed hits few of them. */
const WINDOW = 8;
/** Messages that may wait for a connection; more is a program in a loop, not a person. */
const CAPACITY = 1_000;
/** Refusals that say "later", not "no". */
const LATER = new Set(["rate_limited", "busy"]);

export class Outbox {
  /** @type {Item[]} in the order in which they were published */
  #items = [];
  #window = WINDOW;
  /** @type {any} */
  #pause = null;

  /**
   * @param {object} tools
   * @param {(command: Command, done: import("./requests.js").Done) => void} tools.ask  one attempt on the present connection
   * @param {() => boolean} tools.isOpen
   * @param {() => void} tools.stuck  a reply did not come: the connection is dead
   * @param {(command: Command) => void} tools.renew  gives it another key
   * @param {import("./link.js").Clock} tools.clock
   */
  constructor(tools) {
    this.tools = tools;
  }

  /** How many messages have no answer yet. */
  get size() {
    return this.#items.length;
  }

  /**
   * @param {Command} command
   * @returns {Promise<Published>} what the server says about it, however many connections that takes
   */
  put(command) {
    const known = this.#find(command.key);
    if (known) return known.answer;
    if (this.#items.length >= CAPACITY) {
      return Promise.reject(new ParlorError("queue_full", `${CAPACITY} messages already wait for a connection`));
    }
    const item = newItem(command, false);
    this.#items.push(item);
    this.pump();
    return item.answer;
  }

  /**
   * What a page before this one had no answer for goes first, in its order.
   * @param {Command[]} commands
   * @returns {Promise<Published>[]}
   */
  restore(commands) {
    const items = commands.map((command) => this.#find(command.key) ?? newItem(command, true));
    this.#items = [...items, ...this.#items.filter((item) => !items.includes(item))];
    return items.map(({ answer }) => answer);
  }

  /** Whoever this is now did not write what was restored. @param {ParlorError} error */
  disown(error) {
    const items = this.#items.filter(({ restored }) => restored);
    for (const item of items) this.#settle(item, () => item.reject(error));
  }

  /** @param {string | undefined} key */
  #find(key) {
    return key === undefined ? undefined : this.#items.find(({ command }) => command.key === key);
  }

  /** Sends what may be sent now. */
  pump() {
    if (this.#pause !== null || !this.tools.isOpen()) return;
    let awaited = this.#items.filter((item) => item.sent).length;
    for (const item of this.#items) {
      if (awaited >= this.#window) return;
      if (item.sent) continue;
      awaited++;
      this.#attempt(item);
    }
  }

  /** The connection ended. Nothing is lost: every item without an answer is sent on the next one, with its key. An item
   * that may have no key (its room keeps nothing) and may have arrived is given back instead of being sent twice. */
  down() {
    this.#resume();
    const doubtful = this.#items.filter((item) => item.sent && item.command.key === undefined);
    this.#items = this.#items.filter((item) => !doubtful.includes(item));
    for (const item of this.#items) item.sent = false;
    for (const item of doubtful) item.reject(new ParlorError("disconnected", "the connection ended before the reply"));
  }

  /** @param {ParlorError} error */
  close(error) {
    this.#resume();
    for (const item of this.#items.splice(0)) item.reject(error);
  }

  /** @param {Item} item */
  #attempt(item) {
    item.sent = true;
    item.attempts++;
    this.tools.ask(item.command, {
      resolve: (published) => {
        this.#window = Math.min(WINDOW, this.#window + 1);
        this.#settle(item, () => item.resolve(published));
      },
      reject: (error) => this.#refused(item, error),
    });
  }

  /** @param {Item} item @param {ParlorError} error */
  #refused(item, error) {
    if (error.code === "disconnected") return;
    if (error.code === "timeout") return this.tools.stuck();
    item.sent = false;
    if (LATER.has(error.code)) return this.#slowDown(error.retryAfter ?? 1);
    // A room that keeps nothing cannot tell a retry from a second message, so it refuses keys altogether.
    if (error.code === "no_log" && item.command.key !== undefined) {
      delete item.command.key;
      return this.pump();
    }
    // The wait was longer than the server remembers keys. What it sees for the first time cannot be stored twice.
    if (error.code === "key_expired" && item.attempts === 1 && !item.restored) {
      this.tools.renew(item.command);
      return this.pump();
    }
    this.#settle(item, () => item.reject(error));
  }

  /** One at a time after a refusal for speed, so that a later message cannot overtake the refused one.
   * @param {number} seconds */
  #slowDown(seconds) {
    this.#window = 1;
    if (this.#pause !== null) return;
    this.#pause = this.tools.clock.setTimeout(() => {
      this.#pause = null;
      this.pump();
    }, seconds * 1000);
  }

  /** @param {Item} item @param {() => void} tell */
  #settle(item, tell) {
    const at = this.#items.indexOf(item);
    if (at < 0) return;
    this.#items.splice(at, 1);
    tell();
    this.pump();
  }

  #resume() {
    this.tools.clock.clearTimeout(this.#pause);
    this.#pause = null;
  }
}

/** @param {Command} command @param {boolean} restored @returns {Item} */
function newItem(command, restored) {
  const item = /** @type {Item} */ ({ command, restored, sent: false, attempts: 0 });
  item.answer = new Promise((resolve, reject) => Object.assign(item, { resolve, reject }));
  return item;
}
