// The types of ways.js, made from its code.
/** @typedef {"websocket" | "sse" | "poll"} Way */
/** The best first. @type {Way[]} */
export const WAYS: Way[];
export class Ways {
    /**
     * @param {object} tools
     * @param {Way[]} tools.list  those that may be used, the best first
     * @param {import("./account.js").Memory} tools.memory
     * @param {() => string} tools.server  whose ways these are
     * @param {() => number} tools.now
     */
    constructor(tools: {
        list: Way[];
        memory: import("./account.js").Memory;
        server: () => string;
        now: () => number;
    });
    tools: {
        list: Way[];
        memory: import("./account.js").Memory;
        server: () => string;
        now: () => number;
    };
    /** What to try now, one after the other. @returns {Way[]} */
    order(): Way[];
    /** This one has connected. @param {Way} way */
    worked(way: Way): void;
    /** Whether there may be a better way than the one in use. */
    get mayBeBetter(): boolean;
    /** It is another network now. */
    forget(): void;
    #private;
}
export type Way = "websocket" | "sse" | "poll";
