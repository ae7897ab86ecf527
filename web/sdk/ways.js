// Which way of connecting is tried next, and which one worked: remembered for a while, so that WebSocket gets its chance again.

/** @typedef {"websocket" | "sse" | "poll"} Way */

/** The best first. @type {Way[]} */
export const WAYS = ["websocket", "sse", "poll"];

/** A network that breaks WebSocket is left after some time, by people with telephones within minutes. */
const REMEMBERED_MS = 10 * 60_000;

/** Attempts with what worked a moment ago before the other ways are tried: a restart breaks no WebSocket for good. */
const FAITHFUL = 2;

export class Ways {
  /** What worked last, on this page. @type {Way | undefined} */
  #worked = undefined;
  #failed = 0;

  /**
   * @param {object} tools
   * @param {Way[]} tools.list  those that may be used, the best first
   * @param {import("./account.js").Memory} tools.memory
   * @param {() => string} tools.server  whose ways these are
   * @param {() => number} tools.now
   */
  constructor(tools) {
    this.tools = tools;
  }

  /** What to try now, one after the other. @returns {Way[]} */
  order() {
    const { list } = this.tools;
    const known = this.#remembered();
    if (this.#worked !== undefined && this.#worked === (known ?? list[0]) && this.#failed++ < FAITHFUL) return [this.#worked];
    return known === undefined ? [...list] : [known, ...list.filter((way) => way !== known)];
  }

  /** This one has connected. @param {Way} way */
  worked(way) {
    this.#worked = way;
    this.#failed = 0;
    if (way === this.tools.list[0]) this.forget();
    else if (this.#remembered() !== way) this.tools.memory.set(this.#key, `${this.tools.now() + REMEMBERED_MS} ${way}`);
  }

  /** Whether there may be a better way than the one in use. */
  get mayBeBetter() {
    return this.#worked !== undefined && this.#worked !== this.tools.list[0] && this.#remembered() === undefined;
  }

  /** It is another network now. */
  forget() {
    this.tools.memory.set(this.#key, null);
  }

  get #key() {
    return `parlor.way ${this.tools.server()}`;
  }

  /** @returns {Way | undefined} */
  #remembered() {
    const [until, name] = (this.tools.memory.get(this.#key) ?? "").split(" ");
    return this.tools.list.find((way) => way === name && Number(until) > this.tools.now());
  }
}
