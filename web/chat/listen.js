// What the browser client reports, brought into the page's state.
import { announce, attract } from "./attention.js";
import { sentenceFor, words } from "./i18n.js";
import { calls, parse } from "./markup.js";
import { toast } from "./toast.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("../sdk/wire.js").Message | import("../sdk/wire.js").Direct} Said */

/** A typing notice is shown this long after the last one. */
const TYPING_MS = 5_000;
/** How long it is said that the connection is back. */
const BACK_MS = 8_000;

/** @param {App} app */
export function listen(app) {
  const { parlor, outage } = app;
  outage.state(parlor.state, 0);

  parlor.on("state", (state) => {
    outage.state(state, parlor.waiting);
    if (state.phase === "open") setTimeout(() => outage.dismiss() && app.changed("notice"), BACK_MS);
    app.changed("notice", "talk");
  });

  parlor.on("welcome", () => {
    // During the break others may have written; the client asks for that by itself and says when it has it.
    for (const conversation of app.conversations.values()) {
      if (conversation.kind !== "d") continue;
      if (conversation.phase === "ready") conversation.catching = true;
      else if (conversation === app.current) app.load(conversation);
    }
    app.changed("list", "people", "talk");
  });

  parlor.on("joined", (joined) => {
    const conversation = joined.room === undefined ? app.conversation("d", joined.with ?? "") : app.conversation("r", joined.room);
    conversation.head = joined.offset ?? 0;
    conversation.unread = joined.unread ?? 0;
    conversation.user ??= joined.with_user;
    conversation.catching = joined.resumed && joined.recovered !== false;
    if (joined.recovered === false && joined.resumed) {
      outage.notRecovered(conversation.name);
      conversation.log.clear();
      app.load(conversation);
    } else if (conversation.kind === "r" && !joined.resumed) {
      conversation.phase = "ready";
      conversation.log.more = (joined.messages?.[0]?.offset ?? 1) > 1;
    }
    app.changed("list", "talk", "notice");
  });

  parlor.on("caughtup", ({ room, with: name }) => {
    const conversation = room === undefined ? app.conversation("d", name ?? "") : app.conversation("r", room);
    conversation.catching = false;
    app.changed("notice");
  });

  parlor.on("gap", ({ room, missed, after }) => {
    const conversation = app.conversation("r", room);
    if (!app.isSeen(conversation)) conversation.unread += missed;
    app.changed("list");
    if (after === undefined) return toast(words().tooFast(missed, room));
    conversation.log.clear();
    app.load(conversation);
  });

  parlor.on("lost", ({ with: name }) => {
    const conversation = app.conversation("d", name);
    outage.notRecovered(name);
    conversation.log.clear();
    app.load(conversation);
  });

  parlor.on("message", (message) => receive(app, app.conversation("r", message.room), message));

  parlor.on("direct", (direct) => {
    const mine = direct.user === parlor.user;
    const conversation = app.conversation("d", mine ? direct.to : direct.from);
    conversation.user = mine ? direct.to_user : direct.user;
    receive(app, conversation, direct);
    if (conversation.phase === "new") app.load(conversation);
  });

  parlor.on("presence", ({ room, members, count }) => {
    const conversation = app.conversations.get(`r/${room}`);
    if (!conversation) return;
    conversation.members = new Map(members);
    conversation.count = count;
    app.changed("people", "list");
  });

  parlor.on("typing", ({ room, user, from }) => {
    const conversation = app.conversations.get(`r/${room}`);
    if (!conversation || from === undefined || user === parlor.user) return;
    conversation.typing.set(from, Date.now() + TYPING_MS);
    setTimeout(() => app.changed("typing"), TYPING_MS);
    app.changed("typing");
  });

  parlor.on("read", ({ room, with: name, user, offset }) => {
    if (user !== parlor.user) return;
    const conversation = app.conversations.get(room === undefined ? `d/${name}` : `r/${room}`);
    if (!conversation) return;
    conversation.read = Math.max(conversation.read, offset);
    if (offset >= (conversation.log.lastOffset ?? conversation.head)) conversation.unread = 0;
    app.changed("list");
  });

  parlor.on("error", (error) => announce(sentenceFor(error)));
}

/** @param {App} app @param {Conversation} conversation @param {Said} said */
function receive(app, conversation, said) {
  const { parlor, outage } = app;
  const fresh = conversation.log.receive(said, parlor.user);
  if (said.from !== undefined && conversation.typing.delete(said.from)) app.changed("typing");
  if (fresh && said.user !== parlor.user) {
    if (conversation.catching) outage.caught();
    const counted = said.offset !== undefined && said.offset <= conversation.head && !conversation.catching;
    if (!counted) fromOthers(app, conversation, said);
  }
  if (app.atEnd || conversation !== app.current) conversation.log.trim();
  app.changed("talk", "notice");
}

/** Something new that somebody else wrote. @param {App} app @param {Conversation} conversation @param {Said} said */
function fromOthers(app, conversation, said) {
  const text = typeof said.data === "string" ? said.data : JSON.stringify(said.data);
  const seen = app.isSeen(conversation);
  if (conversation === app.current && (conversation.catching || !seen)) conversation.newAfter ??= (said.offset ?? 0) - 1;
  if (conversation === app.current) announce(`${said.from ?? "Parlor"}: ${text}`);
  if (seen) return;
  // Those up to the head are in the number that the server gave at the join.
  if (said.offset === undefined || said.offset > conversation.head) conversation.unread++;
  const called = conversation.kind === "d" || calls(parse(text, app.names()), app.parlor.name);
  attract({ where: conversation.name, from: said.from ?? "Parlor", text, called, open: () => app.open(conversation) });
  app.changed("list");
}

