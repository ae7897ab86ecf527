// Commands that wait for their reply: matched by id, bounded in time, repeated on the next connection where that is safe.
import { ParlorError } from "./error.js";

/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {{type: string, [field: string]: any}} Command */
/**
 * Exactly one of the two is called, once.
 * @typedef {{resolve: (reply: any) => void, reject: (error: ParlorError) => void}} Done
 */
/** @typedef {Done & {command: Frame, repeat: boolean, sent: boolean, timer: any}} Entry */

export class Requests {
  /** @type {Map<number, Entry>} */
  #waiting = new Map();
  #nextId = 1;

  /**
   * @param {{send(frame: Frame): void, readonly isOpen: boolean}} link
   * @param {import("./link.js").Clock} clock
   * @param {number} timeout  in milliseconds, for one reply
   */
  constructor(link, clock, timeout) {
    this.link = link;
    this.clock = clock;
    this.timeout = timeout;
  }

  /** How many have no reply yet. */
  get size() {
    return this.#waiting.size;
  }

  /**
   * Sends a command now, or as soon as the link is open, and promises its reply. A command that may be repeated (it only
   * reads) is sent again on the next connection; one that may not is rejected with `disconnected` when the connection ends.
   * @param {Command} command
   * @param {{repeat?: boolean}} [options]
   * @returns {Promise<any>}
   */
  ask(command, { repeat = true } = {}) {
    return new Promise((resolve, reject) => this.post(command, repeat, { resolve, reject }));
  }

  /**
   * The same with plain functions, called before the frame after the reply is looked at: what follows a `joined` must
   * not be seen before it.
   * @param {Command} command
   * @param {boolean} repeat
   * @param {Done} done
   */
  post(command, repeat, done) {
    if (!repeat && !this.link.isOpen) return done.reject(new ParlorError("disconnected", "not connected"));
    const id = this.#nextId++;
    const late = () => this.#fail(id, new ParlorError("timeout", `no reply to "${command.type}" within ${this.timeout / 1000} s`));
    const entry = { ...done, command: { ...command, id }, repeat, sent: false, timer: this.clock.setTimeout(late, this.timeout) };
    this.#waiting.set(id, entry);
    if (this.link.isOpen) this.#send(entry);
  }

  /**
   * Gives a frame to the command that it answers.
   * @param {Frame} frame
   * @returns {boolean} whether there was one
   */
  answer(frame) {
    const id = Number(frame.id);
    const entry = frame.id === undefined ? undefined : this.#waiting.get(id);
    if (!entry) return false;
    if (frame.type === "error") this.#fail(id, ParlorError.of(/** @type {any} */ (frame)));
    else this.#remove(id, entry).resolve(frame);
    return true;
  }

  /** The connection is new: whatever may be repeated is sent again, in its old order. */
  opened() {
    for (const entry of this.#waiting.values()) if (!entry.sent) this.#send(entry);
  }

  /** The connection ended: what may not be repeated has failed. */
  down() {
    const error = new ParlorError("disconnected", "the connection ended before the reply");
    for (const [id, entry] of [...this.#waiting]) {
      entry.sent = false;
      if (!entry.repeat) this.#fail(id, error);
    }
  }

  /** @param {ParlorError} error */
  close(error) {
    for (const id of [...this.#waiting.keys()]) this.#fail(id, error);
  }

  /** @param {Entry} entry */
  #send(entry) {
    entry.sent = true;
    this.link.send(entry.command);
  }

  /** @param {number} id @param {ParlorError} error */
  #fail(id, error) {
    const entry = this.#waiting.get(id);
    if (entry) this.#remove(id, entry).reject(error);
  }

  /** @param {number} id @param {Entry} entry */
  #remove(id, entry) {
    this.#waiting.delete(id);
    this.clock.clearTimeout(entry.timer);
    return entry;
  }
}
