// What this client remembers between visits, above all who it is: the name, the token that proves it and the account's id.

/** @typedef {{name?: string, token?: string, user?: string}} Account */
/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store */

/** A store that never fails: where the browser forbids it, or it is full, things are remembered as long as the page lives. */
export class Memory {
  /** @type {{[key: string]: string | null}} */
  #page = {};

  /** @param {Store | null} store */
  constructor(store) {
    this.store = store;
  }

  /** @param {string} key */
  get(key) {
    try {
      return this.store?.getItem(key) ?? this.#page[key];
    } catch {
      return this.#page[key];
    }
  }

  /** @param {string} key @param {string | null} text  null forgets it */
  set(key, text) {
    this.#page[key] = text;
    try {
      if (text === null) this.store?.removeItem(key);
      else this.store?.setItem(key, text);
    } catch {
      // The page remembers.
    }
  }
}

/** One account per origin and store; two tabs of one browser share it and are one user. */
const KEY = "parlor.account";

export class AccountStore {
  /** @param {Memory} memory */
  constructor(memory) {
    this.memory = memory;
  }

  /** @returns {Account} */
  load() {
    try {
      return JSON.parse(this.#text ?? "{}") ?? {};
    } catch {
      return {}; // A value that somebody else wrote.
    }
  }

  /** Without a store nobody is remembered, not even while the page lives. */
  get #text() {
    return this.memory.store && this.memory.get(KEY);
  }

  /** @param {Account | null} account */
  save(account) {
    this.memory.set(KEY, account && JSON.stringify(account));
  }
}
