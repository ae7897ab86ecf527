// Direct conversations: every message once and in order, with gaps filled from history.

/** @typedef {import("./wire.js").Direct} Direct */
/**
 * One conversation with one account.
 * @typedef {object} Talk
 * @property {string} user  the other's account id
 * @property {string} name  the other's name when last seen
 * @property {number} [offset]  of the last message received
 * @property {string} [pos]
 * @property {Promise<boolean> | null} filling  a gap is being filled; new messages wait in `held`
 * @property {Direct[]} held
 */

/** As much as one page of history brings. */
const PAGE = 100;

export class Talks {
  /** @type {Map<string, Talk>} by the other's account id */
  #talks = new Map();

  /**
   * @param {object} tools
   * @param {(ask: {with: string, after: string | number | undefined, limit: number}) => Promise<import("./wire.js").History>} tools.history
   * @param {(direct: Direct) => void} tools.deliver
   * @param {(talk: Talk, count: number) => void} tools.caughtUp  what was missed during a break has arrived
   * @param {(talk: Talk, reason: string) => void} tools.lost  messages may be missing; the application should load history anew
   * @param {() => string | undefined} tools.me  this account's id
   */
  constructor(tools) {
    this.tools = tools;
  }

  /** Another account, other conversations. */
  clear() {
    this.#talks.clear();
  }

  /** @param {Direct} direct */
  receive(direct) {
    const talk = this.#talkOf(direct);
    if (talk.filling) return void talk.held.push(direct);
    if (talk.offset !== undefined && direct.offset > talk.offset + 1) {
      talk.held.push(direct);
      this.#fill(talk);
    } else {
      this.#accept(talk, direct);
    }
  }

  /** After a new connection: asks for what was said in every conversation meanwhile. */
  catchUp() {
    for (const talk of this.#talks.values()) {
      const before = talk.offset ?? 0;
      this.#fill(talk).then((whole) => whole && this.tools.caughtUp(talk, (talk.offset ?? 0) - before));
    }
  }

  /** @param {Direct} direct @returns {Talk} */
  #talkOf(direct) {
    const mine = direct.user === this.tools.me();
    const user = mine ? direct.to_user : direct.user;
    const name = mine ? direct.to : direct.from;
    const talk = this.#talks.get(user) ?? { user, name, filling: null, held: [] };
    talk.name = name;
    this.#talks.set(user, talk);
    return talk;
  }

  /** @param {Talk} talk @param {Direct} direct */
  #accept(talk, direct) {
    if (talk.offset !== undefined && direct.offset <= talk.offset) return;
    talk.offset = direct.offset;
    talk.pos = direct.pos;
    this.tools.deliver(direct);
  }

  /** @param {Talk} talk @returns {Promise<boolean>} whether the gap is closed */
  #fill(talk) {
    talk.filling ??= this.#readOn(talk)
      .then(
        () => true,
        (error) => this.#gaveUp(talk, error),
      )
      .then((whole) => {
        talk.filling = null;
        const held = whole ? talk.held.splice(0).sort((a, b) => a.offset - b.offset) : [];
        for (const direct of held) this.#accept(talk, direct);
        return whole;
      });
    return talk.filling;
  }

  /**
   * Without a reply the gap stays open, and what came after it stays held, until the next connection or message asks
   * again. After a refusal asking again is useless: say so and go on.
   * @param {Talk} talk @param {import("./error.js").ParlorError} error
   */
  #gaveUp(talk, error) {
    if (error.code === "timeout" || error.code === "closed") return false;
    this.tools.lost(talk, error.code);
    return true;
  }

  /** @param {Talk} talk */
  async #readOn(talk) {
    for (let more = talk.offset !== undefined; more; ) {
      const page = await this.tools.history({ with: talk.name, after: talk.pos ?? talk.offset, limit: PAGE });
      const messages = /** @type {Direct[]} */ (page.messages).filter((direct) => this.#talkOf(direct) === talk);
      for (const direct of messages.sort((a, b) => a.offset - b.offset)) this.#accept(talk, direct);
      more = page.more && messages.length > 0;
    }
  }
}
