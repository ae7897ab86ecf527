// A program of crates/parlor/examples on a port of its own. PARLOR_EXAMPLES names the folder of the programs.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

export class Example {
  /** @param {string} name @param {...string} flags */
  static async start(name, ...flags) {
    const example = new Example();
    example.command = [name, ...flags];
    await example.begin("127.0.0.1:0");
    return example;
  }

  /** A new process on the same port. */
  again() {
    return this.begin(this.url.replace("http://", ""));
  }

  async begin(address) {
    const folder = process.env.PARLOR_EXAMPLES;
    if (!folder) throw new Error("set PARLOR_EXAMPLES to the folder of the programs, such as target/debug/examples");
    const [name, ...flags] = this.command;
    this.process = spawn(path.join(folder, name), ["--listen", address, ...flags], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: this.process.stdout });
    const first = await Promise.race([once(lines, "line").then(([line]) => line), once(this.process, "exit").then(() => null)]);
    if (!/^listening on http:\/\/127\.0\.0\.1:\d+$/.test(first ?? "")) throw new Error(`${name} did not start: ${first}`);
    this.url = first.replace("listening on ", "");
    /** What it has printed since. */
    this.printed = [];
    lines.on("line", (line) => this.printed.push(line));
  }

  async stop() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }
}
