// The messages of one conversation in their order: stored ones by offset, then those that are on their way.

/** @typedef {import("../sdk/wire.js").Message} Message */
/** @typedef {import("../sdk/wire.js").Direct} Direct */
/** @typedef {import("../sdk/wire.js").Published} Published */

/**
 * One line of a conversation.
 * @typedef {object} Item
 * @property {string} id  stable for as long as the line is shown
 * @property {number} [offset]  its place; missing while it is on its way, and in rooms that keep nothing
 * @property {string} [user]
 * @property {string} [from]
 * @property {string} event
 * @property {import("../sdk/wire.js").Json} data
 * @property {number} time
 * @property {"sending" | "stored" | "failed"} status
 * @property {Published["ack"]} [ack]  how safe it is, for what this tab sent
 * @property {string} [key]  of a line that this tab sent
 * @property {{code: string, message: string}} [error]
 */

/** Lines kept in memory for one conversation; older ones are fetched again when somebody scrolls up to them. */
export const KEPT = 1_000;

export class Log {
  /** Stored lines, oldest first. @type {Item[]} */
  stored = [];
  /** Lines on their way or failed, in the order in which they were written. @type {Item[]} */
  pending = [];
  /** Whether the server may have older lines. */
  more = false;
  #passing = 0;

  /** Everything, in the order in which it is shown. @returns {Item[]} */
  get items() {
    return this.pending.length === 0 ? this.stored : [...this.stored, ...this.pending];
  }

  get firstOffset() {
    return this.stored.find(({ offset }) => offset !== undefined)?.offset;
  }

  get lastOffset() {
    return this.stored.findLast(({ offset }) => offset !== undefined)?.offset;
  }

  /** Forgets what is stored; what is on its way stays. */
  clear() {
    this.stored = [];
    this.more = false;
  }

  /**
   * Takes a message from the server. If it is the echo of a line that waits for its answer, the line takes its place at
   * once, so that nothing is ever seen twice.
   * @param {Message | Direct} message
   * @param {string | undefined} me  this account's id
   * @returns {boolean} whether it was new
   */
  receive(message, me) {
    if (message.offset !== undefined && this.#at(message.offset)) return false;
    const waiting = message.user !== undefined && message.user === me ? this.#echoed(message) : undefined;
    if (waiting) this.pending.splice(this.pending.indexOf(waiting), 1);
    this.#insert({ ...itemOf(message, waiting?.id ?? this.#idOf(message)), key: waiting?.key });
    return waiting === undefined;
  }

  /**
   * Puts older (or all) messages in front, as history gives them.
   * @param {Array<Message | Direct>} messages
   * @param {boolean} more
   */
  prepend(messages, more) {
    for (const message of messages) {
      if (message.offset === undefined || this.#at(message.offset)) continue;
      this.#insert(itemOf(message, this.#idOf(message)));
    }
    this.more = more;
  }

  /**
   * A line that this tab sends.
   * @param {{key: string, data: import("../sdk/wire.js").Json, time: number, user?: string, from?: string}} line
   * @returns {Item}
   */
  send(line) {
    /** @type {Item} */
    const item = { ...line, id: line.key, event: "message", status: "sending" };
    this.pending.push(item);
    return item;
  }

  /**
   * The server has stored the line with this key, as written by this account: a line that was written before the server
   * had said who one is does not know it yet.
   * @param {string} key @param {Published} published @param {{user: string | undefined, from: string | undefined}} me
   */
  confirm(key, { offset, ack }, me) {
    const bound = this.stored.find((item) => item.key === key);
    if (bound && bound.offset === offset) return void (bound.ack = ack);
    // The echo that was taken for this line belonged to another tab that wrote the same words.
    if (bound) bound.key = undefined;
    const waiting = this.#take(key);
    const there = offset === undefined ? undefined : this.#at(offset);
    if (there) there.ack = ack;
    else if (waiting) this.#insert({ ...waiting, ...me, offset, status: "stored", ack });
    else if (bound) this.#insert({ ...bound, id: `${key}+`, offset, ack });
  }

  /**
   * The server will not have the line with this key.
   * @param {string} key @param {{code: string, message: string}} error
   */
  fail(key, error) {
    const item = this.pending.find((item) => item.key === key);
    if (item) Object.assign(item, { status: "failed", error: { code: error.code, message: error.message } });
  }

  /** Takes a line back, to send it anew or to drop it. @param {string} key @returns {Item | undefined} */
  remove(key) {
    return this.#take(key);
  }

  /** Lets go of the oldest lines above the limit. */
  trim() {
    if (this.stored.length <= KEPT) return;
    this.stored = this.stored.slice(-KEPT / 2);
    this.more = this.firstOffset !== undefined;
  }

  /** @param {string} key */
  #take(key) {
    const at = this.pending.findIndex((item) => item.key === key);
    return at < 0 ? undefined : this.pending.splice(at, 1)[0];
  }

  /** @param {number} offset @returns {Item | undefined} */
  #at(offset) {
    for (let at = this.stored.length - 1; at >= 0; at--) {
      const item = this.stored[at];
      if (item.offset === offset) return item;
      if (item.offset !== undefined && item.offset < offset) return undefined;
    }
    return undefined;
  }

  /** @param {Message | Direct} message */
  #echoed(message) {
    const data = JSON.stringify(message.data);
    return this.pending.find(
      (item) => item.status === "sending" && item.event === message.event && JSON.stringify(item.data) === data,
    );
  }

  /** @param {Item} item */
  #insert(item) {
    let at = this.stored.length;
    if (item.offset !== undefined) {
      while (at > 0 && (this.stored[at - 1].offset ?? -1) > item.offset) at--;
    }
    this.stored.splice(at, 0, item);
  }

  /** @param {Message | Direct} message */
  #idOf(message) {
    return message.offset === undefined ? `p${this.#passing++}` : `o${message.offset}`;
  }
}

/** @param {Message | Direct} message @param {string} id @returns {Item} */
function itemOf({ offset, user, from, event, data, time }, id) {
  return { id, offset, user, from, event, data, time, status: "stored" };
}
