// The types of listener.js, made from its code.
/** Server-sent events. `EventSource` can show no token, so they are read here. */
export class Events extends Listener {
    #private;
}
/** Long polling. */
export class Poll extends Listener {
}
export type Frame = import("./wire.js").Frame;
export type Address = {
    url: URL;
    token: string | undefined;
};
declare class Listener {
    /**
     * @param {Address} address
     * @param {typeof fetch} fetch
     */
    constructor(address: Address, fetch: typeof globalThis.fetch);
    /** A ping is answered on another line, so that only what arrives by itself shows that this one lives. */
    oneWay: boolean;
    /** @type {(event: {data?: Frame}) => void} */
    onmessage: (event: {
        data?: Frame;
    }) => void;
    /** @type {(event: {code: number, reason: string}) => void} */
    onclose: (event: {
        code: number;
        reason: string;
    }) => void;
    /** @type {string | undefined} */
    session: string | undefined;
    address: Address;
    fetch: typeof fetch;
    /** @returns {Promise<void>} */
    listen(): Promise<void>;
    /** @param {string} text */
    send(text: string): void;
    close(): void;
    /** @param {number} code @param {string} reason */
    end(code: number, reason: string): void;
    /** @param {Frame} data */
    hear(data: Frame): void;
    /**
     * @param {string} path  beside `/ws`
     * @param {{method?: string, body?: string, headers?: {[name: string]: string}, first?: boolean, query?: {[name: string]: string}}} [options]
     *   `first`: say who this is
     */
    request(path: string, { method, body, headers, first, query }?: {
        method?: string;
        body?: string;
        headers?: {
            [name: string]: string;
        };
        first?: boolean;
        query?: {
            [name: string]: string;
        };
    }): Promise<Response>;
    /** The server's no, or that of something on the way. @param {Response} response */
    refused(response: Response): Promise<void>;
    #private;
}
export {};
