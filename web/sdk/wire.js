// The shapes that travel between a client and Parlor's `/ws`, as types; there is no code here.

/**
 * Anything that JSON can say.
 * @typedef {null | boolean | number | string | any[] | {[name: string]: any}} Json
 */

/**
 * A user as others see one. `user` is the account's id and is never reused; `name` is what people read.
 * @typedef {{user: string, name: string}} Member
 */

/**
 * One message of a room. `offset` counts up by one inside a room; messages that are not stored have neither
 * `offset` nor `pos`. `time` is in milliseconds since 1970. `from` and `user` are missing when a program
 * published with the API key.
 * @typedef {object} Message
 * @property {"message"} type
 * @property {string} room
 * @property {number} [offset]
 * @property {string} [pos]  where this message stands, as one opaque string
 * @property {string} [from]
 * @property {string} [user]
 * @property {string} event  "message" unless the author named another
 * @property {Json} data
 * @property {number} time
 */

/**
 * Stands where `missed` messages of a room were dropped because they were not read in time.
 * @typedef {{type: "gap", room: string, missed: number}} Gap
 */

/**
 * One direct message between two accounts. `user` wrote it, `to_user` receives it.
 * @typedef {object} Direct
 * @property {"direct"} type
 * @property {string} from
 * @property {string} user
 * @property {string} to
 * @property {string} to_user
 * @property {number} offset
 * @property {string} pos
 * @property {string} event
 * @property {Json} data
 * @property {number} time
 */

/**
 * The first thing a server says.
 * @typedef {object} Welcome
 * @property {"welcome"} type
 * @property {string} session
 * @property {string} user
 * @property {string} name
 * @property {string} [token]  proves this account later; keep it secret
 * @property {number} protocol
 * @property {string} server
 * @property {{data?: number}} [limits]  `data` is the largest payload in bytes of JSON text
 */

/**
 * The answer to `join`, also sent by itself for direct conversations with something unread.
 * @typedef {object} Joined
 * @property {"joined"} type
 * @property {string} [room]
 * @property {string} [with]  the other person's name, for a direct conversation
 * @property {string} [with_user]
 * @property {number} [offset]  of the newest message
 * @property {string} [pos]  of the newest message; missing in a room that keeps nothing
 * @property {boolean} [recovered]  false: what was missed cannot be given; `reason` says why
 * @property {string} [reason]  epoch_changed, trimmed, diverged, too_many or no_log
 * @property {Array<Message | Direct>} [messages]
 * @property {Member[]} [members]
 * @property {number} [count]
 * @property {number} [version]  of the list of members
 * @property {number} [unread]
 */

/**
 * @typedef {object} Published
 * @property {"published"} type
 * @property {string} [room]
 * @property {string} [to]
 * @property {number} [offset]
 * @property {string} [pos]
 * @property {"none" | "memory" | "local" | "replicated"} ack  how safe the message is now
 */

/**
 * Who came and who went. `version` grows with every change.
 * @typedef {object} Presence
 * @property {"presence"} type
 * @property {string} room
 * @property {number} version
 * @property {Member[]} [joined]
 * @property {Member[]} [left]
 * @property {number} count
 */

/**
 * @typedef {object} History
 * @property {"history"} type
 * @property {string} [room]
 * @property {string} [with]
 * @property {Array<Message | Direct>} messages  oldest first
 * @property {boolean} more  whether there is more in the direction that was asked for
 */

/** @typedef {{type: "members", room: string, members: Member[], count: number, version: number}} Members */
/** @typedef {{room: string, count: number, offset?: number, unread?: number}} RoomEntry */
/** @typedef {{type: "rooms", rooms: RoomEntry[], more: boolean}} Rooms */
/** @typedef {{type: "read", room?: string, with?: string, with_user?: string, user?: string, name?: string, offset: number}} Read */
/** @typedef {{type: "bye", code: number, reason: string, reconnect?: boolean, retry_after?: number}} Bye */

/**
 * A refusal: `code` for programs, `message` for people, `retry_after` in seconds.
 * @typedef {{type: "error", id?: number | string, code: string, message: string, retry_after?: number, suggestions?: string[]}} Refusal
 */

/** @typedef {{type: string, id?: number | string, [field: string]: any}} Frame */

export {};
