// The one kind of error that the client's promises are rejected with.

/** A refusal by the server, or by the client on its behalf (`timeout`, `disconnected`, `closed`, `queue_full`). */
export class ParlorError extends Error {
  /**
   * @param {string} code  for programs, one of the codes in the protocol's documentation
   * @param {string} message  for people
   * @param {{retry_after?: number, suggestions?: string[]}} [details]
   */
  constructor(code, message, details = {}) {
    super(message);
    this.name = "ParlorError";
    this.code = code;
    /** Seconds to wait before trying again, if the server said so. */
    this.retryAfter = details.retry_after;
    /** Other names to take, for `name_taken`. */
    this.suggestions = details.suggestions ?? [];
  }

  /** @param {import("./wire.js").Refusal} refusal */
  static of(refusal) {
    return new ParlorError(refusal.code, refusal.message, refusal);
  }
}
