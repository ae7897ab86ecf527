// The list on the left: rooms, people one talks to, and who one is.
import { h, icon, iconButton, keyed, set } from "./dom.js";
import { avatar, logo } from "./face.js";
import { words } from "./i18n.js";
import { askPerson, askRoom } from "./ask.js";
import { openMenu } from "./menu.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @param {App} app */
export function sidebar(app) {
  const t = words();
  const rooms = h("ul", { class: "entries" });
  const people = h("ul", { class: "entries" });
  const none = h("p", { class: "hint" }, t.noTalks);
  const me = h("span", { class: "me-name" });
  const face = h("span", { class: "me-face" });
  const menu = h("button", { type: "button", class: "me", "aria-haspopup": "dialog", "aria-label": t.menu, on: { click: () => openMenu(app) } }, face, me, icon("more"));

  const element = h(
    "nav",
    { class: "side", "aria-label": `${t.rooms}, ${t.people}` },
    h("header", { class: "brand" }, h("h1", { class: "logo" }, ...logo())),
    h(
      "div",
      { class: "side-lists" },
      h("div", { class: "side-head" }, h("h2", { id: "rooms-head" }, t.rooms), iconButton("plus", t.joinRoom, () => askRoom(app), { class: "join-room" })),
      rooms,
      h("div", { class: "side-head" }, h("h2", { id: "people-head" }, t.people), iconButton("plus", t.writeSomebody, () => askPerson(app), { class: "write-somebody" })),
      people,
      none,
    ),
    menu,
  );
  rooms.setAttribute("aria-labelledby", "rooms-head");
  people.setAttribute("aria-labelledby", "people-head");

  const draw = () => {
    const all = [...app.conversations.values()];
    keyed(rooms, all.filter(({ kind }) => kind === "r"), ({ key }) => key, (conversation, old) => entry(app, conversation, old));
    keyed(people, all.filter(({ kind }) => kind === "d"), ({ key }) => key, (conversation, old) => entry(app, conversation, old));
    none.hidden = people.childElementCount > 0;
    const name = app.parlor.name ?? app.own.get("account", { name: "" }).name ?? "";
    if (me.textContent !== name) {
      me.textContent = name;
      face.replaceChildren(avatar(app.parlor.user, name));
    }
    const { unread, current } = app;
    document.title = unread > 0 ? t.titleUnread(unread, current.name) : `${current.name} · Parlor`;
  };
  app.bus.on("list", draw);
  app.bus.on("people", draw);
  draw();
  return element;
}

/** @param {App} app @param {Conversation} conversation @param {HTMLElement | undefined} old */
function entry(app, conversation, old) {
  const t = words();
  const element = old ?? newEntry(app, conversation);
  const link = /** @type {HTMLElement} */ (element.querySelector("a"));
  const badge = /** @type {HTMLElement} */ (element.querySelector(".badge"));
  const { unread } = conversation;
  set(link, "aria-current", conversation === app.current ? "page" : null);
  badge.hidden = unread === 0;
  badge.textContent = unread > 99 ? "99+" : String(unread);
  badge.setAttribute("aria-label", t.unreadCount(unread));
  element.classList.toggle("unread", unread > 0);
  if (conversation.kind === "d") element.classList.toggle("here", isHere(app, conversation));
  return element;
}

/** @param {App} app @param {Conversation} conversation */
function newEntry(app, conversation) {
  const t = words();
  const sign = conversation.kind === "r" ? h("span", { class: "sign", "aria-hidden": "true" }, "#") : avatar(conversation.user ?? userOf(app, conversation.name), conversation.name, "small");
  const close = conversation.kind === "r" ? t.leaveRoom : t.closeTalk;
  const open = (/** @type {Event} */ event) => {
    event.preventDefault();
    app.open(conversation);
  };
  return h(
    "li",
    { class: "entry" },
    h("a", { href: conversation.address, on: { click: open } }, sign, h("span", { class: "entry-name" }, conversation.name), h("span", { class: "badge", hidden: true })),
    iconButton("close", `${close}: ${conversation.name}`, () => app.close(conversation), { class: "entry-close" }),
  );
}

/** @param {App} app @param {Conversation} conversation */
export function isHere(app, conversation) {
  return app.people().get(conversation.name)?.here ?? conversation.name === app.parlor.name;
}

/** @param {App} app @param {string} name */
function userOf(app, name) {
  return app.people().get(name)?.user;
}
