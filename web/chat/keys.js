// Every action has a key; `?` lists them.
import { askPerson, askRoom } from "./ask.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { words } from "./i18n.js";
import { showInvite } from "./invite.js";
import { openMenu } from "./menu.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./i18n.js").Strings} Strings */
/** @typedef {"key_help" | "key_switch" | "key_person" | "key_next" | "key_unread" | "key_compose" | "key_list" | "key_history" | "key_latest" | "key_people" | "key_talk" | "key_invite" | "key_menu" | "key_send" | "key_break" | "key_escape"} KeyName */

/** As shown; each inner list is one way to press it. @type {Array<[KeyName, string[][]]>} */
const SHOWN = [
  ["key_send", [["Enter"]]],
  ["key_break", [["Shift", "Enter"]]],
  ["key_switch", [["Ctrl", "K"]]],
  ["key_person", [["Alt", "D"]]],
  ["key_next", [["Alt", "↓"], ["Alt", "↑"]]],
  ["key_unread", [["Alt", "U"]]],
  ["key_latest", [["Alt", "E"]]],
  ["key_compose", [["Alt", "C"]]],
  ["key_history", [["Alt", "H"]]],
  ["key_list", [["Alt", "L"]]],
  ["key_people", [["Alt", "P"]]],
  ["key_talk", [["Alt", "T"]]],
  ["key_invite", [["Alt", "I"]]],
  ["key_menu", [["Alt", "M"]]],
  ["key_escape", [["Esc"]]],
  ["key_help", [["?"], ["Ctrl", "/"]]],
];

export function showKeys() {
  const t = words();
  const row = (/** @type {KeyName} */ name, /** @type {string[][]} */ ways) => [
    h("dt", {}, ...ways.flatMap((keys, at) => [at > 0 ? ` ${t.or} ` : null, ...keys.map((key) => h("kbd", {}, key))])),
    h("dd", {}, t[name]),
  ];
  openDialog(t.keys, [h("dl", { class: "keys" }, ...SHOWN.flatMap(([name, ways]) => row(name, ways)))]);
}

/**
 * @param {App} app
 * @param {import("./shell.js").Shell} shell
 * @returns {(event: KeyboardEvent) => void} the listener
 */
export function keyListener(app, shell) {
  /** @type {{[code: string]: () => void}} By code, because Alt changes what letters a Mac types. */
  const alt = {
    ArrowDown: () => step(app, 1, () => true),
    ArrowUp: () => step(app, -1, () => true),
    KeyU: () => step(app, 1, ({ unread }) => unread > 0),
    KeyD: () => askPerson(app),
    KeyC: () => app.bus.emit("compose", undefined),
    KeyE: () => app.bus.emit("latest", undefined),
    KeyH: () => app.bus.emit("history", undefined),
    KeyL: () => {
      shell.showList();
      /** @type {HTMLElement | null} */ (document.querySelector(".side a[aria-current]"))?.focus();
    },
    KeyP: () => shell.showPeople(),
    KeyT: () => shell.showTalkFrom(),
    KeyI: () => showInvite(app),
    KeyM: () => openMenu(app),
  };
  return (event) => {
    if (event.isComposing) return;
    const over = document.querySelector("dialog[open]") !== null;
    const command = event.ctrlKey || event.metaKey;
    const typing = event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLInputElement;
    /** @type {(() => void) | undefined} */
    let run;
    if (command && !event.altKey && event.code === "KeyK") run = () => askRoom(app);
    else if ((command && event.key === "/") || (event.key === "?" && !typing && !command && !event.altKey)) run = showKeys;
    else if (event.altKey && !command && !event.shiftKey && !over) run = alt[event.code];
    else if (event.key === "Escape" && !over) run = () => shell.escape();
    if (!run) return;
    event.preventDefault();
    run();
  };
}

/** @param {App} app @param {1 | -1} by @param {(conversation: import("./conversation.js").Conversation) => boolean} which */
function step(app, by, which) {
  const order = [...app.conversations.values()].sort((a, b) => b.kind.localeCompare(a.kind));
  const at = order.indexOf(app.current);
  for (let away = 1; away <= order.length; away++) {
    const next = order[(at + by * away + order.length * away) % order.length];
    if (next !== app.current && which(next)) return app.open(next);
  }
}
