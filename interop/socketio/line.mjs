// A TCP line between client and server that tests can cut, mend, freeze and listen to.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { keep } from "./helper.mjs";

export class Line {
  #pairs = new Set();
  #up = true;
  #watch = null;

  /** A line to a port on this machine. */
  static async to(port) {
    const line = keep(new Line());
    line.server = createServer((near) => line.#join(near, port));
    line.server.listen(0, "127.0.0.1");
    await once(line.server, "listening");
    line.url = `http://127.0.0.1:${line.server.address().port}`;
    return line;
  }

  #join(near, port) {
    if (!this.#up) return near.destroy();
    const far = connect(port, "127.0.0.1");
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const end of [near, far]) {
      end.setNoDelay(true);
      end.on("error", () => {});
      end.on("close", () => {
        if (pair.frozen) return;
        this.#pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
    near.on("data", (bytes) => pair.frozen || far.write(bytes));
    far.on("data", (bytes) => pair.frozen || this.#deliver(near, bytes));
  }

  #deliver(near, bytes) {
    const passes = this.#watch ? this.#watch(bytes) : bytes.length;
    if (passes === bytes.length) return near.write(bytes);
    near.write(bytes.subarray(0, passes), () => this.#drop());
  }

  #drop() {
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  /** Looks at what the server sends; `watch` says how many of the bytes pass before the line is cut. */
  listen(watch) {
    this.#watch = watch;
  }

  /** Ends every connection and lets no new one through. */
  cut() {
    this.#up = false;
    this.#drop();
  }

  /** As `cut` for the client; the server's ends stay open in silence, as behind a router that died. */
  freeze() {
    this.#up = false;
    for (const pair of this.#pairs) {
      pair.frozen = true;
      pair.near.destroy();
    }
  }

  mend() {
    this.#up = true;
    this.#watch = null;
  }

  async close() {
    this.cut();
    this.server.close();
  }
}
