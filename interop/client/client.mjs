// The Rust client as a child process that is driven by lines: what it is told to do, and what it has seen.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

// `cargo build -p parlor-client --example lines` puts it into the target directory.
const PROGRAM = process.env.PARLOR_CLIENT_LINES
  ?? new URL('../../target/debug/examples/lines', import.meta.url).pathname;

// No test waits longer than this for a line; the longest back-off of a test is far below it.
const PATIENCE = 30_000;

// Arguments of the program; a last one that is an object holds environment variables.
export class Client {
  #lines = [];
  #wake = () => {};

  constructor(...args) {
    const env = typeof args.at(-1) === 'object' ? { ...process.env, ...args.pop() } : process.env;
    this.child = spawn(PROGRAM, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.child.on('error', (error) => { throw error; });
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.#lines.push(JSON.parse(line));
      this.#wake();
    });
  }

  // `client.do('emit', { event: 'a', args: [1] })`
  do(order, fields) {
    this.child.stdin.write(`${JSON.stringify({ do: order, ...fields })}\n`);
  }

  emit(event, ...args) { this.do('emit', { event, args }); }

  ask(event, ...args) { this.do('ask', { event, args }); }

  // The next line that is not about waiting for another attempt.
  async next() {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      while (this.#lines.length > 0) {
        const line = this.#lines.shift();
        if (line.saw !== 'waiting') return line;
      }
      const left = deadline - Date.now();
      if (left <= 0) throw new Error('the client said nothing');
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => { clearTimeout(timer); resolve(); };
      });
    }
  }

  end() { this.child.kill('SIGKILL'); }
}

// Waits for one event of an emitter, such as a server's next connection.
export function once(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event}`)), PATIENCE);
    emitter.once(event, (...args) => { clearTimeout(timer); resolve(args); });
  });
}
