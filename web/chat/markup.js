// What a text means: code, links and names that are called. Pure: text in, tokens out; no HTML anywhere.

/**
 * @typedef {{type: "text" | "code", text: string}
 *   | {type: "block", text: string, language: string}
 *   | {type: "link", text: string, href: string}
 *   | {type: "mention", text: string, name: string}} Token
 */

// Every pattern is bounded or anchored, because a text may hold 64 KB that somebody chose to make it slow.
const FENCE = /```([\w+#.-]*)[ \t]*\n([\s\S]*?)\n?```(?!`)\n?/g;
const CODE = /(?<!`)(`+)([^`\n](?:[^\n]*?[^`\n])?)\1(?!`)/g;
/** Only ASCII, because a link inside a Chinese sentence ends where the sentence goes on. */
const LINK = /https?:\/\/[!-~]{1,2048}/gi;
/** Letters, digits and what else a name may hold. */
const MENTION = /(?<![\p{L}\p{N}_.\/@])@[\p{L}\p{N}][\p{L}\p{N}\p{M}_\-=@,.;:/~!+]{0,63}/gu;
const TRAILING = /[.,;:!?'")\]}>~+=@\/-]+$/;

/**
 * @param {string} text
 * @param {string[]} [names]  known names, so that one with spaces is found whole
 * @returns {Token[]}
 */
export function parse(text, names = []) {
  return split(text, FENCE, (match) => [{ type: "block", language: match[1], text: match[2] }], (rest) =>
    split(rest, CODE, (match) => [{ type: "code", text: match[2] }], (plain) =>
      split(plain, LINK, linkOf, (words) => mentions(words, names))));
}

/** Whether `name` is called in a text. @param {Token[]} tokens @param {string | undefined} name */
export function calls(tokens, name) {
  const wanted = name?.toLowerCase();
  return tokens.some((token) => token.type === "mention" && token.name.toLowerCase() === wanted);
}

/**
 * Cuts a text at a pattern: `found` says what a match is, `between` what the rest is.
 * @param {string} text @param {RegExp} pattern
 * @param {(match: RegExpMatchArray) => Token[]} found
 * @param {(rest: string) => Token[]} between
 * @returns {Token[]}
 */
function split(text, pattern, found, between) {
  /** @type {Token[]} */
  const tokens = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    const start = /** @type {number} */ (match.index);
    if (start > at) tokens.push(...between(text.slice(at, start)));
    tokens.push(...found(match));
    at = start + match[0].length;
  }
  if (at < text.length) tokens.push(...between(text.slice(at)));
  return tokens;
}

/** @param {RegExpMatchArray} match @returns {Token[]} */
function linkOf([text]) {
  const { link, rest } = trimLink(text);
  const href = safeAddress(link);
  if (href === null) return [{ type: "text", text }];
  return [{ type: "link", text: link, href }, ...(rest ? [{ type: /** @type {const} */ ("text"), text: rest }] : [])];
}

/** The end of a sentence is not part of its link, unless a bracket was opened inside. @param {string} text */
function trimLink(text) {
  let link = text;
  for (;;) {
    const last = link.at(-1) ?? "";
    const open = { ")": "(", "]": "[", "}": "{", ">": "<" }[last];
    const balanced = open !== undefined && count(link, open) >= count(link, last);
    if (balanced || !/[.,;:!?'"()\[\]{}<>]/.test(last)) break;
    link = link.slice(0, -1);
  }
  return { link, rest: text.slice(link.length) };
}

/** @param {string} text @param {string} char */
function count(text, char) {
  return text.split(char).length - 1;
}

/** An address that may be opened: http or https with a host, nothing else. @param {string} text @returns {string | null} */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "" ? url.href : null;
  } catch {
    return null;
  }
}

/** @param {string} text @param {string[]} names @returns {Token[]} */
function mentions(text, names) {
  /** @type {Token[]} */
  const tokens = [];
  let at = 0;
  const put = (/** @type {number} */ end) => {
    if (end > at) tokens.push({ type: "text", text: text.slice(at, end) });
  };
  for (const match of text.matchAll(MENTION)) {
    const start = /** @type {number} */ (match.index);
    if (start < at) continue;
    const name = longestName(text.slice(start + 1, start + 65), names) ?? match[0].slice(1).replace(TRAILING, "");
    if (name === "") continue;
    put(start);
    at = start + 1 + name.length;
    tokens.push({ type: "mention", text: text.slice(start, at), name });
  }
  put(text.length);
  return tokens;
}

/** The longest known name that the text begins with. @param {string} text @param {string[]} names */
function longestName(text, names) {
  const lower = text.toLowerCase();
  /** @type {string | undefined} */
  let best = undefined;
  for (const name of names) {
    const next = text[name.length];
    const whole = next === undefined || !/[\p{L}\p{N}]/u.test(next) || /[^\x00-\x7f]/.test(name);
    if (whole && lower.startsWith(name.toLowerCase()) && name.length > (best?.length ?? 0)) best = name;
  }
  return best === undefined ? undefined : text.slice(0, best.length);
}
