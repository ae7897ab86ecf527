// The types of account.js, made from its code.
/** @typedef {{name?: string, token?: string, user?: string}} Account */
/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store */
/** A store that never fails: where the browser forbids it, or it is full, things are remembered as long as the page lives. */
export class Memory {
    /** @param {Store | null} store */
    constructor(store: Store | null);
    store: Store | null;
    /** @param {string} key */
    get(key: string): string | null;
    /** @param {string} key @param {string | null} text  null forgets it */
    set(key: string, text: string | null): void;
    #private;
}
export class AccountStore {
    /** @param {Memory} memory */
    constructor(memory: Memory);
    memory: Memory;
    /** @returns {Account} */
    load(): Account;
    /** @param {Account | null} account */
    save(account: Account | null): void;
    #private;
}
export type Account = {
    name?: string;
    token?: string;
    user?: string;
};
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;
