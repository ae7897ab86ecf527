// The first visit: one question, one button.
import { h, say } from "./dom.js";
import { logo } from "./face.js";
import { LANGUAGES, language, sentenceFor, setLanguage, words } from "./i18n.js";
import { parseAddress } from "./conversation.js";

/** @typedef {import("../sdk/parlor.js").ParlorError} ParlorError */

/** 64 bytes of UTF-8 at most; the server counts, this only stops the absurd. */
const LONGEST = 64;

/**
 * Asks for a name until `enter` takes one.
 * @param {HTMLElement} root
 * @param {(name: string) => Promise<unknown>} enter  rejected with the server's refusal
 * @param {{name?: string, error?: ParlorError}} [before]  what was tried already
 */
export function welcome(root, enter, before = {}) {
  const t = words();
  const input = h("input", { type: "text", id: "name", maxlength: String(LONGEST), autocomplete: "nickname", autocapitalize: "words", spellcheck: "false", placeholder: t.namePlaceholder, value: before.name ?? "", "aria-describedby": "name-problem" });
  const problem = h("p", { id: "name-problem", class: "problem", role: "alert" });
  const suggestions = h("div", { class: "suggestions" });
  const button = h("button", { type: "submit", class: "button primary" }, t.enter);

  const submit = async (/** @type {string} */ typed) => {
    const name = typed.trim().replace(/\s+/g, " ").normalize("NFC");
    if (name === "") return refuse(t.nameEmpty);
    busy(true);
    try {
      await enter(name);
    } catch (error) {
      busy(false);
      refused(name, /** @type {ParlorError} */ (error));
    }
  };
  const busy = (/** @type {boolean} */ on) => {
    button.disabled = input.disabled = on;
    say(button, on ? t.entering : t.enter);
  };
  const refuse = (/** @type {string} */ sentence, /** @type {string[]} */ names = []) => {
    say(problem, sentence);
    suggestions.replaceChildren(...names.map((name) => h("button", { type: "button", class: "button", on: { click: () => submit(name) } }, name)));
    input.focus();
    input.select();
  };
  const refused = (/** @type {string} */ name, /** @type {ParlorError} */ error) => {
    if (error.code === "name_taken") return refuse(t.nameTaken(name), error.suggestions);
    // The server's sentence says which character is wrong.
    refuse(error.code === "bad_name" ? `${t.error_bad_name} ${error.message}` : sentenceFor(error));
  };

  const asked = parseAddress(location.hash);
  const form = h(
    "form",
    { class: "welcome", on: { submit: (/** @type {Event} */ event) => (event.preventDefault(), submit(input.value)) } },
    h("p", { class: "logo" }, ...logo()),
    h("h1", {}, t.welcomeTitle),
    h("p", { class: "quiet" }, t.welcomeText),
    h("label", { for: "name" }, t.nameQuestion),
    h("div", { class: "ask" }, input, button),
    problem,
    suggestions,
    asked?.kind === "r" && asked.name !== "lobby" && h("p", { class: "quiet" }, t.goesTo(asked.name)),
  );
  const languages = Object.entries(LANGUAGES).filter(([tag]) => tag !== language()).map(([tag, { name }]) => {
    const change = () => {
      setLanguage(tag);
      welcome(root, enter, { name: input.value });
    };
    return h("button", { type: "button", class: "plain", lang: tag, on: { click: change } }, name);
  });
  root.replaceChildren(h("main", { class: "door" }, form, h("p", { class: "door-languages" }, ...languages)));
  input.focus();
  if (before.error) refused(before.name ?? "", before.error);
}
