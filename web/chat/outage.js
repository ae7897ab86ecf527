// What to say about a broken connection: what waits while it is gone, what was caught up when it is back.

/** @typedef {import("../sdk/link.js").State} State */
/**
 * @typedef {{kind: "none"}
 *   | {kind: "connecting"}
 *   | {kind: "down", retryAt: number | undefined, waiting: number}
 *   | {kind: "back", catching: boolean, caught: number, resent: number, notRecovered: string[]}
 *   | {kind: "closed", code: number, reason: string}} Notice
 */

export class Outage {
  /** @type {"first" | "fine" | "down" | "back" | "closed"} */
  #phase = "first";
  /** @type {State} */
  #state = { phase: "idle" };
  #caught = 0;
  #resent = 0;
  /** @type {string[]} */
  #notRecovered = [];

  /**
   * The connection changed.
   * @param {State} state @param {number} waiting  messages without an answer
   */
  state(state, waiting) {
    this.#state = state;
    if (state.phase === "closed") this.#phase = "closed";
    else if (state.phase !== "open") this.#phase = this.#phase === "first" ? "first" : "down";
    else if (this.#phase === "first" || this.#phase === "fine") this.#phase = "fine";
    else this.#back(waiting);
  }

  /** @param {number} waiting */
  #back(waiting) {
    this.#phase = "back";
    this.#caught = 0;
    this.#resent = waiting;
    this.#notRecovered = [];
  }

  /** A message that was missed has arrived. */
  caught() {
    if (this.#phase === "back") this.#caught++;
  }

  /** What was missed in a room is gone. @param {string} room */
  notRecovered(room) {
    this.#notRecovered.push(room);
  }

  /** The reader has seen that it is back. @returns {boolean} whether there was anything to take away */
  dismiss() {
    if (this.#phase !== "back") return false;
    this.#phase = "fine";
    return true;
  }

  /**
   * @param {number} waiting  messages without an answer now
   * @param {boolean} catching  what was missed is still arriving
   * @returns {Notice}
   */
  notice(waiting, catching) {
    switch (this.#phase) {
      case "first":
        // The first attempt is no news; that it failed is.
        return this.#state.phase === "waiting" ? { kind: "down", retryAt: this.#state.retryAt, waiting } : { kind: "connecting" };
      case "fine":
        return { kind: "none" };
      case "down":
        return { kind: "down", retryAt: this.#state.retryAt, waiting };
      case "back":
        return { kind: "back", catching, caught: this.#caught, resent: this.#resent, notRecovered: this.#notRecovered };
      case "closed":
        return { kind: "closed", code: this.#state.code ?? 0, reason: this.#state.reason ?? "" };
    }
  }
}
