// The browser client of Parlor: stays connected, sends each message once, misses none. See README.md beside this file.
import { AccountStore, Memory } from "./account.js";
import { Emitter } from "./emitter.js";
import { ParlorError } from "./error.js";
import { Database, Kept } from "./kept.js";
import { newKey } from "./key.js";
import { Link } from "./link.js";
import { Events, Poll } from "./listener.js";
import { Outbox } from "./outbox.js";
import { Requests } from "./requests.js";
import { Room } from "./room.js";
import { Talks } from "./talks.js";
import { WAYS, Ways } from "./ways.js";

export { ParlorError };

/** @typedef {import("./wire.js").Json} Json */
/** @typedef {import("./wire.js").Message} Message */
/** @typedef {import("./wire.js").Direct} Direct */
/** @typedef {import("./wire.js").Joined} Joined */
/** @typedef {import("./wire.js").Published} Published */
/** @typedef {import("./link.js").State} State */

/**
 * @typedef {object} Options
 * @property {string} [url]  of `/ws`, as ws:, wss:, http: or https:; by default the page's own server. `sse`, `poll` and
 *   `send` are beside it
 * @property {string} [name]  what people should call this user; without one, a guest with a made-up name
 * @property {string} [token]  proves an account; by default the one in `store`
 * @property {import("./account.js").Store | null} [store]  where name and token are kept; localStorage by default
 * @property {import("./kept.js").Keeper | null} [unsent]  where unsent messages survive a reload; IndexedDB by default, and
 *   nowhere if `store` is null
 * @property {string[]} [rooms]  rooms to join at once
 * @property {number} [last]  how many older messages of those rooms to ask for (0)
 * @property {number} [timeout]  milliseconds to wait for a reply (10,000)
 * @property {import("./ways.js").Way[]} [ways]  how it may connect, the best first; all three by default
 * @property {typeof WebSocket} [WebSocket]  another implementation, for runtimes without one
 * @property {typeof fetch} [fetch]  another implementation, for tests
 * @property {import("./link.js").Clock} [clock]  another clock, for tests
 * @property {() => number} [random]  another source of jitter, for tests
 */

/**
 * @typedef {object} Happenings
 * @property {State} state  the connection's phase changed
 * @property {import("./wire.js").Welcome} welcome  connected, as this user
 * @property {Joined & {resumed: boolean}} joined  in a room; after a break `resumed` is true, and if then `recovered` is
 *   false something was missed for good (`reason` says why): load the room's history anew
 * @property {Message} message  a message of a joined room: every one once, in order, with those missed during a break
 * @property {Direct} direct  a direct message, sent or received by this user
 * @property {{room: string, missed: number, after?: string}} gap  so many messages were dropped because this client read too slowly;
 *   in a room with a log `history({room, after})` has them
 * @property {{room?: string, with?: string, count: number}} caughtup  what was missed during a break (`count` messages) has arrived
 * @property {{room: string, members: Map<string, string>, count: number}} presence  who is in a room now
 * @property {{room: string, user?: string, from?: string}} typing  somebody is writing; say so for five seconds
 * @property {import("./wire.js").Read} read  somebody read up to `offset`
 * @property {{with: string, with_user: string, reason: string}} lost  direct messages may be missing: load that history anew
 * @property {ParlorError & {room?: string}} error  a refusal that no promise carries
 */

/**
 * A message that a page before this one had no answer for. It is sent again with its key; `sent` is the server's answer.
 * @typedef {{key: string, time: number, room?: string, to?: string, data: Json, event?: string, sent: Promise<Published>}} Unsent
 */

/** A typing notice is shown for five seconds, so one in two seconds keeps it up. */
const TYPING_EVERY_MS = 2_000;

