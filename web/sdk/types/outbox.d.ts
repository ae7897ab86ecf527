// The types of outbox.js, made from its code.
export class Outbox {
    /**
     * @param {object} tools
     * @param {(command: Command, done: import("./requests.js").Done) => void} tools.ask  one attempt on the present connection
     * @param {() => boolean} tools.isOpen
     * @param {() => void} tools.stuck  a reply did not come: the connection is dead
     * @param {(command: Command) => void} tools.renew  gives it another key
     * @param {import("./link.js").Clock} tools.clock
     */
    constructor(tools: {
        ask: (command: Command, done: import("./requests.js").Done) => void;
        isOpen: () => boolean;
        stuck: () => void;
        renew: (command: Command) => void;
        clock: import("./link.js").Clock;
    });
    tools: {
        ask: (command: Command, done: import("./requests.js").Done) => void;
        isOpen: () => boolean;
        stuck: () => void;
        renew: (command: Command) => void;
        clock: import("./link.js").Clock;
    };
    /** How many messages have no answer yet. */
    get size(): number;
    /**
     * @param {Command} command
     * @returns {Promise<Published>} what the server says about it, however many connections that takes
     */
    put(command: Command): Promise<Published>;
    /**
     * What a page before this one had no answer for goes first, in its order.
     * @param {Command[]} commands
     * @returns {Promise<Published>[]}
     */
    restore(commands: Command[]): Promise<Published>[];
    /** Whoever this is now did not write what was restored. @param {ParlorError} error */
    disown(error: ParlorError): void;
    /** Sends what may be sent now. */
    pump(): void;
    /** The connection ended. Nothing is lost: every item without an answer is sent on the next one, with its key. An item
     * that may have no key (its room keeps nothing) and may have arrived is given back instead of being sent twice. */
    down(): void;
    /** @param {ParlorError} error */
    close(error: ParlorError): void;
    #private;
}
export type Published = import("./wire.js").Published;
export type Command = {
    type: "publish" | "direct";
    key?: string;
    [field: string]: any;
};
export type Item = {
    command: Command;
    /**
     * on the present connection, its reply is awaited
     */
    sent: boolean;
    /**
     * on any connection
     */
    attempts: number;
    /**
     * a page before this one wrote it, and may have sent it
     */
    restored: boolean;
    answer: Promise<Published>;
    resolve: (published: Published) => void;
    reject: (error: ParlorError) => void;
};
import { ParlorError } from "./error.js";
