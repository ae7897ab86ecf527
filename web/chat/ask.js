// Finding a room or a person: one field, what matches below it, arrows and Enter to choose.
import { openDialog } from "./dialog.js";
import { h, keyed, set } from "./dom.js";
import { avatar } from "./face.js";
import { words } from "./i18n.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {{key: string, sign: Node, label: string, note: string, run: () => void}} Choice */

/** Rooms asked for at once; more are found by typing. */
const ROOMS = 50;
/** Typing goes on this long before the server is asked again. */
const PAUSE_MS = 150;

/** @param {App} app */
export function askRoom(app) {
  const t = words();
  let timer = 0;
  let asked = 0;
  /** @type {import("../sdk/wire.js").RoomEntry[]} */
  let rooms = [];
  let more = false;

  const go = (/** @type {string} */ room) => {
    box.close();
    app.open(app.conversation("r", room));
    app.bus.emit("compose", undefined);
  };
  const choices = (/** @type {string} */ typed) => {
    const name = roomName(typed);
    const found = rooms.filter(({ room }) => room.toLowerCase().includes(name.toLowerCase()));
    const list = found.map(({ room, count }) => {
      const note = app.conversations.has(`r/${room}`) ? t.inRoom : count > 0 ? t.here(count) : "";
      return { key: room, sign: sign("#"), label: room, note, run: () => go(room) };
    });
    if (name !== "" && !found.some(({ room }) => room === name)) list.push({ key: "+", sign: sign("+"), label: t.createRoom(name), note: "", run: () => go(name) });
    return { list, hint: more ? t.moreRooms : rooms.length < 2 && name === "" ? t.noRooms : "" };
  };
  const fetch = async (/** @type {string} */ prefix) => {
    const turn = ++asked;
    const page = await app.parlor.listRooms({ prefix: prefix === "" ? undefined : prefix, limit: ROOMS }).catch(() => null);
    if (page === null || turn !== asked) return;
    const seen = new Map(rooms.map((entry) => [entry.room, entry]));
    for (const entry of page.rooms) seen.set(entry.room, entry);
    rooms = [...seen.values()];
    more = page.more;
    picker.draw();
  };
  const picker = pick(t.roomPlaceholder, choices, (typed) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => fetch(roomName(typed)), PAUSE_MS);
  });
  const box = openDialog(t.roomQuestion, [picker.element], { class: "picker" });
  picker.input.focus();
  fetch("");
}

/** @param {App} app */
export function askPerson(app) {
  const t = words();
  const go = (/** @type {string} */ name) => {
    box.close();
    app.open(app.conversation("d", name));
    app.bus.emit("compose", undefined);
  };
  const choices = (/** @type {string} */ typed) => {
    const name = typed.trim().normalize("NFC");
    const found = [...app.people()].filter(([known]) => known.toLowerCase().includes(name.toLowerCase()));
    found.sort(([a, left], [b, right]) => Number(right.here) - Number(left.here) || a.localeCompare(b));
    const list = found.map(([known, { user, here }]) => ({ key: known, sign: avatar(user, known, "small"), label: known, note: here ? t.personHere : "", run: () => go(known) }));
    if (name !== "" && !found.some(([known]) => known === name)) list.push({ key: "+", sign: sign("+"), label: t.writeToName(name), note: "", run: () => go(name) });
    return { list, hint: list.length === 0 ? t.noPeople : "" };
  };
  const picker = pick(t.whoPlaceholder, choices, () => {});
  const box = openDialog(t.whoQuestion, [picker.element], { class: "picker" });
  picker.input.focus();
}

/** As rooms may be named: spaces become hyphens. @param {string} typed */
function roomName(typed) {
  return typed.trim().replace(/^#/, "").replace(/\s+/g, "-").normalize("NFC");
}

/** @param {string} text */
function sign(text) {
  return h("span", { class: "sign", "aria-hidden": "true" }, text);
}

/**
 * A field with choices (a combobox, WAI-ARIA 1.2).
 * @param {string} placeholder
 * @param {(typed: string) => {list: Choice[], hint: string}} choicesFor
 * @param {(typed: string) => void} typed
 */
function pick(placeholder, choicesFor, typed) {
  const list = h("ul", { class: "choices", id: "choices", role: "listbox", "aria-label": placeholder });
  const hint = h("p", { class: "hint" });
  const input = h("input", {
    type: "text", placeholder, "aria-label": placeholder, maxlength: "200", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    role: "combobox", "aria-expanded": "true", "aria-controls": "choices", "aria-autocomplete": "list",
  });
  let at = 0;
  /** @type {Choice[]} */
  let shown = [];

  const draw = () => {
    const { list: next, hint: text } = choicesFor(input.value);
    shown = next;
    at = Math.max(0, Math.min(at, shown.length - 1));
    hint.textContent = text;
    hint.hidden = text === "";
    keyed(list, shown, ({ key }) => key, (choice, old) => {
      const element = old?.dataset.label === choice.label + choice.note ? old : drawChoice(choice);
      const place = shown.indexOf(choice);
      set(element, "aria-selected", String(place === at));
      element.id = `choice-${place}`;
      return element;
    });
    set(input, "aria-activedescendant", shown.length > 0 ? `choice-${at}` : null);
  };
  input.addEventListener("input", () => {
    at = 0;
    draw();
    typed(input.value);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter") {
      event.preventDefault();
      shown[at]?.run();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      at = (at + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % Math.max(shown.length, 1);
      draw();
      document.getElementById(`choice-${at}`)?.scrollIntoView({ block: "nearest" });
    }
  });
  draw();
  return { element: h("div", { class: "pick" }, input, list, hint), input, draw };
}

/** @param {Choice} choice */
function drawChoice({ sign, label, note, run }) {
  const element = h("li", { class: "choice", role: "option", on: { click: run } }, sign, h("span", { class: "choice-name" }, label), h("span", { class: "quiet" }, note));
  element.dataset.label = label + note;
  return element;
}
