// Puts the views together: list, conversation, who is here; on a narrow page one at a time.
import { voiceElement } from "./attention.js";
import { composer } from "./composer.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { header } from "./header.js";
import { words } from "./i18n.js";
import { keyListener } from "./keys.js";
import { notice } from "./notice.js";
import { people } from "./people.js";
import { sidebar } from "./sidebar.js";
import { talkFrom } from "./talkfrom.js";
import { timeline } from "./timeline.js";

/** @typedef {import("./app.js").App} App */
/** What other views ask of the whole. @typedef {{showList(): void, showPeople(): void, showTalkFrom(): void, escape(): void}} Shell */

const NARROW = matchMedia("(max-width: 719px)");
/** Without this much room the people stand behind the count. */
const COMPACT = matchMedia("(max-width: 1023px)");

/**
 * Builds the page.
 * @param {App} app
 * @param {HTMLElement} root
 * @returns {() => void} takes it down, for the next language
 */
export function mount(app, root) {
  const aside = h("aside", { class: "aside" });
  const talk = h("main", { class: "talk" });

  const showMembers = () => aside.replaceChildren(people(app, () => {}));
  /** @type {Shell} */
  const shell = {
    showList: () => show("list"),
    showPeople: () => {
      if (!COMPACT.matches) {
        showMembers();
        root.dataset.aside = "people";
        return /** @type {HTMLElement | null} */ (aside.querySelector("button, a"))?.focus();
      }
      const box = openDialog(words().peopleHere, [people(app, () => box.close())], { class: "sheet" });
    },
    showTalkFrom: () => (root.dataset.aside === "talk" ? closeDrawer() : openDrawer()),
    escape: () => {
      if (root.dataset.aside === "talk") return closeDrawer();
      app.bus.emit("latest", undefined);
      app.bus.emit("compose", undefined);
    },
  };
  const openDrawer = () => {
    aside.replaceChildren(talkFrom(app, closeDrawer));
    root.dataset.aside = "talk";
    /** @type {HTMLElement | null} */ (aside.querySelector("button"))?.focus();
  };
  const closeDrawer = () => {
    showMembers();
    root.dataset.aside = "people";
    fitAside();
    app.bus.emit("compose", undefined);
  };
  const show = (/** @type {"list" | "talk"} */ pane) => {
    app.pane = pane;
    root.dataset.pane = pane;
    if (pane === "talk") app.markSeen();
  };

  const messages = timeline(app);
  const writing = composer(app);
  talk.append(header(app, shell), notice(app), messages.element, writing.element);
  root.replaceChildren(sidebar(app), talk, aside, voiceElement());
  root.dataset.aside = "people";
  showMembers();

  const keys = keyListener(app, shell);
  addEventListener("keydown", keys);
  /** Two people need no list of who is here. */
  const fitAside = () => {
    if (root.dataset.aside !== "talk") root.dataset.aside = app.current.kind === "r" ? "people" : "none";
  };
  app.bus.on("open", () => {
    show("talk");
    fitAside();
    if (!NARROW.matches) app.bus.emit("compose", undefined);
  });
  show(app.pane);
  fitAside();
  messages.opened();
  writing.opened();
  if (!NARROW.matches) app.bus.emit("compose", undefined);
  return () => removeEventListener("keydown", keys);
}
