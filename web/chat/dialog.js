// What opens over the page: closes on Escape, on its cross and on a click beside it; focus goes back where it was.
import { h, iconButton } from "./dom.js";
import { words } from "./i18n.js";

/**
 * @param {string} title
 * @param {import("./dom.js").Child[]} content
 * @param {{class?: string}} [props]
 * @returns {HTMLDialogElement} open, and gone from the page when it is closed
 */
export function openDialog(title, content, props = {}) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const box = h(
    "dialog",
    { class: `dialog ${props.class ?? ""}`, "aria-labelledby": "dialog-title" },
    h("header", {}, heading, iconButton("close", words().close, () => box.close())),
    h("div", { class: "dialog-body" }, ...content),
  );
  box.addEventListener("close", () => box.remove());
  // The dialog's own padding is its body's, so what is clicked outside of that is the backdrop.
  box.addEventListener("click", (event) => event.target === box && box.close());
  document.querySelector("dialog[open]")?.remove();
  document.body.append(box);
  box.showModal();
  return box;
}
