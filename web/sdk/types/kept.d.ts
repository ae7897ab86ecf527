// The types of kept.js, made from its code.
/** @implements {Keeper} */
export class Database implements Keeper {
    /** @param {IDBFactory} factory */
    constructor(factory: IDBFactory);
    factory: IDBFactory;
    /** @returns {Promise<Waiting[]>} */
    all(): Promise<Waiting[]>;
    /** @param {Waiting} waiting */
    put(waiting: Waiting): Promise<any>;
    /** @param {string} key */
    remove(key: string): Promise<any>;
    #private;
}
/** What one client keeps. A browser that forbids it loses them with the page, and nothing else fails. */
export class Kept {
    /**
     * @param {object} tools
     * @param {Keeper | null} tools.keeper
     * @param {() => string} tools.server
     * @param {() => number} tools.now
     */
    constructor(tools: {
        keeper: Keeper | null;
        server: () => string;
        now: () => number;
    });
    tools: {
        keeper: Keeper | null;
        server: () => string;
        now: () => number;
    };
    /** What this account has not sent, in the order in which it was written. @param {string} user @returns {Promise<Waiting[]>} */
    of(user: string): Promise<Waiting[]>;
    /** @param {string} user @param {Command} command  with a key */
    add(user: string, command: Command): void;
    /** @param {string} key */
    remove(key: string): void;
    #private;
}
export type Command = import("./outbox.js").Command;
export type Waiting = {
    key: string;
    server: string;
    /**
     * whose message it is, by account id
     */
    user: string;
    /**
     * when it was written
     */
    time: number;
    /**
     * which of that time
     */
    turn: number;
    command: Command;
};
/**
 * Where they are kept. Everything it is asked it does in the order in which it is asked.
 */
export type Keeper = {
    all: () => Promise<Waiting[]>;
    put: (waiting: Waiting) => Promise<unknown>;
    remove: (key: string) => Promise<unknown>;
};
