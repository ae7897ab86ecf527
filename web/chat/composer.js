// Where one writes: grows with the text, sends on Enter, never in the middle of a composition.
import { h } from "./dom.js";
import { t } from "./strings.js";

/**
 * @param {{send: (text: string) => void, typing: () => void, draft: (text: string) => void}} tools
 */
export function composer({ send, typing, draft }) {
  const input = /** @type {HTMLTextAreaElement} */ (h("textarea", { rows: "1", enterkeyhint: "send", autocomplete: "off" }));
  const button = h("button.primary", { type: "submit" });
  const root = h("form.composer", {}, input, button);

  const grow = () => {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight, 200)}px`;
  };
  const submit = () => {
    const text = input.value.replace(/\s+$/, "");
    if (text === "") return;
    input.value = "";
    draft("");
    grow();
    send(text);
  };
  input.addEventListener("keydown", (event) => {
    // 229: the key belongs to an input method that does not say so otherwise.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
  input.addEventListener("input", () => {
    grow();
    draft(input.value);
    if (input.value !== "") typing();
  });
  root.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    input.focus();
  });

  return {
    root,
    input,
    /** @param {string} text */
    set(text) {
      input.value = text;
      grow();
    },
    words() {
      input.placeholder = t("write");
      input.setAttribute("aria-label", t("write"));
      button.textContent = t("send");
    },
  };
}
