// The page's state and verbs: conversations, what is said in them, what is read. The views only show it.
import { Emitter } from "../sdk/emitter.js";
import { Conversation, parseAddress } from "./conversation.js";
import { Outage } from "./outage.js";
import { newLine } from "./rows.js";

/** @typedef {import("../sdk/parlor.js").Parlor} Parlor */
/** @typedef {import("../sdk/parlor.js").ParlorError} ParlorError */
/** @typedef {import("./log.js").Item} Item */
/** What changed and is to be drawn anew: the list of conversations, the open one, who is here, the connection, who writes. @typedef {"list" | "talk" | "people" | "notice" | "typing"} Topic */

/** Messages in one page of history: about three screens. */
const PAGE = 50;
/** Read markers are sent at most this often. */
const READ_EVERY_MS = 700;
/** Conversations with people that are remembered. */
const TALKS_KEPT = 100;

export class App {
  /** What the views listen to; a change of language replaces the views and this. */
  bus = new Emitter();
  /** @type {Map<string, Conversation>} */
  conversations = new Map();
  /** @type {Conversation} */
  current;
  outage = new Outage();
  /** Whether the end of the open conversation is in view; the timeline keeps it. */
  atEnd = true;
  /** On a narrow page one of these is shown. @type {"list" | "talk"} */
  pane = "talk";
  #dirty = new Set();
  #readTimer = 0;

