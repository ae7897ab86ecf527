// The types of backoff.js, made from its code.
/**
 * Whether a close code allows another attempt. 4500-4999 say that trying again cannot help (bad token, kicked,
 * name taken); 4000-4499, a restart and above all 1006, the network, do not.
 * @param {number} code
 * @returns {boolean}
 */
export function mayRetry(code: number): boolean;
/**
 * Milliseconds to wait before attempt number `attempt` (0 is the first retry): full jitter, so that a thousand clients
 * of one restarted server spread out. A server's `retry_after` is a floor under it.
 * @param {number} attempt
 * @param {{retryAfter?: number, random?: () => number}} [options]  `retryAfter` in seconds
 * @returns {number}
 */
export function delay(attempt: number, { retryAfter, random }?: {
    retryAfter?: number;
    random?: () => number;
}): number;
