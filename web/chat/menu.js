// The menu: language, light and dark, sound and notifications, somebody else, keys.
import { canNotify, ring } from "./attention.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { LANGUAGES, language, setLanguage, words } from "./i18n.js";
import { serverInfo, showInvite } from "./invite.js";
import { showKeys } from "./keys.js";
import { prefs, settings } from "./prefs.js";

/** @typedef {import("./app.js").App} App */

/** @param {App} app */
export function openMenu(app) {
  const t = words();
  const server = h("p", { class: "quiet" });
  const box = openDialog(
    t.signedInAs(app.parlor.name ?? ""),
    [
      choice(t.language, "language", Object.entries(LANGUAGES).map(([tag, { name }]) => [tag, name]), language(), (tag) => {
        box.close();
        setLanguage(tag);
        app.bus.emit("language", undefined);
      }),
      choice(t.appearance, "scheme", [["auto", t.auto], ["light", t.light], ["dark", t.dark]], settings.scheme, (scheme) => {
        prefs.set("scheme", scheme);
        dispatchEvent(new Event("parlor-scheme"));
      }),
      toggle(t.sound, settings.sound, "", (on) => {
        prefs.set("sound", on);
        if (on) ring();
      }),
      notifyToggle(),
      h(
        "div",
        { class: "menu-actions" },
        h("a", { class: "button", href: "?new", target: "_blank", rel: "noopener" }, t.asSomebodyElse),
        action(t.invite, () => showInvite(app)),
        action(t.keys, showKeys),
        action(t.otherName, () => confirmOtherName(app)),
      ),
      server,
    ],
    { class: "menu" },
  );
  serverInfo().then((info) => {
    if (info) server.textContent = t.serverLine(info.server, info.durability);
  });
}

/** @param {App} app */
function confirmOtherName(app) {
  const t = words();
  const go = () => {
    app.signOut();
    location.hash = "";
    location.reload();
  };
  const box = openDialog(t.otherName, [
    h("p", {}, t.otherNameText),
    h("div", { class: "menu-actions" }, h("button", { type: "button", class: "button primary", on: { click: go } }, t.otherNameGo), action(t.cancel, () => box.close())),
  ]);
}

/** @param {string} label @param {() => void} run */
function action(label, run) {
  return h("button", { type: "button", class: "button", on: { click: run } }, label);
}

/** @param {string} label @param {string} name @param {string[][]} options @param {string} chosen @param {(value: string) => void} choose */
function choice(label, name, options, chosen, choose) {
  const radios = options.map(([value, text]) =>
    h("label", { class: "radio" }, h("input", { type: "radio", name, value, checked: value === chosen, on: { change: () => choose(value) } }), h("span", {}, text)));
  return h("fieldset", { class: "choice-row" }, h("legend", {}, label), h("div", { class: "radios" }, ...radios));
}

/** @param {string} label @param {boolean} on @param {string} why  it cannot be chosen, if it cannot @param {(on: boolean) => void} change */
function toggle(label, on, why, change) {
  const input = h("input", { type: "checkbox", role: "switch", checked: on && why === "", disabled: why !== "", on: { change: () => change(input.checked) } });
  return h("label", { class: "toggle" }, h("span", {}, label, why !== "" && h("span", { class: "quiet" }, ` ${why}`)), input);
}

function notifyToggle() {
  const t = words();
  const why = !canNotify() ? t.notifyInsecure : Notification.permission === "denied" ? t.notifyDenied : "";
  return toggle(t.notify, settings.notify, why, async (on) => {
    prefs.set("notify", on);
    if (on && (await Notification.requestPermission()) !== "granted") prefs.set("notify", false);
  });
}
