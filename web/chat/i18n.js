// The reader's language: one table per language, chosen by the browser, changed in the menu.
import { prefs } from "./prefs.js";
import { en } from "./strings/en.js";
import { zh } from "./strings/zh.js";

/** @typedef {typeof en} Strings */

/** Languages by tag, each with the name that its readers give it. @type {{[tag: string]: {name: string, strings: Strings}}} */
export const LANGUAGES = {
  en: { name: "English", strings: en },
  zh: { name: "中文", strings: zh },
};

/** The tag in use; early.js has put it onto the document before the first paint. */
export function language() {
  return document.documentElement.lang in LANGUAGES ? document.documentElement.lang : "en";
}

/** The words of the language in use. @returns {Strings} */
export function words() {
  return LANGUAGES[language()].strings;
}

/** @param {string} tag */
export function setLanguage(tag) {
  prefs.set("language", tag);
  document.documentElement.lang = tag;
}

/**
 * What to tell a person about a refusal: our own sentence if there is one for the code, else the server's.
 * @param {{code: string, message: string}} error
 */
export function sentenceFor(error) {
  const strings = words();
  const own = /** @type {{[key: string]: unknown}} */ (strings)[`error_${error.code}`];
  return typeof own === "string" ? own : strings.error_other(error.message);
}
