// The types of key.js, made from its code.
/**
 * A key that begins with its time (milliseconds in base 36), so that the server can refuse one that is older than
 * its window instead of storing the message again. crypto.getRandomValues works on plain http, randomUUID does not.
 * @param {number} now  milliseconds since 1970
 * @param {(bytes: Uint8Array) => unknown} [fill]
 * @returns {string}
 */
export function newKey(now: number, fill?: (bytes: Uint8Array) => unknown): string;
