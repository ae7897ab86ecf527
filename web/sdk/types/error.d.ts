// The types of error.js, made from its code.
/** A refusal by the server, or by the client on its behalf (`timeout`, `disconnected`, `closed`, `queue_full`). */
export class ParlorError extends Error {
    /** @param {import("./wire.js").Refusal} refusal */
    static of(refusal: import("./wire.js").Refusal): ParlorError;
    /**
     * @param {string} code  for programs, one of the codes in the protocol's documentation
     * @param {string} message  for people
     * @param {{retry_after?: number, suggestions?: string[]}} [details]
     */
    constructor(code: string, message: string, details?: {
        retry_after?: number;
        suggestions?: string[];
    });
    code: string;
    /** Seconds to wait before trying again, if the server said so. */
    retryAfter: number | undefined;
    /** Other names to take, for `name_taken`. */
    suggestions: string[];
}
