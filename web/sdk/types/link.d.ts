// The types of link.js, made from its code.
export class Link {
    /**
     * @param {Hooks} hooks
     * @param {{clock: Clock, random: () => number, ways: import("./ways.js").Ways, isOnline: () => boolean}} tools
     */
    constructor(hooks: Hooks, tools: {
        clock: Clock;
        random: () => number;
        ways: import("./ways.js").Ways;
        isOnline: () => boolean;
    });
    hooks: Hooks;
    tools: {
        clock: Clock;
        random: () => number;
        ways: import("./ways.js").Ways;
        isOnline: () => boolean;
    };
    get state(): State;
    get isOpen(): boolean;
    /** Opens a socket now, unless one is open or opening. Also ends a wait early. */
    open(): void;
    /** The server has said welcome: the link is open. */
    welcomed(): void;
    /** @param {Frame} frame */
    send(frame: Frame): void;
    /** The server announced the end: what it says about another attempt is remembered until the socket closes.
     * @param {import("./wire.js").Bye} bye */
    bye(bye: import("./wire.js").Bye): void;
    /** A refusal that answers no command is the reason for the close that may follow it.
     * @param {import("./wire.js").Refusal} error */
    refused(error: import("./wire.js").Refusal): void;
    /** Gives the present connection up as dead and goes on with the next attempt.
     * @param {string} reason */
    fail(reason: string): void;
    /** The device woke up or found a network: ends a wait, or checks an open connection at once. */
    nudge(): void;
    /** Nobody is looking: a good moment to find out whether the best way works again. */
    improve(): void;
    /** Ends the link for good; `open` may start it again. */
    close(): void;
    #private;
}
export type Frame = import("./wire.js").Frame;
export type Way = import("./ways.js").Way;
/**
 * A WebSocket, or what has its face. `oneWay`: it answers pings elsewhere.
 */
export type Socket = {
    /**
     * `data` is text or a frame; without it the event is only a sign of life
     */
    onmessage: ((event: any) => any) | null;
    onclose: ((event: any) => any) | null;
    send: (text: string) => void;
    close: (code?: number, reason?: string) => void;
    oneWay?: boolean | undefined;
};
/**
 * What the link is doing. `retryAt` (ms since 1970) is there while it waits; `code` and `reason` say how the last
 * connection ended; `error` is the server's refusal, if it gave one before it closed; `way` is how it is connected, or tries.
 */
export type State = {
    phase: "idle" | "connecting" | "open" | "waiting" | "closed";
    retryAt?: number | undefined;
    code?: number | undefined;
    reason?: string | undefined;
    error?: import("./wire.js").Refusal | undefined;
    way?: import("./ways.js").Way | undefined;
};
/**
 * The clock and the timers, so that tests can own them.
 */
export type Clock = {
    now(): number;
    setTimeout(run: () => void, ms: number): any;
    clearTimeout(timer: any): void;
};
export type Hooks = {
    dial: (way: Way) => Socket;
    frame: (frame: Frame) => void;
    /**
     * the connection, open a moment ago, is gone
     */
    down: () => void;
    state: (state: State) => void;
    /**
     * may a final refusal be tried once more?
     */
    again: (end: {
        code: number;
        error?: import("./wire.js").Refusal;
    }) => boolean;
};