/** @type {import("./link.js").Clock} */
const SYSTEM_CLOCK = {
  now: () => Date.now(),
  setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

/** Browsers that are not sure say true. */
const isOnline = () => globalThis.navigator?.onLine !== false;

/** @extends {Emitter<Happenings>} */
export class Parlor extends Emitter {
  /** This account's id, once welcomed. @type {string | undefined} */
  user = undefined;
  /** This account's name, once welcomed. @type {string | undefined} */
  name = undefined;
  /** Rooms that are joined, or will be as soon as the connection allows. @type {Map<string, Room>} */
  rooms = new Map();
  /** Largest `data` in bytes of JSON text. */
  maxData = 65_536;

  #options;
  #clock;
  #ways;
  #accounts;
  /** @type {string | undefined} */
  #token;
  #link;
  #requests;
  #outbox;
  #talks;
  #kept;
  /** Whose messages are kept. @type {string | undefined} */
  #account = undefined;
  /** What was kept is known and stands in the queue. */
  #restored = false;
  /** @type {(unsent: Unsent[]) => void} */
  #tellUnsent = () => {};
  /** @type {Promise<Unsent[]>} */
  #unsent = new Promise((resolve) => (this.#tellUnsent = resolve));
  /** @type {Map<string, number>} when the last typing notice of a room was sent */
  #typed = new Map();

  /** Nothing is sent before `connect`. @param {Options} [options] */
  constructor(options = {}) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    const memory = new Memory(options.store === undefined ? (globalThis.localStorage ?? null) : options.store);
    this.#accounts = new AccountStore(memory);
    const known = this.#accounts.load();
    const sameName = options.name === undefined || options.name === known.name;
    this.#token = options.token ?? (sameName ? known.token : undefined);
    this.#ways = new Ways({
      list: (options.ways ?? WAYS).filter((way) => way !== "websocket" || this.#WebSocket !== undefined),
      memory,
      server: () => this.#url().origin,
      now: this.#clock.now,
    });
    this.#link = new Link(
      {
        dial: (way) => this.#dial(way),
        frame: (frame) => this.#receive(frame),
        down: () => this.#down(),
        state: (state) => this.emit("state", state),
        again: (end) => this.#forgetToken(end),
      },
      { clock: this.#clock, random: options.random ?? Math.random, ways: this.#ways, isOnline },
    );
    this.#requests = new Requests(this.#link, this.#clock, options.timeout ?? 10_000);
    this.#outbox = new Outbox({
      ask: (command, done) => this.#requests.post(command, false, done),
      isOpen: () => this.#link.isOpen && this.#restored,
      stuck: () => this.#link.fail("no reply"),
      renew: (command) => this.#renew(command),
      clock: this.#clock,
    });
    this.#talks = new Talks({
      history: (page) => this.history(page),
      deliver: (direct) => this.emit("direct", direct),
      caughtUp: (talk, count) => this.emit("caughtup", { with: talk.name, count }),
      lost: (talk, reason) => this.emit("lost", { with: talk.name, with_user: talk.user, reason }),
      me: () => this.user,
    });
    const keeper = memory.store === null || !globalThis.indexedDB ? null : new Database(globalThis.indexedDB);
    this.#kept = new Kept({
      keeper: options.unsent === undefined ? keeper : options.unsent,
      server: () => this.#url().href,
      now: this.#clock.now,
    });
    // Somebody else's token tells only at the welcome whose it is.
    if (sameName && options.token === undefined && known.user !== undefined) this.#restore(known.user);
    for (const room of options.rooms ?? []) this.rooms.set(room, new Room(room, { last: options.last ?? 0 }));
  }

  /** What the connection is doing. @returns {State} */
  get state() {
    return this.#link.state;
  }

  /** How many messages still wait for the server's answer. */
  get waiting() {
    return this.#outbox.size;
  }

  /**
   * What earlier pages of this account had not sent; known at once to whoever was here before, else at the welcome.
   * @returns {Promise<Unsent[]>}
   */
  unsent() {
    return this.#unsent;
  }

  /**
   * Connects, and stays connected until `close`. Resolves at the first welcome.
   * @returns {Promise<import("./wire.js").Welcome>}
   */
  connect() {
    const welcome = new Promise((resolve, reject) => {
      const off = [
        this.on("welcome", (welcome) => done(() => resolve(welcome))),
        this.on("state", (state) => this.#ifClosed(state, (error) => done(() => reject(error)))),
      ];
      /** @param {() => void} settle */
      const done = (settle) => (off.forEach((stop) => stop()), settle());
    });
    this.#link.open();
    globalThis.addEventListener?.("online", this.#online);
    globalThis.document?.addEventListener("visibilitychange", this.#looked);
    return welcome;
  }

  /** Tries again now instead of waiting for the next attempt. */
  reconnect() {
    if (this.state.phase === "closed") this.#link.open();
    else this.#link.nudge();
  }

  /** Disconnects for good. Messages that wait are rejected with `closed`. */
  close() {
    globalThis.removeEventListener?.("online", this.#online);
    globalThis.document?.removeEventListener("visibilitychange", this.#looked);
    this.#link.close();
    const error = new ParlorError("closed", "the client was closed");
    this.#outbox.close(error);
    this.#requests.close(error);
  }

  /**
   * Joins a room, and joins it again after every break. `last` older messages, or all `since` a position, arrive as
   * ordinary `message` events.
   * @param {string} room
   * @param {{last?: number, since?: string | number}} [from]
   * @returns {Promise<Joined>} rejected if the server refuses
   */
  async join(room, from = {}) {
    const known = this.rooms.get(room) ?? new Room(room, from);
    this.rooms.set(room, known);
    return new Promise((resolve, reject) => {
      const off = [
        this.on("joined", (joined) => joined.room === room && done(() => resolve(joined))),
        this.on("error", (error) => error.room === room && done(() => reject(error))),
        this.on("state", (state) => this.#ifClosed(state, (error) => done(() => reject(error)))),
      ];
      /** @param {() => void} settle */
      const done = (settle) => (off.forEach((stop) => stop()), settle());
      if (this.#link.isOpen && !known.asked) this.#join(known);
    });
  }

  /**
   * Leaves a room; what it says no longer arrives.
   * @param {string} room
   */
  async leave(room) {
    if (!this.rooms.delete(room) || !this.#link.isOpen) return;
    await this.#requests.ask({ type: "leave", room }, { repeat: false });
  }

  /**
   * Sends a message to a room. It waits for a connection, and a retry is never stored twice. The promise gives the
   * message's place and how safe it is (`ack`), or is rejected if the server says no.
   * @param {string} room
   * @param {Json} data
   * @param {{event?: string, key?: string, echo?: boolean, store?: boolean}} [options]  `store: false` is for notices such
   *   as typing: sent now or not at all
   * @returns {Promise<Published>}
   */
  async publish(room, data, { event, key, echo, store } = {}) {
    this.#checkSize(data);
    const command = { type: /** @type {const} */ ("publish"), room, data, event, echo, store };
    if (store === false) return this.#requests.ask(command, { repeat: false });
    const keeps = this.rooms.get(room)?.keeps ?? true;
    // A message ends what was being written; the next key press begins something new.
    this.#typed.delete(room);
    return this.#put({ ...command, key: key ?? (keeps ? this.newKey() : undefined) });
  }

  /**
   * Sends a direct message to somebody by name; like `publish` it waits and is stored once.
   * @param {string} to
   * @param {Json} data
   * @param {{event?: string, key?: string}} [options]
   * @returns {Promise<Published>}
   */
  async direct(to, data, { event, key } = {}) {
    this.#checkSize(data);
    return this.#put({ type: "direct", to, data, event, key: key ?? this.newKey() });
  }

  /** A key for one message, for applications that keep unsent messages themselves. */
  newKey() {
    return newKey(this.#clock.now());
  }

  /**
   * Tells a room that this user is writing; call it at every key press.
   * @param {string} room
   */
  typing(room) {
    const now = this.#clock.now();
    if (!this.#link.isOpen || now - (this.#typed.get(room) ?? 0) < TYPING_EVERY_MS) return;
    this.#typed.set(room, now);
    this.publish(room, true, { event: "typing", store: false, echo: false }).catch(() => {});
  }

  /**
   * Older messages, oldest first: of a room, or of the conversation `with` somebody.
   * @param {{room?: string, with?: string, before?: string | number, after?: string | number, limit?: number}} page
   * @returns {Promise<import("./wire.js").History>}
   */
  history(page) {
    return this.#requests.ask({ type: "history", ...page });
  }

  /** Who is in a room. @param {string} room @returns {Promise<import("./wire.js").Members>} */
  members(room) {
    return this.#requests.ask({ type: "members", room });
  }

  /**
   * The server's rooms, by name.
   * @param {{prefix?: string, after?: string, limit?: number}} [page]
   * @returns {Promise<import("./wire.js").Rooms>}
   */
  listRooms(page = {}) {
    return this.#requests.ask({ type: "rooms", ...page });
  }

  /**
   * Marks a room, or the conversation `with` somebody, as read up to `offset`, on all of this user's devices.
   * @param {{room?: string, with?: string, offset: number}} mark
   * @returns {Promise<unknown>}
   */
  read(mark) {
    return this.#requests.ask({ type: "read", ...mark });
  }

  /** Calls the application behind the server. It is sent at most once. @param {string} method @param {Json} data @returns {Promise<Json>} */
  async call(method, data) {
    return (await this.#requests.ask({ type: "call", method, data }, { repeat: false })).data;
  }

  /** Forgets who this was, and what they had not sent: the next connection is somebody else. */
  forget() {
    this.#accounts.save(null);
    this.#token = undefined;
    if (this.#account === undefined) return;
    this.#kept.of(this.#account).then((all) => all.forEach(({ key }) => this.#kept.remove(key)));
    this.#account = undefined;
  }

  /** Queues a message, and keeps it until the server has answered or the application has closed the client. @param {import("./outbox.js").Command} command */
  #put(command) {
    const answer = this.#outbox.put(command);
    if (command.key === undefined || this.#account === undefined) return answer;
    this.#kept.add(this.#account, command);
    return this.#answered(command, answer);
  }

  /** @param {import("./outbox.js").Command} command @param {Promise<Published>} answer */
  #answered(command, answer) {
    const forget = () => command.key !== undefined && this.#kept.remove(command.key);
    answer.then(forget, (error) => error.code !== "closed" && forget());
    return answer;
  }

  /** @param {import("./outbox.js").Command} command */
  #renew(command) {
    if (command.key !== undefined) this.#kept.remove(command.key);
    command.key = this.newKey();
    if (this.#account !== undefined) this.#kept.add(this.#account, command);
  }

  /** @param {string} user */
  #restore(user) {
    this.#account = user;
    // Without a database nothing waits, not even for the next turn.
    if (this.#kept.tools.keeper === null) return this.#restoredAll([]);
    this.#kept.of(user).then((all) => this.#restoredAll(all));
  }

  /** @param {import("./kept.js").Waiting[]} all */
  #restoredAll(all) {
    const answers = this.#outbox.restore(all.map(({ command }) => command));
    const unsent = all.map(({ key, time, command }, at) => {
      const { room, to, data, event } = command;
      const sent = this.#answered(command, answers[at]);
      return { key, time, room, to, data, event, sent };
    });
    this.#restored = true;
    this.#tellUnsent(unsent);
    this.#outbox.pump();
  }

  /** A network is there, and perhaps another one. */
  #online = () => (this.#ways.forget(), this.#link.nudge());

  #looked = () => {
    if (globalThis.document.visibilityState !== "hidden") this.#link.nudge();
    else if (this.#requests.size === 0) this.#link.improve();
  };

  get #WebSocket() {
    return this.#options.WebSocket ?? globalThis.WebSocket;
  }

  /** Of `/ws`, over HTTP. */
  #url() {
    return new URL((this.#options.url ?? new URL("/ws", globalThis.location.href).href).replace(/^ws/, "http"));
  }

  /** @param {import("./ways.js").Way} way @returns {import("./link.js").Socket} */
  #dial(way) {
    const url = this.#url();
    const name = this.#options.name ?? this.#accounts.load().name;
    // The name counts when the token's account is no longer there. A token never stands in an address, which logs keep.
    if (name !== undefined) url.searchParams.set("name", name);
    const token = this.#token;
    if (way !== "websocket") {
      return new (way === "sse" ? Events : Poll)({ url, token }, this.#options.fetch ?? globalThis.fetch);
    }
    const protocols = ["parlor.v1", ...(token ? [`parlor.token.${token}`] : [])];
    return new this.#WebSocket(url.href.replace(/^http/, "ws"), protocols);
  }

  /** @param {import("./wire.js").Frame} frame */
  #receive(frame) {
    if (this.#requests.answer(frame) && frame.type !== "welcome") return;
    const handle = this.#handlers[frame.type];
    if (handle) handle(frame);
  }

  /** @type {{[type: string]: (frame: any) => void}} What the server says unasked; unknown types are newer than this client. */
  #handlers = {
    welcome: (welcome) => this.#welcomed(welcome),
    joined: (joined) => this.#joinedTalk(joined),
    message: (message) => this.#message(message),
    direct: (direct) => this.#talks.receive(direct),
    gap: (gap) => this.#gap(gap),
    presence: (change) => this.#presence(change),
    read: (read) => this.emit("read", read),
    bye: (bye) => this.#link.bye(bye),
    error: (refusal) => {
      this.#link.refused(refusal);
      this.emit("error", ParlorError.of(refusal));
    },
  };

  /** @param {import("./wire.js").Welcome} welcome */
  #welcomed(welcome) {
    if (this.user !== undefined && this.user !== welcome.user) this.#talks.clear();
    this.user = welcome.user;
    this.name = welcome.name;
    this.maxData = welcome.limits?.data ?? this.maxData;
    const shown = this.#token;
    this.#token = welcome.token ?? this.#token;
    if (this.#token) this.#accounts.save({ name: welcome.name, token: this.#token, user: welcome.user });
    this.#own(welcome.user);
    if (this.#link.isOpen) return void this.emit("welcome", welcome);
    this.#link.welcomed();
    // Showing the token is what keeps a new name for its guest after the connection ends.
    if (this.#token !== undefined && this.#token !== shown && this.#isNamed()) {
      this.#requests.ask({ type: "auth", token: this.#token }, { repeat: false }).catch(() => {});
    }
    this.emit("welcome", welcome);
    for (const room of this.rooms.values()) if (!room.asked) this.#join(room);
    this.#talks.catchUp();
    this.#requests.opened();
    this.#outbox.pump();
  }

  /** What is kept belongs to an account, not to whoever sits here next. @param {string} user */
  #own(user) {
    if (this.#account === undefined && !this.#restored) return this.#restore(user);
    if (this.#account !== user) this.#outbox.disown(new ParlorError("unauthenticated", "it was written by another account"));
    this.#account = user;
  }

  #isNamed() {
    return (this.#options.name ?? this.#accounts.load().name) !== undefined;
  }

  #down() {
    for (const room of this.rooms.values()) room.joined = false;
    this.#requests.down();
    this.#outbox.down();
  }

  /** A token that the server no longer knows must not lock its owner out: once, try as the same name without it.
   * @param {{code: number}} end */
  #forgetToken({ code }) {
    if (code !== 4500 || this.#token === undefined || this.#options.token !== undefined) return false;
    this.#token = undefined;
    this.#accounts.save({ name: this.#options.name ?? this.#accounts.load().name });
    return true;
  }

  /** @param {Room} room */
  #join(room) {
    const resumed = room.pos !== undefined;
    room.asked = true;
    this.#requests.post(room.joinCommand(), false, {
      resolve: (joined) => this.rooms.get(room.name) === room && this.#entered(room, joined, resumed),
      reject: (error) => this.#joinRefused(room, error),
    });
  }

  /** @param {Room} room @param {Joined} joined @param {boolean} resumed */
  #entered(room, joined, resumed) {
    room.asked = false;
    room.enter(joined, resumed);
    this.emit("joined", { ...joined, resumed });
    this.#tellPresence(room);
    if (room.reachedHead()) this.emit("caughtup", { room: room.name, count: 0 });
    for (const message of joined.messages ?? []) this.#message(/** @type {Message} */ (message));
    for (const frame of room.held.splice(0)) this.#receive(frame);
  }

  /** @param {Room} room @param {ParlorError} error */
  #joinRefused(room, error) {
    room.asked = false;
    room.held = [];
    if (error.code === "disconnected" || error.code === "closed") return;
    if (error.code === "timeout") return this.#link.fail("no reply");
    if (error.retryAfter !== undefined || error.code === "busy" || error.code === "unavailable") {
      const again = () => this.#link.isOpen && this.rooms.get(room.name) === room && !room.joined && this.#join(room);
      return void this.#clock.setTimeout(again, (error.retryAfter ?? 1) * 1000);
    }
    this.rooms.delete(room.name);
    this.emit("error", Object.assign(error, { room: room.name }));
  }

  /** Unasked, `joined` is a direct conversation with something unread. @param {Joined} joined */
  #joinedTalk(joined) {
    if (joined.room !== undefined) return;
    this.emit("joined", { ...joined, resumed: false });
    for (const message of joined.messages ?? []) this.#talks.receive(/** @type {Direct} */ (message));
  }

  /** @param {Message} message */
  #message(message) {
    if (message.event === "typing" && message.offset === undefined) return this.emit("typing", message);
    const room = this.rooms.get(message.room);
    if (room?.asked) return void room.held.push(message);
    if (!room?.accept(message)) return;
    this.emit("message", message);
    if (room.reachedHead()) this.emit("caughtup", { room: room.name, count: room.caughtUp });
  }

  /** @param {import("./wire.js").Gap} gap */
  #gap(gap) {
    const room = this.rooms.get(gap.room);
    if (room?.asked) return void room.held.push(gap);
    if (room?.joined) this.emit("gap", { room: room.name, missed: gap.missed, after: room.pos });
  }

  /** @param {import("./wire.js").Presence} change */
  #presence(change) {
    const room = this.rooms.get(change.room);
    if (room?.asked) return void room.held.push(change);
    if (!room?.joined) return;
    const result = room.change(change);
    if (result === "gap") this.members(room.name).then((list) => (room.replace(list), this.#tellPresence(room)), () => {});
    if (result !== "old") this.#tellPresence(room);
  }

  /** @param {Room} room */
  #tellPresence(room) {
    this.emit("presence", { room: room.name, members: room.members, count: room.count });
  }

  /** @param {State} state @param {(error: ParlorError) => void} then */
  #ifClosed(state, then) {
    if (state.phase !== "closed") return;
    const { error, code, reason } = state;
    then(error ? ParlorError.of(error) : new ParlorError("closed", `the connection ended for good (${code} ${reason})`));
  }

  /** @param {Json} data */
  #checkSize(data) {
    const size = new TextEncoder().encode(JSON.stringify(data)).length;
    if (size > this.maxData) {
      throw new ParlorError("too_large", `a message may hold ${this.maxData} bytes; this one has ${size}`);
    }
  }
}
