// The words of the page in the reader's language.
import { en } from "./strings/en.js";
import { zh } from "./strings/zh.js";

export const TABLES = { en, zh };

/** @returns {"en" | "zh"} */
export function language() {
  return document.documentElement.lang === "zh" ? "zh" : "en";
}

/** A sentence with its blanks filled. @param {string} key @param {Record<string, string | number>} [blanks] @returns {string} */
export function t(key, blanks = {}) {
  const sentence = TABLES[language()][key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => String(blanks[name] ?? whole));
}

/** Keeps a choice of the reader; a browser that forbids storage forgets it. @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(`parlor.${name}`, value);
  } catch {
    // Nothing to do: the choice holds until the page is closed.
  }
}

/** @param {string} name @returns {string | null} */
export function recall(name) {
  try {
    return localStorage.getItem(`parlor.${name}`);
  } catch {
    return null;
  }
}
