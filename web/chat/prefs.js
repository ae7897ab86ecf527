// What the browser remembers: settings for all tabs, and what belongs to one person in one tab or all.

/** @param {() => Storage} find @returns {Storage | null} */
function allowed(find) {
  try {
    return find();
  } catch {
    return null; // The reader's settings forbid it; everything then lives as long as the page.
  }
}

/** A JSON value store on top of one of the browser's. */
export class Prefs {
  #memory = new Map();

  /** @param {Storage | null} store */
  constructor(store) {
    this.store = store;
  }

  /**
   * @template T
   * @param {string} name @param {T} fallback
   * @returns {T}
   */
  get(name, fallback) {
    const key = `parlor.${name}`;
    try {
      const text = this.store?.getItem(key) ?? this.#memory.get(key);
      return text === undefined || text === null ? fallback : JSON.parse(text);
    } catch {
      return fallback;
    }
  }

  /** @param {string} name @param {unknown} value */
  set(name, value) {
    const key = `parlor.${name}`;
    const text = JSON.stringify(value);
    this.#memory.set(key, text);
    try {
      if (value === undefined) this.store?.removeItem(key);
      else this.store?.setItem(key, text);
    } catch {
      // Full or forbidden: remembered until the page is closed.
    }
  }
}

const local = allowed(() => localStorage);
const session = allowed(() => sessionStorage);

/** Settings of this browser. */
export const prefs = new Prefs(local);

/** What this tab alone remembers, through a reload. */
export const tab = new Prefs(session);

/** The page's own address without a query or a room: a proxy may have put it anywhere. */
export const here = () => new URL(".", location.href).href;

const NEW = "new";

/**
 * Who this tab is: by default the browser's person; `/?new` makes the tab a person of its own for as long as it is open.
 * @returns {{store: Storage | null, own: Prefs}} where the account is kept, and what else belongs to this person
 */
export function person() {
  const url = new URL(location.href);
  if (url.searchParams.has(NEW)) {
    session?.clear();
    tab.set(NEW, true);
    url.searchParams.delete(NEW);
    history.replaceState(null, "", url);
  }
  return tab.get(NEW, false) ? { store: session, own: tab } : { store: local, own: prefs };
}

/** What the reader chose for this browser, or what is so when nobody chose. */
export const settings = {
  get sound() {
    return prefs.get("sound", false);
  },
  get notify() {
    return prefs.get("notify", false);
  },
  /** @returns {"auto" | "light" | "dark"} */
  get scheme() {
    return prefs.get("scheme", "auto");
  },
};
