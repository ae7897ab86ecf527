// The types of requests.js, made from its code.
/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {{type: string, [field: string]: any}} Command */
/**
 * Exactly one of the two is called, once.
 * @typedef {{resolve: (reply: any) => void, reject: (error: ParlorError) => void}} Done
 */
/** @typedef {Done & {command: Frame, repeat: boolean, sent: boolean, timer: any}} Entry */
export class Requests {
    /**
     * @param {{send(frame: Frame): void, readonly isOpen: boolean}} link
     * @param {import("./link.js").Clock} clock
     * @param {number} timeout  in milliseconds, for one reply
     */
    constructor(link: {
        send(frame: Frame): void;
        readonly isOpen: boolean;
    }, clock: import("./link.js").Clock, timeout: number);
    link: {
        send(frame: Frame): void;
        readonly isOpen: boolean;
    };
    clock: import("./link.js").Clock;
    timeout: number;
    /** How many have no reply yet. */
    get size(): number;
    /**
     * Sends a command now, or as soon as the link is open, and promises its reply. A command that may be repeated (it only
     * reads) is sent again on the next connection; one that may not is rejected with `disconnected` when the connection ends.
     * @param {Command} command
     * @param {{repeat?: boolean}} [options]
     * @returns {Promise<any>}
     */
    ask(command: Command, { repeat }?: {
        repeat?: boolean;
    }): Promise<any>;
    /**
     * The same with plain functions, called before the frame after the reply is looked at: what follows a `joined` must
     * not be seen before it.
     * @param {Command} command
     * @param {boolean} repeat
     * @param {Done} done
     */
    post(command: Command, repeat: boolean, done: Done): void;
    /**
     * Gives a frame to the command that it answers.
     * @param {Frame} frame
     * @returns {boolean} whether there was one
     */
    answer(frame: Frame): boolean;
    /** The connection is new: whatever may be repeated is sent again, in its old order. */
    opened(): void;
    /** The connection ended: what may not be repeated has failed. */
    down(): void;
    /** @param {ParlorError} error */
    close(error: ParlorError): void;
    #private;
}
export type Frame = import("./wire.js").Frame;
export type Command = {
    type: string;
    [field: string]: any;
};
/**
 * Exactly one of the two is called, once.
 */
export type Done = {
    resolve: (reply: any) => void;
    reject: (error: ParlorError) => void;
};
export type Entry = Done & {
    command: Frame;
    repeat: boolean;
    sent: boolean;
    timer: any;
};
import { ParlorError } from "./error.js";
