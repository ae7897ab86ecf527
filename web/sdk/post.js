// What a client says whose connection only listens: commands in the bodies of requests, one after the other.

/** @typedef {import("./wire.js").Frame} Frame */

/** Commands in one body, and characters in it: far below what the server takes at once. */
const COMMANDS = 16;
const CHARACTERS = 200_000;

export class Post {
  /** @type {string[]} */
  #queue = [];
  #busy = false;

  /**
   * @param {object} tools
   * @param {(body: string) => Promise<Response>} tools.request
   * @param {(reply: Frame) => void} tools.reply
   * @param {(reason: string) => void} tools.failed  what was sent may have arrived, and the answers have not
   */
  constructor(tools) {
    this.tools = tools;
  }

  /** @param {string} text  one command */
  send(text) {
    this.#queue.push(text);
    if (this.#busy) return;
    this.#busy = true;
    // What is said in the same breath goes in the same body.
    Promise.resolve().then(() => this.#run());
  }

  /** One request at a time: two could overtake each other. */
  async #run() {
    try {
      while (this.#queue.length > 0) {
        const response = await this.tools.request(`[${this.#batch()}]`);
        const replies = await response.json();
        if (!Array.isArray(replies)) return this.tools.failed(replies?.code ?? `status ${response.status}`);
        for (const reply of replies) this.tools.reply(reply);
      }
      this.#busy = false;
    } catch (error) {
      this.tools.failed(String(error));
    }
  }

  #batch() {
    let characters = 0;
    let count = 0;
    for (const text of this.#queue.slice(0, COMMANDS)) {
      characters += text.length;
      if (count > 0 && characters > CHARACTERS) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }
}
