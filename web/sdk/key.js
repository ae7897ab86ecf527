// Idempotency keys: one per message, the same on every retry, so that a retry is never stored twice.

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";

/** Characters of chance after the time: 20 of base 36 are 103 bits. */
const RANDOM_LENGTH = 20;

/**
 * A key that begins with its time (milliseconds in base 36), so that the server can refuse one that is older than
 * its window instead of storing the message again. crypto.getRandomValues works on plain http, randomUUID does not.
 * @param {number} now  milliseconds since 1970
 * @param {(bytes: Uint8Array) => unknown} [fill]
 * @returns {string}
 */
export function newKey(now, fill = (bytes) => globalThis.crypto.getRandomValues(bytes)) {
  const bytes = new Uint8Array(RANDOM_LENGTH);
  fill(bytes);
  return now.toString(36) + "-" + Array.from(bytes, (byte) => ALPHABET[byte % 36]).join("");
}
