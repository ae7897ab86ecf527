// The types of parlor.js, made from its code.
export { ParlorError };
/** @extends {Emitter<Happenings>} */
export class Parlor extends Emitter<Happenings> {
    /** Nothing is sent before `connect`. @param {Options} [options] */
    constructor(options?: Options);
    /** This account's id, once welcomed. @type {string | undefined} */
    user: string | undefined;
    /** This account's name, once welcomed. @type {string | undefined} */
    name: string | undefined;
    /** Rooms that are joined, or will be as soon as the connection allows. @type {Map<string, Room>} */
    rooms: Map<string, Room>;
    /** Largest `data` in bytes of JSON text. */
    maxData: number;
    /** What the connection is doing. @returns {State} */
    get state(): State;
    /** How many messages still wait for the server's answer. */
    get waiting(): number;
    /**
     * What earlier pages of this account had not sent; known at once to whoever was here before, else at the welcome.
     * @returns {Promise<Unsent[]>}
     */
    unsent(): Promise<Unsent[]>;
    /**
     * Connects, and stays connected until `close`. Resolves at the first welcome.
     * @returns {Promise<import("./wire.js").Welcome>}
     */
    connect(): Promise<import("./wire.js").Welcome>;
    /** Tries again now instead of waiting for the next attempt. */
    reconnect(): void;
    /** Disconnects for good. Messages that wait are rejected with `closed`. */
    close(): void;
    /**
     * Joins a room, and joins it again after every break. `last` older messages, or all `since` a position, arrive as
     * ordinary `message` events.
     * @param {string} room
     * @param {{last?: number, since?: string | number}} [from]
     * @returns {Promise<Joined>} rejected if the server refuses
     */
    join(room: string, from?: {
        last?: number;
        since?: string | number;
    }): Promise<Joined>;
    /**
     * Leaves a room; what it says no longer arrives.
     * @param {string} room
     */
    leave(room: string): Promise<void>;
    /**
     * Sends a message to a room. It waits for a connection, and a retry is never stored twice. The promise gives the
     * message's place and how safe it is (`ack`), or is rejected if the server says no.
     * @param {string} room
     * @param {Json} data
     * @param {{event?: string, key?: string, echo?: boolean, store?: boolean}} [options]  `store: false` is for notices such
     *   as typing: sent now or not at all
     * @returns {Promise<Published>}
     */
    publish(room: string, data: Json, { event, key, echo, store }?: {
        event?: string;
        key?: string;
        echo?: boolean;
        store?: boolean;
    }): Promise<Published>;
    /**
     * Sends a direct message to somebody by name; like `publish` it waits and is stored once.
     * @param {string} to
     * @param {Json} data
     * @param {{event?: string, key?: string}} [options]
     * @returns {Promise<Published>}
     */
    direct(to: string, data: Json, { event, key }?: {
        event?: string;
        key?: string;
    }): Promise<Published>;
    /** A key for one message, for applications that keep unsent messages themselves. */
    newKey(): string;
    /**
     * Tells a room that this user is writing; call it at every key press.
     * @param {string} room
     */
    typing(room: string): void;
    /**
     * Older messages, oldest first: of a room, or of the conversation `with` somebody.
     * @param {{room?: string, with?: string, before?: string | number, after?: string | number, limit?: number}} page
     * @returns {Promise<import("./wire.js").History>}
     */
    history(page: {
        room?: string;
        with?: string;
        before?: string | number;
        after?: string | number;
        limit?: number;
    }): Promise<import("./wire.js").History>;
    /** Who is in a room. @param {string} room @returns {Promise<import("./wire.js").Members>} */
    members(room: string): Promise<import("./wire.js").Members>;
    /**
     * The server's rooms, by name.
     * @param {{prefix?: string, after?: string, limit?: number}} [page]
     * @returns {Promise<import("./wire.js").Rooms>}
     */
    listRooms(page?: {
        prefix?: string;
        after?: string;
        limit?: number;
    }): Promise<import("./wire.js").Rooms>;
    /**
     * Marks a room, or the conversation `with` somebody, as read up to `offset`, on all of this user's devices.
     * @param {{room?: string, with?: string, offset: number}} mark
     * @returns {Promise<unknown>}
     */
    read(mark: {
        room?: string;
        with?: string;
        offset: number;
    }): Promise<unknown>;
    /** Calls the application behind the server. It is sent at most once. @param {string} method @param {Json} data @returns {Promise<Json>} */
    call(method: string, data: Json): Promise<Json>;
    /** Forgets who this was, and what they had not sent: the next connection is somebody else. */
    forget(): void;
    #private;
}
export type Json = import("./wire.js").Json;
export type Message = import("./wire.js").Message;
export type Direct = import("./wire.js").Direct;
export type Joined = import("./wire.js").Joined;
export type Published = import("./wire.js").Published;
export type State = import("./link.js").State;
export type Options = {
    /**
     * of `/ws`, as ws:, wss:, http: or https:; by default the page's own server. `sse`, `poll` and
     * `send` are beside it
     */
    url?: string | undefined;
    /**
     * what people should call this user; without one, a guest with a made-up name
     */
    name?: string | undefined;
    /**
     * proves an account; by default the one in `store`
     */
    token?: string | undefined;
    /**
     * where name and token are kept; localStorage by default
     */
    store?: import("./account.js").Store | null | undefined;
    /**
     * where unsent messages survive a reload; IndexedDB by default, and
     * nowhere if `store` is null
     */
    unsent?: import("./kept.js").Keeper | null | undefined;
    /**
     * rooms to join at once
     */
    rooms?: string[] | undefined;
    /**
     * how many older messages of those rooms to ask for (0)
     */
    last?: number | undefined;
    /**
     * milliseconds to wait for a reply (10,000)
     */
    timeout?: number | undefined;
    /**
     * how it may connect, the best first; all three by default
     */
    ways?: import("./ways.js").Way[] | undefined;
    /**
     * another implementation, for runtimes without one
     */
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
    /**
     * another implementation, for tests
     */
    fetch?: typeof fetch | undefined;
    /**
     * another clock, for tests
     */
    clock?: import("./link.js").Clock | undefined;
    /**
     * another source of jitter, for tests
     */
    random?: (() => number) | undefined;
};
export type Happenings = {
    /**
     * the connection's phase changed
     */
    state: State;
    /**
     * connected, as this user
     */
    welcome: import("./wire.js").Welcome;
    /**
     * in a room; after a break `resumed` is true, and if then `recovered` is
     * false something was missed for good (`reason` says why): load the room's history anew
     */
    joined: Joined & {
        resumed: boolean;
    };
    /**
     * a message of a joined room: every one once, in order, with those missed during a break
     */
    message: Message;
    /**
     * a direct message, sent or received by this user
     */
    direct: Direct;
    /**
     * so many messages were dropped because this client read too slowly;
     * in a room with a log `history({room, after})` has them
     */
    gap: {
        room: string;
        missed: number;
        after?: string;
    };
    /**
     * what was missed during a break (`count` messages) has arrived
     */
    caughtup: {
        room?: string;
        with?: string;
        count: number;
    };
    /**
     * who is in a room now
     */
    presence: {
        room: string;
        members: Map<string, string>;
        count: number;
    };
    /**
     * somebody is writing; say so for five seconds
     */
    typing: {
        room: string;
        user?: string;
        from?: string;
    };
    /**
     * somebody read up to `offset`
     */
    read: import("./wire.js").Read;
    /**
     * direct messages may be missing: load that history anew
     */
    lost: {
        with: string;
        with_user: string;
        reason: string;
    };
    /**
     * a refusal that no promise carries
     */
    error: ParlorError & {
        room?: string;
    };
};
/**
 * A message that a page before this one had no answer for. It is sent again with its key; `sent` is the server's answer.
 */
export type Unsent = {
    key: string;
    time: number;
    room?: string;
    to?: string;
    data: Json;
    event?: string;
    sent: Promise<Published>;
};
import { ParlorError } from "./error.js";
import { Emitter } from "./emitter.js";
import { Room } from "./room.js";
