// The types of post.js, made from its code.
export class Post {
    /**
     * @param {object} tools
     * @param {(body: string) => Promise<Response>} tools.request
     * @param {(reply: Frame) => void} tools.reply
     * @param {(reason: string) => void} tools.failed  what was sent may have arrived, and the answers have not
     */
    constructor(tools: {
        request: (body: string) => Promise<Response>;
        reply: (reply: Frame) => void;
        failed: (reason: string) => void;
    });
    tools: {
        request: (body: string) => Promise<Response>;
        reply: (reply: Frame) => void;
        failed: (reason: string) => void;
    };
    /** @param {string} text  one command */
    send(text: string): void;
    #private;
}
export type Frame = import("./wire.js").Frame;
