// One conversation as the page holds it: a room, or the direct messages with somebody.
import { Log } from "./log.js";

/** @typedef {"r" | "d"} Kind */

export class Conversation {
  log = new Log();
  /** Messages of others that nobody has looked at. */
  unread = 0;
  /** The "new messages" line stands behind this offset. @type {number | undefined} */
  newAfter = undefined;
  /** How far this person has read, as the server was told. */
  read = 0;
  /** Messages up to here were there when the room was joined: the server has counted the unread ones among them. */
  head = 0;
  /** Whether its newest messages are here. @type {"new" | "loading" | "ready" | "failed"} */
  phase = "new";
  /** Whether an older page is on its way, or did not come. @type {"no" | "loading" | "failed"} */
  older = "no";
  /** What was missed during a break is arriving. */
  catching = false;
  /** Who is writing, by name, and until when that is shown. @type {Map<string, number>} */
  typing = new Map();
  /** Who is in the room: names by user id. @type {Map<string, string>} */
  members = new Map();
  count = 0;
  /** The other's account id, in a direct conversation. @type {string | undefined} */
  user = undefined;

  /** @param {Kind} kind @param {string} name */
  constructor(kind, name) {
    this.kind = kind;
    this.name = name;
  }

  /** "r/lobby", "d/ann": unlike any other conversation's. */
  get key() {
    return `${this.kind}/${this.name}`;
  }

  /** What stands behind the page's address. */
  get address() {
    return `#/${this.kind}/${encodeURIComponent(this.name)}`;
  }

  /** How commands name it. @returns {{room: string} | {with: string}} */
  get place() {
    return this.kind === "r" ? { room: this.name } : { with: this.name };
  }

  /** Who is writing now. @param {number} now @returns {string[]} */
  writers(now) {
    for (const [name, until] of this.typing) if (until <= now) this.typing.delete(name);
    return [...this.typing.keys()];
  }
}

/**
 * What an address names: `#/r/lobby` or `#/d/ann`.
 * @param {string} hash @returns {{kind: Kind, name: string} | null}
 */
export function parseAddress(hash) {
  const match = /^#\/([rd])\/(.+)$/.exec(hash);
  if (!match) return null;
  try {
    return { kind: /** @type {Kind} */ (match[1]), name: decodeURIComponent(match[2]).normalize("NFC") };
  } catch {
    return null; // A percent sign with nothing behind it.
  }
}
