// The types of talks.js, made from its code.
export class Talks {
    /**
     * @param {object} tools
     * @param {(ask: {with: string, after: string | number | undefined, limit: number}) => Promise<import("./wire.js").History>} tools.history
     * @param {(direct: Direct) => void} tools.deliver
     * @param {(talk: Talk, count: number) => void} tools.caughtUp  what was missed during a break has arrived
     * @param {(talk: Talk, reason: string) => void} tools.lost  messages may be missing; the application should load history anew
     * @param {() => string | undefined} tools.me  this account's id
     */
    constructor(tools: {
        history: (ask: {
            with: string;
            after: string | number | undefined;
            limit: number;
        }) => Promise<import("./wire.js").History>;
        deliver: (direct: Direct) => void;
        caughtUp: (talk: Talk, count: number) => void;
        lost: (talk: Talk, reason: string) => void;
        me: () => string | undefined;
    });
    tools: {
        history: (ask: {
            with: string;
            after: string | number | undefined;
            limit: number;
        }) => Promise<import("./wire.js").History>;
        deliver: (direct: Direct) => void;
        caughtUp: (talk: Talk, count: number) => void;
        lost: (talk: Talk, reason: string) => void;
        me: () => string | undefined;
    };
    /** Another account, other conversations. */
    clear(): void;
    /** @param {Direct} direct */
    receive(direct: Direct): undefined;
    /** After a new connection: asks for what was said in every conversation meanwhile. */
    catchUp(): void;
    #private;
}
export type Direct = import("./wire.js").Direct;
/**
 * One conversation with one account.
 */
export type Talk = {
    /**
     * the other's account id
     */
    user: string;
    /**
     * the other's name when last seen
     */
    name: string;
    /**
     * of the last message received
     */
    offset?: number | undefined;
    pos?: string | undefined;
    /**
     * a gap is being filled; new messages wait in `held`
     */
    filling: Promise<boolean> | null;
    held: Direct[];
};
