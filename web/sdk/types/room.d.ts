// The types of room.js, made from its code.
export class Room {
    /**
     * @param {string} name
     * @param {{last?: number, since?: string | number}} wish  from where the first join starts
     */
    constructor(name: string, wish: {
        last?: number;
        since?: string | number;
    });
    /** The user ids here with their names; complete in rooms of up to 200 people. @type {Map<string, string>} */
    members: Map<string, string>;
    /** How many people are here. */
    count: number;
    /** Version of the list of members. */
    version: number;
    /** Position of the last message received, to resume from. @type {string | undefined} */
    pos: string | undefined;
    /** Offset of the last message received. @type {number | undefined} */
    offset: number | undefined;
    /** Offset of the newest message when the room was last joined. */
    head: number;
    /** Whether this connection is in the room. */
    joined: boolean;
    /** Whether a join has been sent and not yet answered. */
    asked: boolean;
    /** What was said in it before that answer came: where the two travel on different lines, either may be first. The wait for an
     * answer is short, so this is too. @type {import("./wire.js").Frame[]} */
    held: import("./wire.js").Frame[];
    /** Whether messages that were missed during a break are still arriving. */
    catchingUp: boolean;
    /** How many of them have arrived since that join. */
    caughtUp: number;
    name: string;
    wish: {
        last?: number;
        since?: string | number;
    };
    /** Whether the room keeps its messages, as far as is known; only then may a message carry a key. */
    get keeps(): boolean;
    /** The command that (re)joins: from the last message received, or as wished at first. */
    joinCommand(): {
        last?: number;
        since?: string | number;
        type: string;
        room: string;
    };
    /**
     * The server's answer to a join. The messages in it are still to be accepted one by one.
     * @param {Joined} joined
     * @param {boolean} resumed  whether the join named a position
     */
    enter(joined: Joined, resumed: boolean): void;
    /**
     * Takes note of a message.
     * @param {Message} message
     * @returns {boolean} false for one that was already received
     */
    accept(message: Message): boolean;
    /** True once, when everything that was missed has arrived. */
    reachedHead(): boolean;
    /**
     * A change of presence; older versions than the one known say nothing new.
     * @param {import("./wire.js").Presence} change
     * @returns {"old" | "applied" | "gap"} gap: something was missed, ask for the whole list
     */
    change(change: import("./wire.js").Presence): "old" | "applied" | "gap";
    /**
     * The whole list, as asked for. One that is older than what is known is ignored.
     * @param {import("./wire.js").Members} list
     */
    replace(list: import("./wire.js").Members): void;
}
export type Message = import("./wire.js").Message;
export type Joined = import("./wire.js").Joined;
export type Member = import("./wire.js").Member;
