// Copying, also where the clipboard is for secure pages only.
import { h, icon } from "./dom.js";
import { words } from "./i18n.js";

/** How long the button says that it is done. */
const DONE_MS = 2_000;

/** @param {string} text @returns {Promise<boolean>} whether it is in the clipboard */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Plain http has no clipboard, but a selection can be copied. @param {string} text */
function copyBySelection(text) {
  const before = document.activeElement;
  const field = h("textarea", { class: "unseen", value: text, "aria-hidden": "true" });
  // Inside an open dialog, because the rest of the page cannot be selected then.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}

/** @param {string} text @param {string} label */
export function copyButton(text, label) {
  const t = words();
  const button = h("button", { type: "button", class: "icon-button copy", "aria-label": label, title: label }, icon("copy"));
  button.addEventListener("click", async () => {
    const done = await copy(text);
    const said = h("span", { class: "copied", role: "status" }, done ? t.copied : t.copyFailed);
    button.replaceChildren(said);
    setTimeout(() => button.replaceChildren(icon("copy")), DONE_MS);
  });
  return button;
}
