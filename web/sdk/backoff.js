// When to try again after a connection ended: the close codes' two bands, and a delay with full jitter.

/** The first ceiling; doubled at each failure in a row. Short, because most breaks are a restart or a change of network. */
const FIRST_MS = 500;

/** The last ceiling: a server that comes back after an hour is found within this time. */
const CEILING_MS = 20_000;

/** RFC 6455 section 7.4.1: this side broke a rule of the wire, and would break it again. */
const OUR_FAULT = new Set([1002, 1003, 1007, 1008, 1009, 1010]);

/**
 * Whether a close code allows another attempt. 4500-4999 say that trying again cannot help (bad token, kicked,
 * name taken); 4000-4499, a restart and above all 1006, the network, do not.
 * @param {number} code
 * @returns {boolean}
 */
export function mayRetry(code) {
  return (code < 4500 || code > 4999) && !OUR_FAULT.has(code);
}

/**
 * Milliseconds to wait before attempt number `attempt` (0 is the first retry): full jitter, so that a thousand clients
 * of one restarted server spread out. A server's `retry_after` is a floor under it.
 * @param {number} attempt
 * @param {{retryAfter?: number, random?: () => number}} [options]  `retryAfter` in seconds
 * @returns {number}
 */
export function delay(attempt, { retryAfter = 0, random = Math.random } = {}) {
  const ceiling = Math.min(CEILING_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(retryAfter * 1000 + random() * ceiling);
}
