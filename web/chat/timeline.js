// The messages of the open conversation: scrolls back to the first one, stays at the end for who is there.
import { h, icon, keyed, say } from "./dom.js";
import { showInvite } from "./invite.js";
import { language, words } from "./i18n.js";
import { drawMessage } from "./message.js";
import { rowsOf } from "./rows.js";
import { dayName } from "./time.js";

/** @typedef {import("./app.js").App} App */

/** This close to the end counts as being there. */
const NEAR = 48;
/** Older messages are fetched this far ahead of the reader. */
const AHEAD = 600;

/** @param {App} app */
export function timeline(app) {
  const t = words();
  const list = h("ol", { class: "rows" });
  const top = h("div", { class: "top" });
  const scroller = h("div", { class: "scroller", tabindex: "0", role: "region" }, top, list);
  const jump = h("button", { type: "button", class: "jump", hidden: true, on: { click: () => toEnd() } }, h("span"), icon("down"));
  const element = h("div", { class: "timeline" }, scroller, jump);
  let shown = app.current;

  const draw = () => {
    const { current } = app;
    if (current !== shown) {
      list.replaceChildren();
      shown = current;
    }
    const anchor = app.atEnd ? null : firstInView();
    keyed(list, rowsOf(current.log.items, current.newAfter), ({ id }) => id, (row, old) => drawRow(row, old));
    drawTop();
    scroller.setAttribute("aria-label", t.messages(current.name));
    scroller.setAttribute("aria-busy", String(current.phase === "loading"));
    if (app.atEnd) scroller.scrollTop = scroller.scrollHeight;
    else if (anchor?.element.isConnected) scroller.scrollTop += anchor.element.getBoundingClientRect().top - anchor.top;
    scrolled();
  };

  /** @param {import("./rows.js").Row} row @param {HTMLElement | undefined} old @returns {HTMLElement} */
  const drawRow = (row, old) => {
    if (row.kind === "message") return drawMessage(app, row.item, row.head, old);
    if (row.kind === "new") return old ?? h("li", { class: "new-line", role: "separator" }, h("span", {}, t.newMessages));
    const name = dayName(row.time, Date.now(), language(), { today: t.today, yesterday: t.yesterday });
    return old ?? h("li", { class: "day", role: "separator" }, h("span", {}, name));
  };

  /** What stands above the first message: it loads, it failed, or this is the beginning. */
  const drawTop = () => {
    const { current } = app;
    const again = (/** @type {() => void} */ run) => [h("p", {}, t.olderFailed), h("button", { type: "button", class: "plain", on: { click: run } }, t.again)];
    if (current.phase === "failed") return top.replaceChildren(...again(() => app.load(current)));
    if (current.older === "failed") return top.replaceChildren(...again(() => app.loadOlder(current)));
    if (current.phase !== "ready" || current.log.more) return top.replaceChildren(h("p", { class: "loading" }, current.log.more || current.phase === "loading" ? t.loading : ""));
    const empty = current.log.items.length === 0;
    top.replaceChildren(...(empty ? emptyState(app) : [h("p", { class: "beginning" }, beginning(current))]));
  };

  /** The first message that is not above the view, and where it stands. */
  const firstInView = () => {
    const { top: edge } = scroller.getBoundingClientRect();
    for (const element of list.children) {
      const { top, bottom } = element.getBoundingClientRect();
      if (bottom > edge && /** @type {HTMLElement} */ (element).dataset.look) return { element, top };
    }
    return null;
  };

  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const { current } = app;
    app.atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    jump.hidden = app.atEnd;
    const label = current.unread > 0 ? t.newBelow(current.unread) : t.latest;
    say(/** @type {Element} */ (jump.firstElementChild), current.unread > 0 ? label : "");
    jump.setAttribute("aria-label", label);
    jump.title = label;
    app.markSeen();
    if (scrollTop < AHEAD && current.older === "no" && current.phase === "ready") app.loadOlder(current);
  };

  const toEnd = () => {
    scroller.scrollTop = scroller.scrollHeight;
    scrolled();
  };

  /** A conversation opens at its end, or where the new messages begin. */
  const opened = () => {
    app.atEnd = true;
    draw();
    const line = /** @type {HTMLElement | null} */ (list.querySelector(".new-line"));
    if (line && list.clientHeight - line.offsetTop > scroller.clientHeight) {
      scroller.scrollTop = line.offsetTop - 80;
      scrolled();
    }
  };

  scroller.addEventListener("scroll", scrolled, { passive: true });
  new ResizeObserver(() => (app.atEnd ? toEnd() : scrolled())).observe(scroller);
  app.bus.on("talk", draw);
  app.bus.on("open", opened);
  app.bus.on("sent", () => {
    app.atEnd = true;
  });
  app.bus.on("latest", () => {
    app.clearNewLine();
    toEnd();
  });
  app.bus.on("history", () => scroller.focus());
  return { element, opened };
}

/** @param {import("./conversation.js").Conversation} conversation */
function beginning({ kind, name, log }) {
  const t = words();
  if (kind === "d") return t.beginsWith(name);
  return log.firstOffset === undefined ? t.emptyLive : t.begins(name);
}

/** @param {App} app */
function emptyState(app) {
  const t = words();
  const { kind, name } = app.current;
  if (kind === "d") return [h("p", { class: "empty" }, t.emptyTalk(name))];
  const keeps = app.parlor.rooms.get(name)?.keeps ?? true;
  return [
    h("p", { class: "empty" }, keeps ? t.emptyRoom : t.emptyLive),
    h("button", { type: "button", class: "plain", on: { click: () => showInvite(app) } }, t.invite),
  ];
}
