// One sentence that comes and goes, for what was refused.
import { h } from "./dom.js";

/** Long enough to read two lines. */
const SHOWN_MS = 6_000;

/** @param {string} text */
export function toast(text) {
  document.querySelector(".toast")?.remove();
  const element = h("p", { class: "toast", role: "alert" }, text);
  document.body.append(element);
  setTimeout(() => element.remove(), SHOWN_MS);
}
