// Where one writes: grows with the text, sends on Enter, never in the middle of a composition.
import { h, icon, say } from "./dom.js";
import { words } from "./i18n.js";

/** @typedef {import("./app.js").App} App */

/** @param {App} app */
export function composer(app) {
  const t = words();
  const input = h("textarea", { rows: "1", enterkeyhint: "send", autocomplete: "off", spellcheck: "true", dir: "auto" });
  const send = h("button", { type: "submit", class: "send", "aria-label": t.send, title: t.send, disabled: true }, icon("send"));
  const warning = h("p", { class: "too-long", role: "status", hidden: true });
  const typing = h("p", { class: "typing", "aria-live": "off" });
  const form = h("form", { class: "composer", on: { submit: (/** @type {Event} */ event) => (event.preventDefault(), submit(), input.focus()) } }, input, send);
  const element = h("div", { class: "foot" }, typing, warning, form);
  let open = app.current;

  const over = () => new TextEncoder().encode(JSON.stringify(input.value)).length - app.parlor.maxData;

  const changed = () => {
    input.style.height = "auto";
    input.style.height = `${input.scrollHeight}px`;
    const tooLong = input.value.length > app.parlor.maxData / 6 ? over() : 0;
    warning.hidden = tooLong <= 0;
    if (tooLong > 0) say(warning, t.tooLong(tooLong));
    send.disabled = input.value.trim() === "" || tooLong > 0;
  };

  const submit = () => {
    changed();
    if (send.disabled) return;
    const text = input.value.replace(/^\n+|\s+$/g, "");
    input.value = "";
    app.keepDraft(open, "");
    changed();
    app.send(text);
  };

  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    // An input method that is choosing characters takes Enter for itself; 229 is how some say so.
    if (event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
  input.addEventListener("input", () => {
    changed();
    app.keepDraft(open, input.value);
    if (open.kind === "r" && input.value !== "") app.parlor.typing(open.name);
  });

  const opened = () => {
    open = app.current;
    input.value = app.draft(open);
    const label = open.kind === "r" ? t.writeIn(open.name) : t.writeTo(open.name);
    input.placeholder = label;
    input.setAttribute("aria-label", label);
    changed();
    drawTyping();
  };

  const drawTyping = () => {
    const names = app.current.writers(Date.now());
    say(typing, names.length > 0 ? t.typing(names) : "");
  };

  app.bus.on("open", opened);
  app.bus.on("typing", drawTyping);
  app.bus.on("compose", () => input.focus());
  return { element, opened };
}
