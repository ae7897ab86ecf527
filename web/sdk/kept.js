// Messages that wait for the server's answer, in the browser's database: a page that is loaded anew sends them with their keys.

/** @typedef {import("./outbox.js").Command} Command */
/**
 * @typedef {object} Waiting
 * @property {string} key
 * @property {string} server
 * @property {string} user  whose message it is, by account id
 * @property {number} time  when it was written
 * @property {number} turn  which of that time
 * @property {Command} command
 */
/**
 * Where they are kept. Everything it is asked it does in the order in which it is asked.
 * @typedef {object} Keeper
 * @property {() => Promise<Waiting[]>} all
 * @property {(waiting: Waiting) => Promise<unknown>} put
 * @property {(key: string) => Promise<unknown>} remove
 */

const STORE = "unsent";

/** @implements {Keeper} */
export class Database {
  /** @type {Promise<IDBDatabase> | undefined} */
  #opened;

  /** @param {IDBFactory} factory */
  constructor(factory) {
    this.factory = factory;
  }

  /** @returns {Promise<Waiting[]>} */
  all() {
    return this.#ask("readonly", (store) => store.getAll());
  }

  /** @param {Waiting} waiting */
  put(waiting) {
    return this.#ask("readwrite", (store) => store.put(waiting));
  }

  /** @param {string} key */
  remove(key) {
    return this.#ask("readwrite", (store) => store.delete(key));
  }

  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<any>} act */
  async #ask(mode, act) {
    this.#opened ??= result(this.factory.open("parlor", 1), (request) => request.result.createObjectStore(STORE, { keyPath: "key" }));
    const database = await this.#opened;
    return result(act(database.transaction(STORE, mode).objectStore(STORE)));
  }
}

/**
 * @template {IDBRequest} R
 * @param {R} request
 * @param {(request: R) => void} [upgrade]
 * @returns {Promise<R["result"]>}
 */
function result(request, upgrade) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    if (upgrade) /** @type {any} */ (request).onupgradeneeded = () => upgrade(request);
  });
}

/** What one client keeps. A browser that forbids it loses them with the page, and nothing else fails. */
export class Kept {
  #turn = 0;

  /**
   * @param {object} tools
   * @param {Keeper | null} tools.keeper
   * @param {() => string} tools.server
   * @param {() => number} tools.now
   */
  constructor(tools) {
    this.tools = tools;
  }

  /** What this account has not sent, in the order in which it was written. @param {string} user @returns {Promise<Waiting[]>} */
  async of(user) {
    const server = this.tools.server();
    const all = (await this.tools.keeper?.all().catch(() => [])) ?? [];
    const own = all.filter((waiting) => waiting.user === user && waiting.server === server);
    return own.sort((a, b) => a.time - b.time || a.turn - b.turn);
  }

  /** @param {string} user @param {Command} command  with a key */
  add(user, command) {
    const key = /** @type {string} */ (command.key);
    const waiting = { key, server: this.tools.server(), user, time: this.tools.now(), turn: this.#turn++, command };
    this.tools.keeper?.put(waiting).catch(() => {});
  }

  /** @param {string} key */
  remove(key) {
    this.tools.keeper?.remove(key).catch(() => {});
  }
}
