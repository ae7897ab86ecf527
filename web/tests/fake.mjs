// A clock that the test owns and a scripted WebSocket, so that the client's rules are tested without network or waiting.

/** Time stands still until `advance`; due timers then run in order. */
export class FakeClock {
  time = 1_790_000_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.time;

  setTimeout = (run, ms) => {
    this.#timers.set(this.#next, { at: this.time + ms, run });
    return this.#next++;
  };

  clearTimeout = (timer) => void this.#timers.delete(timer);

  /** Runs every timer that is due within `ms`, and lets promises settle after each. */
  async advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].run();
      await settle();
    }
    this.time = end;
  }
}

/** Lets every promise that can settle now do so. */
export async function settle() {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** A WebSocket class whose sockets are kept in `sockets`, the latest last; the test plays the server. */
export function fakeWebSocket() {
  return class FakeWebSocket {
    static sockets = [];
    sent = [];
    closedWith = undefined;

    constructor(url, protocols) {
      this.url = url;
      this.protocols = protocols;
      FakeWebSocket.sockets.push(this);
    }

    static get last() {
      return FakeWebSocket.sockets.at(-1);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code, reason) {
      this.closedWith = { code, reason };
    }

    /** The server says something. */
    async say(...frames) {
      for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
      await settle();
    }

    /** The server, or the network, ends the connection. */
    async end(code = 1006, reason = "") {
      this.onclose({ code, reason });
      await settle();
    }

    /** The commands of one type that arrived. */
    of(type) {
      return this.sent.filter((frame) => frame.type === type);
    }
  };
}

/** A store like localStorage, in memory. */
export function fakeStore(initial = {}) {
  const values = new Map(Object.entries(initial));
  return {
    values,
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

/** The same for bodies and streams, which wait for more than promises. */
async function read() {
  await new Promise((resolve) => setImmediate(resolve));
  await settle();
}

/** A `fetch` whose requests are kept in `asked`, the latest last; the test plays the server. */
export function fakeFetch() {
  const asked = [];
  const fetch = (url, { method = "GET", headers = {}, body, signal }) =>
    new Promise((resolve, reject) => {
      const { pathname, searchParams } = new URL(url);
      let stream;
      signal.addEventListener("abort", () => (reject(new Error("aborted")), stream?.error(new Error("aborted"))));
      asked.push({
        path: pathname, query: Object.fromEntries(searchParams), method, headers, body: body && JSON.parse(body), signal,
        async answer(json, status = 200) {
          resolve(new Response(typeof json === "string" ? json : JSON.stringify(json), { status }));
          await read();
        },
        /** Answers with an event stream that goes on. */
        async stream() {
          const body = new ReadableStream({ start: (controller) => (stream = controller) });
          resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
          await read();
        },
        /** Bytes of the stream, in pieces as the network gives them. */
        async bytes(...pieces) {
          for (const piece of pieces) stream.enqueue(new TextEncoder().encode(piece));
          await read();
        },
        async say(...frames) {
          await this.bytes(...frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`));
        },
        async end() {
          stream.close();
          await read();
        },
        async fail() {
          reject(new TypeError("Failed to fetch"));
          await read();
        },
      });
    });
  return { fetch, asked, last: (path) => asked.findLast((request) => request.path === path) };
}