  /** @param {Parlor} parlor @param {import("./prefs.js").Prefs} own */
  constructor(parlor, own) {
    this.parlor = parlor;
    this.own = own;
    for (const room of own.get("rooms", ["lobby"])) this.#make("r", room);
    for (const name of own.get("talks", [])) this.#make("d", name);
    const asked = parseAddress(location.hash) ?? { kind: /** @type {const} */ ("r"), name: "lobby" };
    this.current = this.conversation(asked.kind, asked.name);
    parlor.unsent().then((all) => all.forEach((unsent) => this.#resend(unsent)));
  }

  /** The conversation of that name; a new one is joined and remembered. @param {import("./conversation.js").Kind} kind @param {string} name */
  conversation(kind, name) {
    const known = this.conversations.get(`${kind}/${name}`);
    if (known) return known;
    const made = this.#make(kind, name);
    this.#remember();
    this.changed("list");
    return made;
  }

  /** @param {Conversation} conversation */
  open(conversation) {
    if (this.current !== conversation) this.current.newAfter = undefined;
    this.current = conversation;
    this.pane = "talk";
    conversation.newAfter ??= newLine(conversation.log.stored, conversation.unread, this.parlor.user);
    if (location.hash !== conversation.address) history.pushState(null, "", conversation.address);
    if (conversation.phase === "new" || conversation.phase === "failed") this.load(conversation);
    this.bus.emit("open", conversation);
    this.changed("list", "talk", "people", "typing");
  }

  /** Leaves a room, or takes a person off the list. @param {Conversation} conversation */
  close(conversation) {
    this.conversations.delete(conversation.key);
    if (conversation.kind === "r") this.parlor.leave(conversation.name).catch(() => {});
    this.#remember();
    if (this.current === conversation) this.open(this.conversations.values().next().value ?? this.conversation("r", "lobby"));
    this.changed("list");
  }

  /** The newest page. Rooms bring theirs when they are joined; this is for people, and for a log that began anew. @param {Conversation} conversation */
  async load(conversation) {
    conversation.phase = "loading";
    this.changed("talk");
    try {
      const page = await this.parlor.history({ ...conversation.place, limit: PAGE });
      conversation.log.prepend(page.messages, page.more);
      conversation.phase = "ready";
      conversation.newAfter ??= newLine(conversation.log.stored, conversation.unread, this.parlor.user);
    } catch (error) {
      const { code } = /** @type {ParlorError} */ (error);
      // A room that keeps nothing has no history, a stranger none yet.
      conversation.phase = code === "no_log" || code === "no_such_user" ? "ready" : "failed";
    }
    this.changed("talk");
  }

  /** The page before the oldest message. @param {Conversation} conversation */
  async loadOlder(conversation) {
    const before = conversation.log.firstOffset;
    if (!conversation.log.more || conversation.older === "loading" || before === undefined) return;
    conversation.older = "loading";
    this.changed("talk");
    try {
      const page = await this.parlor.history({ ...conversation.place, before, limit: PAGE });
      conversation.log.prepend(page.messages, page.more);
      conversation.older = "no";
    } catch {
      conversation.older = "failed";
    }
    this.changed("talk");
  }

  /** @param {string} text */
  send(text) {
    const { parlor, current } = this;
    current.newAfter = undefined;
    this.#deliver(current, current.log.send({ key: parlor.newKey(), data: text, time: Date.now(), user: parlor.user, from: parlor.name }));
    this.bus.emit("sent", current);
    this.changed("talk", "notice");
  }

  /** Sends what was refused as a new message. @param {Conversation} conversation @param {Item} item */
  sendAgain(conversation, item) {
    this.drop(conversation, item);
    const line = { ...item, key: this.parlor.newKey(), time: Date.now(), error: undefined };
    this.#deliver(conversation, conversation.log.send(line));
    this.changed("talk");
  }

  /** @param {Conversation} conversation @param {Item} item */
  drop(conversation, item) {
    conversation.log.remove(item.key ?? "");
    this.changed("talk");
  }

  /** Whether somebody is looking at the end of this conversation now. @param {Conversation} conversation */
  isSeen(conversation) {
    const shown = this.pane === "talk" || matchMedia("(min-width: 720px)").matches;
    return conversation === this.current && shown && this.atEnd && document.visibilityState === "visible" && document.hasFocus();
  }

  /** Notes that what is in view is read. */
  markSeen() {
    const { current } = this;
    const last = current.log.lastOffset ?? 0;
    if (!this.isSeen(current)) return;
    if (current.unread > 0) {
      current.unread = 0;
      this.changed("list", "talk");
    }
    if (last <= current.read) return;
    current.read = last;
    this.#readTimer ||= window.setTimeout(() => this.#tellRead(), READ_EVERY_MS);
  }

  /** Takes the "new messages" line away. */
  clearNewLine() {
    this.current.newAfter = undefined;
    this.changed("talk");
  }

  /** People who can be written to: those here and those one has talked to, without oneself. @returns {Map<string, {user: string | undefined, here: boolean}>} */
  people() {
    /** @type {Map<string, {user: string | undefined, here: boolean}>} */
    const people = new Map();
    for (const { kind, name, user, members } of this.conversations.values()) {
      if (kind === "d" && !people.has(name)) people.set(name, { user, here: false });
      for (const [id, member] of members) people.set(member, { user: id, here: true });
    }
    if (this.parlor.name !== undefined) people.delete(this.parlor.name);
    return people;
  }

  /** Names that can be called, for marking them in texts. */
  names() {
    return [...this.people().keys(), ...(this.parlor.name === undefined ? [] : [this.parlor.name])];
  }

  /** Whether what was missed during a break is still arriving. */
  get isCatchingUp() {
    for (const { kind, name, catching } of this.conversations.values()) {
      if (catching || (kind === "r" && this.parlor.rooms.get(name)?.joined === false)) return true;
    }
    return false;
  }

  get unread() {
    let sum = 0;
    for (const { unread } of this.conversations.values()) sum += unread;
    return sum;
  }

  /** @param {Conversation} conversation */
  draft(conversation) {
    return this.own.get(`draft.${conversation.key}`, "");
  }

  /** @param {Conversation} conversation @param {string} text */
  keepDraft(conversation, text) {
    this.own.set(`draft.${conversation.key}`, text === "" ? undefined : text);
  }

  /** This person goes; the next visit asks for a name. */
  signOut() {
    this.parlor.close();
    this.parlor.forget();
    for (const name of ["rooms", "talks", ...[...this.conversations.keys()].map((key) => `draft.${key}`)]) this.own.set(name, undefined);
  }

  /** Draws these anew before the next frame, however often that is asked. @param {Topic[]} topics */
  changed(...topics) {
    if (this.#dirty.size === 0) {
      // A page in the background has no frames; its title still changes.
      if (document.visibilityState === "visible") requestAnimationFrame(() => this.#flush());
      else setTimeout(() => this.#flush(), 0);
    }
    for (const topic of topics) this.#dirty.add(topic);
  }

  #flush() {
    const topics = [...this.#dirty];
    this.#dirty.clear();
    for (const topic of topics) this.bus.emit(topic, undefined);
  }

  /** @param {import("./conversation.js").Kind} kind @param {string} name */
  #make(kind, name) {
    const made = new Conversation(kind, name);
    this.conversations.set(made.key, made);
    if (kind === "r") {
      made.phase = "loading";
      this.parlor.join(name, { last: PAGE }).catch((error) => this.bus.emit("refused", { conversation: made, error }));
    }
    return made;
  }

  #remember() {
    const of = (/** @type {string} */ kind) => [...this.conversations.values()].filter((other) => other.kind === kind).map(({ name }) => name);
    this.own.set("rooms", of("r"));
    this.own.set("talks", of("d").slice(-TALKS_KEPT));
  }

  /** @param {Conversation} conversation @param {Item} item */
  #deliver(conversation, item) {
    const { parlor } = this;
    const key = /** @type {string} */ (item.key);
    const keeps = conversation.kind === "d" || (parlor.rooms.get(conversation.name)?.keeps ?? true);
    // Where nothing is kept the echo could not be told from a second message, so there is none.
    const sent = conversation.kind === "d" ? parlor.direct(conversation.name, item.data, { key })
      : parlor.publish(conversation.name, item.data, keeps ? { key } : { echo: false });
    this.#await(conversation, key, sent);
  }

  /** @param {Conversation} conversation @param {string} key @param {Promise<import("../sdk/wire.js").Published>} sent */
  #await(conversation, key, sent) {
    const { parlor } = this;
    sent.then(
      (published) => conversation.log.confirm(key, published, { user: parlor.user, from: parlor.name }),
      (error) => conversation.log.fail(key, error),
    ).then(() => this.changed("talk", "notice"));
  }

  /** What was not sent when the page was left goes out with its old key, so it cannot be doubled. @param {import("../sdk/parlor.js").Unsent} unsent */
  #resend({ room, to, key, data, time, sent }) {
    const conversation = room === undefined ? this.conversation("d", to ?? "") : this.conversation("r", room);
    conversation.log.send({ key, data, time, user: this.parlor.user, from: this.parlor.name });
    this.#await(conversation, key, sent);
    this.changed("talk", "notice");
  }

  #tellRead() {
    this.#readTimer = 0;
    const { current, parlor } = this;
    if (parlor.state.phase === "open" && current.read > 0) parlor.read({ ...current.place, offset: current.read }).catch(() => {});
  }
}
