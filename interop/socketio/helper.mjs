// The programs under test, stock clients that write down what they hear, and the one patience of all tests.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";

/** How long a fact may take to become true before a test fails. */
export const PATIENCE = 20_000;

/** True while the tests run against Node's own implementation. */
const REFERENCE = process.env.REFERENCE === "1";

/** The transports a stock client may be given; `undefined` is its default, polling first and then an upgrade. */
export const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: undefined };

/** What a test may expect of Node alone, where it is less exact than we are. */
export const orInNode = (...more) => (REFERENCE ? more : []);

/** Why the tests of a program cannot run, or false: `{ skip: needs("DEMO_BIN") }`. */
export function needs(variable) {
  return process.env[variable] ? false : `${variable} is not set`;
}

/** As `needs`, for a fact in which Node's implementation fails: `why` says how. */
export function beyondNode(variable, why) {
  return needs(variable) || (REFERENCE && `Node's implementation fails here: ${why}`);
}

/** The outcome of `promise`, or a failure that names what did not happen. */
export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${PATIENCE} ms passed without ${what()}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks again and again, not faster than the machine can bear, until the answer is neither false nor null. */
export async function until(ask, what) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const answer = await ask();
    if (answer !== false && answer !== null) return answer;
    await pause(20);
  }
  throw new Error(`${PATIENCE} ms passed without ${what}`);
}

const open = new Set();

/** Remembers something to be closed by `release`. */
export function keep(thing) {
  open.add(thing);
  return thing;
}

/** Closes what a test opened; an `afterEach` of every file. */
export async function release() {
  const things = [...open].reverse();
  open.clear();
  for (const thing of things) await (thing.terminate ?? thing.close).call(thing);
}

/** One of the three programs in a process of its own. */
export class Program {
  /** Starts the program that `${name}_BIN` and `${name}_ARGS` say, on `port` or a free one. */
  static async start(name, args = [], port = 0) {
    const program = new Program();
    const given = (process.env[`${name}_ARGS`] ?? "").split(" ").filter(Boolean);
    program.process = spawn(process.env[`${name}_BIN`], [...given, "--listen", `127.0.0.1:${port}`, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    program.said = "";
    program.process.stderr.on("data", (text) => (program.said = (program.said + text).slice(-4000)));
    const lines = createInterface({ input: program.process.stdout });
    const first = await within(Promise.race([once(lines, "line").then(([line]) => line), once(program.process, "exit").then(() => null)]), () => "an address");
    const address = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(first ?? "");
    assert.ok(address, `the program did not start: ${first} ${program.said}`);
    program.port = Number(address[1]);
    program.url = `http://127.0.0.1:${program.port}`;
    program.process.stdout.resume();
    return program;
  }

  get alive() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Ends it without a word, as a power cut would. */
  async close() {
    if (!this.alive) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }
}

/** What came in, in order, and who waits for it. */
export class Journal {
  #facts = [];
  #readers = [];

  write(name, ...args) {
    const at = this.#readers.findIndex((reader) => reader.name === name);
    if (at < 0) this.#facts.push({ name, args });
    else this.#readers.splice(at, 1)[0].resolve(args);
  }

  /** The arguments of the first fact of this name that nobody has read, waiting for it. */
  async read(name) {
    const at = this.#facts.findIndex((fact) => fact.name === name);
    if (at >= 0) return this.#facts.splice(at, 1)[0].args;
    const { promise, resolve } = deferred();
    this.#readers.push({ name, resolve });
    return within(promise, () => `${name}; unread: ${JSON.stringify(this.#facts).slice(0, 2000)}`);
  }

  /** How many facts of this name nobody has read. */
  unread(name) {
    return this.#facts.filter((fact) => fact.name === name).length;
  }
}

export function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}

/** Events that are never stored for recovery and so carry no offset. */
const WITHOUT_OFFSET = new Set(["volatile", "question", "poll"]);

/** A stock client that writes down everything it hears. */
export class Peer {
  #journal = new Journal();

  /**
   * @param url where, with the namespace as its path
   * @param options those of `socket.io-client`, and `offsets`: whether the server runs with recovery
   */
  constructor(url, { offsets = true, connect = io, ...options } = {}) {
    this.offsets = offsets;
    this.socket = connect(url, { forceNew: true, reconnection: false, ...options });
    this.socket.onAny?.((name, ...args) => this.#journal.write(name, ...args));
    this.socket.on("connect", () => this.#journal.write("connect", { sid: this.sid, recovered: this.socket.recovered === true }));
    for (const name of ["disconnect", "connect_error"]) this.socket.on(name, (...args) => this.#journal.write(name, ...args));
    keep(this);
  }

  /** A client that has been welcomed; `welcome` keeps what the server said. */
  static async join(url, options) {
    const peer = new Peer(url, options);
    await peer.joined();
    return peer;
  }

  /** Waits for a connection and its welcome, which must agree. */
  async joined() {
    const [{ sid, recovered }] = await this.hears("connect");
    [this.welcome] = await this.hears("welcome");
    assert.equal(this.welcome.sid, sid);
    assert.equal(this.welcome.recovered, recovered, "client and server agree whether it was recovered");
    return this.welcome;
  }

  get sid() {
    return this.socket.id;
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
  }

  /** Emits and waits for the acknowledgement: the list of its arguments. */
  asks(name, ...args) {
    const { promise, resolve } = deferred();
    this.socket.emit(name, ...args, (...reply) => resolve(reply));
    return within(promise, () => `an acknowledgement of ${name}`);
  }

  /** As `asks`, for the many acknowledgements of one argument. */
  async ask(name, ...args) {
    const reply = await this.asks(name, ...args);
    assert.equal(reply.length, 1, `one argument acknowledges ${name}`);
    return reply[0];
  }

  /** The arguments of the next event of this name, without the offset that recovery appends. */
  async hears(name) {
    const args = await this.#journal.read(name);
    if (["connect", "disconnect", "connect_error"].includes(name) || !this.offsets || WITHOUT_OFFSET.has(name)) return args;
    const offset = args.pop();
    assert.equal(typeof offset, "string", `${name} ends with an offset`);
    return args;
  }

  /** How many events of this name have come that no `hears` has taken. */
  unread(name) {
    return this.#journal.unread(name);
  }

  /** The reason with which the client says that it was disconnected. */
  async ends() {
    return (await this.hears("disconnect"))[0];
  }

  close() {
    this.socket.disconnect();
  }
}

/** Both lists of values are the same, keys in the same order; says where they differ in a few words. */
export function same(found, wanted) {
  const brief = (value) => `${JSON.stringify(value)}`.slice(0, 100);
  for (let i = 0; i < Math.max(found.length, wanted.length); i++) {
    assert.ok(JSON.stringify(found[i]) === JSON.stringify(wanted[i]), `value ${i}: ${brief(found[i])} instead of ${brief(wanted[i])}`);
  }
}

/** A marker from `sender` to `receiver`: when it has come, everything that was sent before it has. */
export async function settle(sender, receiver) {
  sender.emit("private", receiver.sid, "marker");
  assert.deepEqual(await receiver.hears("private"), [{ from: sender.sid, payload: "marker" }]);
}
