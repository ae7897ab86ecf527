// A program of crates/parlor/examples on a port of its own. PARLOR_EXAMPLES names the folder of the programs.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

export class Example {
  /** @param {string} name @param {...string} flags */
  static async start(name, ...flags) {
    const folder = process.env.PARLOR_EXAMPLES;
    if (!folder) throw new Error("set PARLOR_EXAMPLES to the folder of the programs, such as target/debug/examples");
    const example = new Example();
    example.process = spawn(path.join(folder, name), ["--listen", "127.0.0.1:0", ...flags], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: example.process.stdout });
    const first = await Promise.race([once(lines, "line").then(([line]) => line), once(example.process, "exit").then(() => null)]);
    if (!/^listening on http:\/\/127\.0\.0\.1:\d+$/.test(first ?? "")) throw new Error(`${name} did not start: ${first}`);
    example.url = first.replace("listening on ", "");
    /** What it has printed since. */
    example.printed = [];
    lines.on("line", (line) => example.printed.push(line));
    return example;
  }

  async stop() {
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }
}
