// The drawer "Talk to this room from …": lines to copy, beside the conversation so that one sees them arrive.
import { copyButton } from "./copy.js";
import { h, iconButton } from "./dom.js";
import { words } from "./i18n.js";
import { linesFor } from "./lines.js";
import { here } from "./prefs.js";

/** @typedef {import("./app.js").App} App */

/** @param {App} app @param {() => void} close */
export function talkFrom(app, close) {
  const t = words();
  const ways = h("div", { class: "ways" });
  const element = h(
    "section",
    { class: "drawer", "aria-label": t.talkFrom },
    h("header", {}, h("h2", {}, t.talkFrom), iconButton("close", t.close, close)),
    h("p", { class: "hint" }, t.talkText),
    ways,
  );
  const draw = () => ways.replaceChildren(...linesFor(app.current, here()).map(way));
  app.bus.on("open", draw);
  draw();
  return element;
}

/** @param {import("./lines.js").Line} line */
function way({ id, text }) {
  const t = words();
  const name = t[`line_${id}`];
  return h(
    "section",
    { class: "way" },
    h("header", {}, h("h3", {}, name), copyButton(text, t.copyLine(name))),
    h("p", { class: "hint" }, t[`line_${id}_note`]),
    h("div", { class: "block" }, h("pre", { tabindex: "0", "aria-label": name }, h("code", {}, text))),
  );
}
