// The types of wire.js, made from its code.
/**
 * Anything that JSON can say.
 */
export type Json = null | boolean | number | string | any[] | {
    [name: string]: any;
};
/**
 * A user as others see one. `user` is the account's id and is never reused; `name` is what people read.
 */
export type Member = {
    user: string;
    name: string;
};
/**
 * One message of a room. `offset` counts up by one inside a room; messages that are not stored have neither
 * `offset` nor `pos`. `time` is in milliseconds since 1970. `from` and `user` are missing when a program
 * published with the API key.
 */
export type Message = {
    type: "message";
    room: string;
    offset?: number | undefined;
    /**
     * where this message stands, as one opaque string
     */
    pos?: string | undefined;
    from?: string | undefined;
    user?: string | undefined;
    /**
     * "message" unless the author named another
     */
    event: string;
    data: Json;
    time: number;
};
/**
 * Stands where `missed` messages of a room were dropped because they were not read in time.
 */
export type Gap = {
    type: "gap";
    room: string;
    missed: number;
};
/**
 * One direct message between two accounts. `user` wrote it, `to_user` receives it.
 */
export type Direct = {
    type: "direct";
    from: string;
    user: string;
    to: string;
    to_user: string;
    offset: number;
    pos: string;
    event: string;
    data: Json;
    time: number;
};
/**
 * The first thing a server says.
 */
export type Welcome = {
    type: "welcome";
    session: string;
    user: string;
    name: string;
    /**
     * proves this account later; keep it secret
     */
    token?: string | undefined;
    protocol: number;
    server: string;
    /**
     * `data` is the largest payload in bytes of JSON text
     */
    limits?: {
        data?: number;
    } | undefined;
};
/**
 * The answer to `join`, also sent by itself for direct conversations with something unread.
 */
export type Joined = {
    type: "joined";
    room?: string | undefined;
    /**
     * the other person's name, for a direct conversation
     */
    with?: string | undefined;
    with_user?: string | undefined;
    /**
     * of the newest message
     */
    offset?: number | undefined;
    /**
     * of the newest message; missing in a room that keeps nothing
     */
    pos?: string | undefined;
    /**
     * false: what was missed cannot be given; `reason` says why
     */
    recovered?: boolean | undefined;
    /**
     * epoch_changed, trimmed, diverged, too_many or no_log
     */
    reason?: string | undefined;
    messages?: (Message | Direct)[] | undefined;
    members?: Member[] | undefined;
    count?: number | undefined;
    /**
     * of the list of members
     */
    version?: number | undefined;
    unread?: number | undefined;
};
export type Published = {
    type: "published";
    room?: string | undefined;
    to?: string | undefined;
    offset?: number | undefined;
    pos?: string | undefined;
    /**
     * how safe the message is now
     */
    ack: "none" | "memory" | "local" | "replicated";
};
/**
 * Who came and who went. `version` grows with every change.
 */
export type Presence = {
    type: "presence";
    room: string;
    version: number;
    joined?: Member[] | undefined;
    left?: Member[] | undefined;
    count: number;
};
export type History = {
    type: "history";
    room?: string | undefined;
    with?: string | undefined;
    /**
     * oldest first
     */
    messages: Array<Message | Direct>;
    /**
     * whether there is more in the direction that was asked for
     */
    more: boolean;
};
export type Members = {
    type: "members";
    room: string;
    members: Member[];
    count: number;
    version: number;
};
export type RoomEntry = {
    room: string;
    count: number;
    offset?: number;
    unread?: number;
};
export type Rooms = {
    type: "rooms";
    rooms: RoomEntry[];
    more: boolean;
};
export type Read = {
    type: "read";
    room?: string;
    with?: string;
    with_user?: string;
    user?: string;
    name?: string;
    offset: number;
};
export type Bye = {
    type: "bye";
    code: number;
    reason: string;
    reconnect?: boolean;
    retry_after?: number;
};
/**
 * A refusal: `code` for programs, `message` for people, `retry_after` in seconds.
 */
export type Refusal = {
    type: "error";
    id?: number | string;
    code: string;
    message: string;
    retry_after?: number;
    suggestions?: string[];
};
export type Frame = {
    type: string;
    id?: number | string;
    [field: string]: any;
};
