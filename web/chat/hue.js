// A colour of one's own: one of twelve hues by account id, and the letter that stands for a name.

/** How many `--hue-…` tokens there are. */
export const HUES = 12;

/**
 * The number of an account's hue: FNV-1a over its id, so that it is the same on every screen.
 * @param {string | undefined} user
 */
export function hueOf(user) {
  let hash = 0x811c9dc5;
  for (const char of user ?? "") hash = Math.imul(hash ^ /** @type {number} */ (char.codePointAt(0)), 0x01000193);
  return (hash >>> 0) % HUES;
}

/**
 * The first letter or character of a name, as a person sees it.
 * @param {string} name
 */
export function initial(name) {
  const segments = typeof Intl.Segmenter === "function" ? [...new Intl.Segmenter().segment(name)].map(({ segment }) => segment) : [...name];
  return (segments[0] ?? "·").toUpperCase();
}
