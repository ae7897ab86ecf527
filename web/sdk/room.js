// What the client knows of one joined room: where it stands in the log, and who is there.

/** @typedef {import("./wire.js").Message} Message */
/** @typedef {import("./wire.js").Joined} Joined */
/** @typedef {import("./wire.js").Member} Member */

/** `members` lists at most this many people; in a larger room only the count is kept. */
const MEMBERS_LISTED = 200;

export class Room {
  /** The user ids here with their names; complete in rooms of up to 200 people. @type {Map<string, string>} */
  members = new Map();
  /** How many people are here. */
  count = 0;
  /** Version of the list of members. */
  version = 0;
  /** Position of the last message received, to resume from. @type {string | undefined} */
  pos = undefined;
  /** Offset of the last message received. @type {number | undefined} */
  offset = undefined;
  /** Offset of the newest message when the room was last joined. */
  head = 0;
  /** Whether this connection is in the room. */
  joined = false;
  /** Whether a join has been sent and not yet answered. */
  asked = false;
  /** What was said in it before that answer came: where the two travel on different lines, either may be first. The wait for an
   * answer is short, so this is too. @type {import("./wire.js").Frame[]} */
  held = [];
  /** Whether messages that were missed during a break are still arriving. */
  catchingUp = false;
  /** How many of them have arrived since that join. */
  caughtUp = 0;

  /**
   * @param {string} name
   * @param {{last?: number, since?: string | number}} wish  from where the first join starts
   */
  constructor(name, wish) {
    this.name = name;
    this.wish = wish;
  }

  /** Whether the room keeps its messages, as far as is known; only then may a message carry a key. */
  get keeps() {
    return !this.joined || this.pos !== undefined;
  }

  /** The command that (re)joins: from the last message received, or as wished at first. */
  joinCommand() {
    const from = this.pos === undefined ? this.wish : { since: this.pos };
    return { type: "join", room: this.name, ...from };
  }

  /**
   * The server's answer to a join. The messages in it are still to be accepted one by one.
   * @param {Joined} joined
   * @param {boolean} resumed  whether the join named a position
   */
  enter(joined, resumed) {
    const lost = joined.recovered === false;
    const first = joined.messages?.[0]?.offset;
    this.joined = true;
    this.members = new Map((joined.members ?? []).map(({ user, name }) => [user, name]));
    this.count = joined.count ?? this.members.size;
    this.version = joined.version ?? 0;
    this.head = joined.offset ?? 0;
    this.caughtUp = 0;
    if (this.pos === undefined || lost) {
      this.offset = first === undefined ? joined.offset : first - 1;
      this.pos = joined.pos;
    }
    this.catchingUp = resumed && !lost;
  }

  /**
   * Takes note of a message.
   * @param {Message} message
   * @returns {boolean} false for one that was already received
   */
  accept(message) {
    if (message.offset === undefined) return true;
    if (this.offset !== undefined && message.offset <= this.offset) return false;
    this.offset = message.offset;
    this.pos = message.pos;
    if (this.catchingUp && message.offset <= this.head) this.caughtUp++;
    return true;
  }

  /** True once, when everything that was missed has arrived. */
  reachedHead() {
    if (!this.catchingUp || (this.offset ?? 0) < this.head) return false;
    this.catchingUp = false;
    return true;
  }

  /**
   * A change of presence; older versions than the one known say nothing new.
   * @param {import("./wire.js").Presence} change
   * @returns {"old" | "applied" | "gap"} gap: something was missed, ask for the whole list
   */
  change(change) {
    if (change.version <= this.version) return "old";
    this.version = change.version;
    this.count = change.count;
    for (const { user, name } of change.joined ?? []) this.members.set(user, name);
    for (const { user } of change.left ?? []) this.members.delete(user);
    return this.members.size !== this.count && this.count <= MEMBERS_LISTED ? "gap" : "applied";
  }

  /**
   * The whole list, as asked for. One that is older than what is known is ignored.
   * @param {import("./wire.js").Members} list
   */
  replace(list) {
    if (list.version !== undefined && list.version < this.version) return;
    this.members = new Map(list.members.map(({ user, name }) => [user, name]));
    this.count = list.count ?? this.members.size;
    this.version = list.version ?? this.version;
  }
}
