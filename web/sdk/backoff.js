// When to try again after a connection ended: the close codes' two bands, and a delay with full jitter.

/** The first ceiling; doubled at each failure in a row. Short, because most breaks are a restart or a change of network. */
const FIRST_MS = 500;

/** The last ceiling: a server that comes back after an hour is found within this time. */
const CEILING_MS = 20_000;

/**
 * Whether a close code allows another attempt. 4500-4999 say that trying again cannot help (bad token, kicked,
 * name taken); everything else does, 1006 (the network) first of all.
 * @param {number} code
 * @returns {boolean}
 */
export function mayRetry(code) {
  return code < 4500 || code > 4999;
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
