// Bringing somebody: the link to the open conversation, and a code for a phone's camera.
import { copyButton } from "./copy.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { words } from "./i18n.js";
import { here } from "./prefs.js";
import { qr } from "./qr.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {{server: string, urls: string[], durability: string}} Info */

/** White modules around a code, as readers need them (ISO/IEC 18004 section 6.3.8). */
const QUIET = 4;

/** What the server says about itself; the page works without. @returns {Promise<Info | null>} */
export async function serverInfo() {
  try {
    const answer = await fetch("chat/info.json");
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** @param {App} app */
export async function showInvite(app) {
  const t = words();
  const room = app.current.kind === "r" ? app.current.address : "#/r/lobby";
  const urls = reachable((await serverInfo())?.urls ?? []).map((url) => new URL(room, url).href);
  const content = urls.length === 0 ? [h("p", {}, t.inviteLocal), link(new URL(room, here()).href)] : [h("p", {}, t.inviteText), ...urls.flatMap((url) => [code(url), link(url)])];
  openDialog(t.inviteTitle, [h("div", { class: "invite" }, ...content), h("a", { class: "button", href: "?new", target: "_blank", rel: "noopener" }, t.asSomebodyElse)]);
}

/** Addresses that another device can open: the page's own, unless only this machine has it, and those of the network. @param {string[]} urls */
function reachable(urls) {
  const local = (/** @type {string} */ url) => /^(localhost|127\.|\[::1\])/.test(new URL(url).hostname.replace(/\.$/, ""));
  if (!local(location.href)) return [here()];
  return urls.filter((url) => !local(url));
}

/** @param {string} url */
function link(url) {
  return h("p", { class: "link" }, h("code", {}, url), copyButton(url, words().copy));
}

/** @param {string} url */
function code(url) {
  let cells;
  try {
    cells = qr(url);
  } catch {
    return null; // A room's name can be longer than a code that a phone still reads.
  }
  const size = cells.length + 2 * QUIET;
  const path = cells.flatMap((row, y) => row.flatMap((dark, x) => (dark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : [])));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("class", "qr");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words().qrLabel(url));
  svg.setAttribute("shape-rendering", "crispEdges");
  const dark = document.createElementNS("http://www.w3.org/2000/svg", "path");
  dark.setAttribute("d", path.join(""));
  svg.append(dark);
  return /** @type {any} */ (svg);
}
