// Who this client is, remembered between visits: the name and the token that proves it.

/** @typedef {{name?: string, token?: string}} Account */
/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store */

/** One account per origin and store; two tabs of one browser share it and are one user. */
const KEY = "parlor.account";

export class AccountStore {
  /** @param {Store | null} store  null remembers nothing */
  constructor(store) {
    this.store = store;
  }

  /** @returns {Account} */
  load() {
    try {
      return JSON.parse(this.store?.getItem(KEY) ?? "{}") ?? {};
    } catch {
      return {}; // A browser that forbids storage, or a value that somebody else wrote.
    }
  }

  /** @param {Account} account */
  save(account) {
    try {
      this.store?.setItem(KEY, JSON.stringify(account));
    } catch {
      // A full or forbidden store: the account lives as long as the page.
    }
  }

  forget() {
    try {
      this.store?.removeItem(KEY);
    } catch {
      // As above.
    }
  }
}
