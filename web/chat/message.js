// One message as elements. What somebody wrote becomes text nodes, whatever it looks like.
import { copyButton } from "./copy.js";
import { h, icon } from "./dom.js";
import { avatar, hueClass } from "./face.js";
import { language, sentenceFor, words } from "./i18n.js";
import { calls, parse } from "./markup.js";
import { clock, moment } from "./time.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./log.js").Item} Item */

/**
 * @param {App} app @param {Item} item @param {boolean} head  whether name and time stand above it
 * @param {HTMLElement | undefined} old  the element that showed it before
 */
export function drawMessage(app, item, head, old) {
  // What waits is one's own, also before the server has said who one is.
  const own = item.status !== "stored" || (item.user !== undefined && item.user === app.parlor.user);
  const waiting = item.status === "sending" && app.parlor.state.phase !== "open";
  const look = [head, own, item.status, item.ack, waiting, language()].join();
  if (old?.dataset.look === look) return old;
  const t = words();
  const from = item.from ?? t.server;
  const { body, called } = content(app, item);
  const time = h("time", { datetime: new Date(item.time).toISOString(), title: moment(item.time, language()) }, clock(item.time));
  const name = h("span", { class: `name ${hueClass(item.user)}` }, from);
  const element = h(
    "li",
    { class: `message ${head ? "first" : ""} ${own ? "own" : ""} ${called && !own ? "called" : ""} ${item.status}`, "aria-label": `${from}, ${clock(item.time)}` },
    h("div", { class: "gutter" }, head ? face(item, from, own) : time.cloneNode(true)),
    h(
      "div",
      { class: "said" },
      head && h("div", { class: "author" }, name, time),
      h("div", { class: "bubble" }, body, own && mark(item, waiting)),
      item.status === "failed" && failure(app, item),
    ),
  );
  element.dataset.look = look;
  if (item.offset !== undefined) element.dataset.offset = String(item.offset);
  return element;
}

/** @param {Item} item @param {string} from @param {boolean} own */
function face(item, from, own) {
  return item.user === undefined && !own ? h("span", { class: "avatar house", "aria-hidden": "true" }, "P") : avatar(item.user, from);
}

/** @param {App} app @param {Item} item */
function content(app, item) {
  const body = h("div", { class: "text", dir: "auto" });
  if (item.event !== "message") body.append(h("span", { class: "event" }, words().eventNamed(item.event)));
  if (typeof item.data !== "string") {
    body.append(block(JSON.stringify(item.data, null, 2)));
    return { body, called: false };
  }
  const tokens = parse(item.data, app.names());
  body.append(...tokens.map((token) => node(token, app)));
  return { body, called: calls(tokens, app.parlor.name) };
}

/** @param {import("./markup.js").Token} token @param {App} app @returns {Node} */
function node(token, app) {
  switch (token.type) {
    case "text":
      return document.createTextNode(token.text);
    case "code":
      return h("code", {}, token.text);
    case "block":
      return block(token.text);
    case "link":
      return h("a", { href: token.href, target: "_blank", rel: "noopener noreferrer nofollow" }, token.text);
    case "mention":
      return h("span", { class: `mention ${token.name.toLowerCase() === app.parlor.name?.toLowerCase() ? "self" : ""}` }, token.text);
  }
}

/** @param {string} text */
function block(text) {
  const t = words();
  return h("div", { class: "block" }, h("pre", { tabindex: "0", "aria-label": t.codeBlock }, h("code", {}, text)), copyButton(text, t.copy));
}

/** How far a message of one's own has come. @param {Item} item @param {boolean} waiting */
function mark(item, waiting) {
  const t = words();
  const [sign, label] = item.status === "failed" ? /** @type {const} */ (["alert", t.notSent])
    : item.status === "sending" ? /** @type {const} */ (["clock", waiting ? t.waiting : t.sending])
      : /** @type {const} */ (["check", item.ack === undefined ? t.stored : t[`stored_${item.ack}`]]);
  return h("span", { class: `mark ${sign} ${waiting ? "waiting" : ""}`, role: "img", "aria-label": label, title: label }, icon(sign));
}

/** @param {App} app @param {Item} item */
function failure(app, item) {
  const t = words();
  const conversation = app.current;
  return h(
    "p",
    { class: "failure" },
    h("span", {}, `${t.notSent}. ${item.error ? sentenceFor(item.error) : ""} `),
    h("button", { type: "button", class: "plain", on: { click: () => app.sendAgain(conversation, item) } }, t.sendAgain),
    h("button", { type: "button", class: "plain", on: { click: () => app.drop(conversation, item) } }, t.drop),
  );
}
