// One conversation as the page holds it: a room, or the direct messages with somebody.
import { Log } from "./log.js";

export class Conversation {
  log = new Log();
  unread = 0;
  /** The "new messages" line stands behind this offset. @type {number | undefined} */
  newAfter = undefined;
  /** The first page of its history is here, or on its way. */
  loaded = false;
  loading = false;
  /** How far the server knows that this user has read. */
  read = 0;
  draft = "";
  /** Names of who is writing, until when. @type {Map<string, number>} */
  typing = new Map();
  /** Who is in the room: names by user id. @type {Map<string, string>} */
  members = new Map();
  count = 0;
  /** What happened last around the connection, in a sentence. */
  note = "";

  /** @param {"r" | "d"} kind @param {string} name */
  constructor(kind, name) {
    this.kind = kind;
    this.name = name;
  }

  /** The part of the address behind `#`. */
  get link() {
    return `#/${this.kind}/${encodeURIComponent(this.name)}`;
  }

  /** How history and read markers name it. @returns {{room: string} | {with: string}} */
  get of() {
    return this.kind === "r" ? { room: this.name } : { with: this.name };
  }
}

/** What an address names. @param {string} hash @returns {{kind: "r" | "d", name: string} | null} */
export function parseLink(hash) {
  const match = /^#\/([rd])\/(.+)$/.exec(hash);
  if (!match) return null;
  try {
    return { kind: match[1] === "d" ? "d" : "r", name: decodeURIComponent(match[2]) };
  } catch {
    return null;
  }
}
