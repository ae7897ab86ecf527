// Real servers and a real browser for the page's tests. PARLOR_BIN names the server's binary.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** How long a fact may take to become true before a test fails. */
export const PATIENCE = 20_000;

/** A server in a process of its own, on a port and data of its own. */
export class Server {
  /** @param {{data?: string, port?: number, host?: string, args?: string[]}} [options] */
  static async start({ data, port = 0, host = "127.0.0.1", args = [] } = {}) {
    const binary = process.env.PARLOR_BIN;
    if (!binary) throw new Error("set PARLOR_BIN to the server's binary, as in PARLOR_BIN=$PWD/../target/release/parlor");
    const server = new Server();
    server.dir = data ?? (await mkdtemp(path.join(tmpdir(), "parlor-web-")));
    server.data = path.join(server.dir, "parlor-data");
    server.process = spawn(binary, ["serve", "--listen", `${host}:${port}`, "--data", server.data, "--no-limits", ...args], { stdio: ["ignore", "pipe", "pipe"] });
    server.said = [];
    server.process.stderr.on("data", (text) => server.said.push(String(text)));
    const lines = createInterface({ input: server.process.stdout });
    const first = await Promise.race([once(lines, "line").then(([line]) => line), once(server.process, "exit").then(() => null)]);
    const address = /^listening on http:\/\/(.*):(\d+)$/.exec(first ?? "");
    if (!address) throw new Error(`the server did not start: ${first} ${server.said.join("")}`);
    server.port = Number(address[2]);
    server.url = `http://127.0.0.1:${server.port}`;
    server.process.stdout.resume();
    return server;
  }

  /** Ends it without a word, as a power cut would. */
  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }

  /** A new process on the same port and data. */
  again() {
    return Server.start({ data: this.dir, port: this.port });
  }

  /** Ends it and removes its data. */
  async remove() {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Publishes as a backend does. */
  async publish(body) {
    const key = (await readFile(path.join(this.data, "api.key"), "utf8")).trim();
    const answer = await fetch(`${this.url}/api/publish`, { method: "POST", headers: { authorization: `Bearer ${key}` }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}

/** A browser without anything that asks the world for updates. */
export function openBrowser(args = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", ...args],
  });
}

/** Everything that went wrong inside the pages of a test; must stay empty. */
export const problems = [];

/** @param {import("playwright-core").Page} page */
export function watch(page) {
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => problems.push(`${error.message}\n${error.stack}`));
  page.on("console", (message) => {
    // Refused connections, and sessions that are over, are what an outage looks like; everything else is a fault, above all a broken policy.
    if (message.type() === "error" && !/WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|status of 40[13]/.test(message.text())) problems.push(message.text());
  });
  return page;
}

/** A browser of one's own, at the door. `gate.open = false` refuses its WebSockets, and nothing else. */
export async function visit(browser, url, { gate, ...options } = {}) {
  const context = await browser.newContext({ locale: "en-US", viewport: { width: 1280, height: 800 }, ...options });
  if (gate) await context.routeWebSocket(/\/ws/, (socket) => (gate.open ? void socket.connectToServer() : socket.close({ code: 1013, reason: "later" })));
  const page = watch(await context.newPage());
  await page.goto(url);
  return page;
}

/** Presses "Try now" until the connection is back: an attempt may be under way, or succeed, at any moment. */
export async function tryNow(page) {
  await page.waitForFunction(() => {
    document.querySelector(".notice.down button:not([hidden])")?.click();
    return !document.querySelector(".notice.down");
  });
}

/** Says a name at the door and waits until the room is there. */
export async function comeIn(page, name) {
  await page.fill("#name", name);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".composer");
  await page.waitForSelector(`.me-name:text-is("${name}")`, { state: "attached" });
  return page;
}

/** A browser of one's own, in the room. */
export async function person(browser, server, name, options = {}) {
  return comeIn(await visit(browser, `${server.url}/${options.at ?? ""}`, options), name);
}

/** Writes a message and sends it with Enter. */
export async function say(page, text) {
  await page.fill(".composer textarea", text);
  await page.press(".composer textarea", "Enter");
}

/** Waits until a message with exactly this text is shown. */
export async function hears(page, text) {
  await page.locator(".message .text").getByText(text, { exact: true }).first().waitFor();
}

/** The texts of all messages, oldest first. */
export function texts(page) {
  return page.locator(".message .text").allInnerTexts();
}

/** Texts that people wrote, with their offsets, once all of them are stored. */
export async function stored(page) {
  await until(() => page.locator(".message.sending, .message.failed").count(), (count) => count === 0, "every message being stored");
  return page.locator(".message[data-offset]").evaluateAll((elements) => elements.map((element) => [Number(element.dataset.offset), element.querySelector(".text").textContent]));
}

/** Waits until `check` holds for what `look` gives; fails with what it gave last. */
export async function until(look, check, what) {
  const end = Date.now() + PATIENCE;
  let seen;
  do {
    seen = await look();
    if (check(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 25));
  } while (Date.now() < end);
  throw new Error(`${what} did not happen; at last: ${JSON.stringify(seen)}`);
}
