// The chat page: joins the browser client to what is shown.
import { Parlor } from "../sdk/parlor.js";
import { attract } from "./attention.js";
import { composer } from "./composer.js";
import { Conversation, parseLink } from "./conversation.js";
import { askRoom, showCode, showKeys, talkFrom } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { hueOf, initial } from "./hue.js";
import { Messages } from "./messages.js";
import { newLine } from "./rows.js";
import { language, recall, remember, t } from "./strings.js";

/** Messages that one look into history brings. */
const PAGE = 50;
/** A typing notice stands this long. */
const TYPING_MS = 5_000;

class Chat {
  /** @type {Map<string, Conversation>} by link */
  conversations = new Map();
  /** @type {Conversation} */
  current;
  #painted = false;
  #notes = "";

  /** @param {Parlor} parlor @param {(name: string) => void} rename */
  constructor(parlor, rename) {
    this.parlor = parlor;
    this.rename = rename;
    this.messages = new Messages({
      me: () => ({ user: parlor.user, name: parlor.name }),
      older: () => this.older(),
      seen: () => this.seen(),
      again: (item) => this.again(item),
      drop: (item) => (this.current.log.remove(item.key ?? ""), this.paint()),
    });
    this.composer = composer({
      send: (text) => this.send(text),
      typing: () => this.current.kind === "r" && parlor.typing(this.current.name),
      draft: (text) => {
        this.current.draft = text;
        remember(`draft.${this.current.link}`, text);
      },
    });
    this.side = h("nav.side");
    this.bar = h("header.bar");
    this.note = h("p.note", { role: "status" });
    this.typing = h("p.typing.quiet", { "aria-live": "off" });
    this.people = h("aside.people");
    this.main = h("main.main", {}, this.bar, this.note, this.messages.root, this.typing, this.composer.root);
    fill(document.body, this.side, this.main, this.people);
    for (const room of savedRooms()) this.conversation("r", room);
    const asked = parseLink(location.hash) ?? { kind: /** @type {const} */ ("r"), name: "lobby" };
    this.current = this.conversation(asked.kind, asked.name);
    this.#listen();
  }

  /** The conversation, made and joined if it is new. @param {"r" | "d"} kind @param {string} name */
  conversation(kind, name) {
    const made = new Conversation(kind, name);
    const known = this.conversations.get(made.link);
    if (known) return known;
    made.draft = recall(`draft.${made.link}`) ?? "";
    this.conversations.set(made.link, made);
    if (kind === "r") {
      saveRooms([...this.conversations.values()].filter((other) => other.kind === "r").map((other) => other.name));
      this.parlor.join(name).catch((error) => ((made.note = error.message), this.paint()));
    }
    return made;
  }

  /** @param {Conversation} conversation */
  open(conversation) {
    const before = this.current;
    before.newAfter = undefined;
    this.current = conversation;
    if (location.hash !== conversation.link) history.replaceState(null, "", conversation.link);
    conversation.newAfter = newLine(conversation.log.stored, conversation.unread, this.parlor.user);
    document.body.dataset.view = "talk";
    this.messages.open(conversation);
    this.composer.set(conversation.draft);
    if (!conversation.loaded && this.parlor.state.phase === "open") this.load(conversation);
    this.paint();
    if (matchMedia("(min-width: 720px)").matches) this.composer.input.focus();
  }

  /** The newest page of a conversation's history. @param {Conversation} conversation */
  async load(conversation) {
    conversation.loading = conversation.loaded = true;
    try {
      const page = await this.parlor.history({ ...conversation.of, limit: PAGE });
      conversation.log.prepend(page.messages, page.more);
      if (conversation.newAfter === undefined) {
        conversation.newAfter = newLine(conversation.log.stored, conversation.unread, this.parlor.user);
      }
    } catch (error) {
      // Rooms that keep nothing have no history; anything else is tried again at the next look.
      conversation.loaded = /** @type {any} */ (error).code === "no_log";
    }
    conversation.loading = false;
    this.paint();
  }

  async older() {
    const conversation = this.current;
    const before = conversation.log.firstOffset;
    if (!conversation.log.more || conversation.loading || before === undefined) return;
    conversation.loading = true;
    try {
      const page = await this.parlor.history({ ...conversation.of, before, limit: PAGE });
      conversation.log.prepend(page.messages, page.more);
    } catch {
      // The next scroll asks again.
    }
    conversation.loading = false;
    this.paint();
  }

  /** @param {string} text */
  send(text) {
    const { parlor, current } = this;
    const item = current.log.send({ key: parlor.newKey(), data: text, time: Date.now(), user: parlor.user, from: parlor.name });
    current.newAfter = undefined;
    this.#deliver(current, item);
    this.paint();
    this.messages.toEnd();
  }

  /** @param {import("./log.js").Item} item */
  again(item) {
    const waiting = this.current.log.remove(item.key ?? "");
    if (waiting) this.send(String(waiting.data));
  }

  /** @param {Conversation} conversation @param {import("./log.js").Item} item */
  #deliver(conversation, item) {
    const { parlor } = this;
    const key = /** @type {string} */ (item.key);
    const keeps = parlor.rooms.get(conversation.name)?.keeps ?? true;
    const sent = conversation.kind === "r"
      ? parlor.publish(conversation.name, item.data, { key: keeps ? key : undefined })
      : parlor.direct(conversation.name, item.data, { key });
    sent.then((published) => conversation.log.confirm(key, published), (error) => conversation.log.fail(key, error)).then(() => this.paint());
  }

  /** What is in view is read. */
  seen() {
    const conversation = this.current;
    if (!conversation || document.visibilityState === "hidden" || !this.messages.atEnd) return;
    const last = conversation.log.lastOffset ?? 0;
    const had = conversation.unread > 0;
    conversation.unread = 0;
    if (last > conversation.read && this.parlor.state.phase === "open") {
      conversation.read = last;
      this.parlor.read({ ...conversation.of, offset: last }).catch(() => {});
    }
    if (had) this.paint();
  }

  #listen() {
    const { parlor } = this;
    parlor.on("welcome", () => {
      remember("last-name", parlor.name ?? "");
      if (!this.#painted) this.open(this.current);
      this.#painted = true;
      for (const conversation of this.conversations.values()) if (!conversation.loaded) this.load(conversation);
      this.paint();
    });
    parlor.on("state", (state) => {
      if (state.phase === "closed" && state.error?.code === "name_taken") this.rename(t("taken", { names: (state.error.suggestions ?? []).join(", ") }));
      this.paint();
    });
    parlor.on("joined", (joined) => {
      const conversation = joined.room === undefined ? this.conversation("d", joined.with ?? "") : this.conversation("r", joined.room);
      if (!joined.resumed) conversation.unread = Math.max(conversation.unread, joined.unread ?? 0);
      if (joined.recovered === false) {
        conversation.log.clear();
        conversation.note = t("lost");
        this.load(conversation);
      }
      this.paint();
    });
    parlor.on("message", (message) => this.#received(this.conversation("r", message.room), message));
    parlor.on("direct", (direct) => {
      const other = direct.user === parlor.user ? direct.to : direct.from;
      const conversation = this.conversation("d", other);
      if (!conversation.loaded) this.load(conversation);
      this.#received(conversation, direct);
    });
    parlor.on("caughtup", ({ room, count }) => {
      if (count === 0) return;
      const conversation = this.conversation("r", room);
      conversation.note = t("caughtUp", { n: count });
      this.paint();
    });
    parlor.on("presence", ({ room, members, count }) => {
      Object.assign(this.conversation("r", room), { members: new Map(members), count });
      this.paint();
    });
    parlor.on("typing", ({ room, from }) => {
      if (from === undefined) return;
      this.conversation("r", room).typing.set(from, Date.now() + TYPING_MS);
      this.paint();
      setTimeout(() => this.paint(), TYPING_MS + 50);
    });
    parlor.on("read", (read) => {
      if (read.user !== parlor.user) return;
      const conversation = read.room === undefined ? this.conversation("d", read.with ?? "") : this.conversation("r", read.room);
      conversation.read = Math.max(conversation.read, read.offset);
      if (read.offset >= (conversation.log.lastOffset ?? 0)) conversation.unread = 0;
      this.paint();
    });
    addEventListener("hashchange", () => {
      const asked = parseLink(location.hash);
      if (asked) this.open(this.conversation(asked.kind, asked.name));
    });
    document.addEventListener("visibilitychange", () => this.seen());
    addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {Conversation} conversation @param {import("../sdk/wire.js").Message | import("../sdk/wire.js").Direct} message */
  #received(conversation, message) {
    const fresh = conversation.log.receive(message, this.parlor.user);
    conversation.typing.delete(message.from ?? "");
    const own = message.user === this.parlor.user;
    const inView = conversation === this.current && document.visibilityState !== "hidden" && this.messages.atEnd;
    if (fresh && !own && !inView && (message.offset ?? Infinity) > conversation.read) {
      conversation.unread += 1;
      if (conversation === this.current) conversation.newAfter ??= message.offset === undefined ? undefined : message.offset - 1;
      attract(conversation.name, message.from ?? "", typeof message.data === "string" ? message.data : "", () => this.open(conversation));
    }
    if (!inView) this.paint();
    else this.paint(), conversation.log.trim();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const writing = event.target instanceof HTMLElement && /^(TEXTAREA|INPUT)$/.test(event.target.tagName);
    const over = document.querySelector("dialog[open]") !== null;
    if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const all = [...this.conversations.values()];
      const at = all.indexOf(this.current) + (event.key === "ArrowDown" ? 1 : all.length - 1);
      this.open(all[at % all.length]);
    } else if ((event.ctrlKey || event.metaKey) && event.key === "k") this.join();
    else if ((event.ctrlKey || event.metaKey) && event.key === "j") talkFrom(this.current.name);
    else if (event.key === "?" && !writing && !over) showKeys();
    else if (event.key === "Escape" && !over) this.messages.toEnd(), this.composer.input.focus();
    else return;
    event.preventDefault();
  }

  join() {
    askRoom((room) => this.open(this.conversation("r", room)), this.parlor.listRooms().then(({ rooms }) => rooms));
  }

  /** @param {Conversation} conversation */
  leave(conversation) {
    this.conversations.delete(conversation.link);
    if (conversation.kind === "r") this.parlor.leave(conversation.name).catch(() => {});
    saveRooms([...this.conversations.values()].filter((other) => other.kind === "r").map((other) => other.name));
    this.open(this.conversations.values().next().value ?? this.conversation("r", "lobby"));
  }

  /** Draws once, however often it is asked for before the next frame. */
  paint() {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#draw();
    });
  }

  #pending = false;

  #draw() {
    const all = [...this.conversations.values()];
    const unread = all.reduce((sum, { unread }) => sum + unread, 0);
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${this.current.name} · Parlor`;
    const entry = (/** @type {Conversation} */ conversation) =>
      h(
        "li",
        {},
        h(
          "a.entry",
          { href: conversation.link, "aria-current": conversation === this.current ? "page" : false, onclick: (/** @type {Event} */ event) => (event.preventDefault(), this.open(conversation)) },
          h("span.label", { text: conversation.kind === "r" ? `# ${conversation.name}` : `@ ${conversation.name}` }),
          conversation.draft && conversation !== this.current ? h("span.quiet", { text: "✎" }) : null,
          conversation.unread > 0 ? h("span.badge", { text: String(conversation.unread) }) : null,
        ),
      );
    const directs = all.filter(({ kind }) => kind === "d");
    fill(
      this.side,
      h("header.brand", {}, h("strong", { text: "Parlor" }), h("span.quiet", { text: this.parlor.name ?? "" })),
      h("h2", { text: t("rooms") }),
      h("ul", {}, ...all.filter(({ kind }) => kind === "r").map(entry)),
      h("button.entry.add", { type: "button", text: `+ ${t("join")}`, onclick: () => this.join() }),
      directs.length > 0 && h("h2", { text: t("directs") }),
      directs.length > 0 && h("ul", {}, ...directs.map(entry)),
      this.#menu(),
    );
    this.#drawBar();
    this.#drawPeople();
    const now = Date.now();
    const writers = [...this.current.typing].filter(([, until]) => until > now).map(([name]) => name);
    this.typing.textContent = writers.length === 0 ? "" : t(writers.length === 1 ? "typingOne" : "typingMany", { a: writers[0] });
    this.composer.words();
    this.messages.render();
  }

  #drawBar() {
    const { current, parlor } = this;
    const { phase, error, reason } = parlor.state;
    fill(
      this.bar,
      h("button.icon.narrow", { type: "button", text: "‹", "aria-label": t("back"), onclick: () => (document.body.dataset.view = "rooms") }),
      h("h1", { text: current.name }),
      current.kind === "r" ? h("button.count", { type: "button", text: String(current.count), "aria-label": `${t("people")}: ${current.count}`, onclick: () => document.body.classList.toggle("show-people") }) : null,
      h("span.space"),
      current.kind === "r" ? h("button.quiet-button", { type: "button", text: t("talk"), onclick: () => talkFrom(current.name) }) : null,
      h("button.icon", { type: "button", text: "⨯", "aria-label": t("leave"), title: t("leave"), onclick: () => this.leave(current) }),
    );
    const waiting = parlor.waiting;
    const words = phase === "closed" ? t("closed", { why: error?.message ?? reason ?? "" })
      : phase === "open" ? current.note
      : this.#painted ? t("reconnecting", { n: waiting }) : t("connecting");
    const key = `${phase}${words}${language()}`;
    if (key === this.#notes) return;
    this.#notes = key;
    this.note.hidden = words === "";
    this.note.dataset.phase = phase;
    fill(this.note, h("span", { text: words }), phase !== "open" && this.#painted && h("button.link", { type: "button", text: t("retry"), onclick: () => parlor.reconnect() }));
    if (phase === "open" && words !== "") setTimeout(() => ((current.note = ""), this.paint()), 6_000);
  }

  #drawPeople() {
    const { current, parlor } = this;
    const people = [...current.members].sort(([, a], [, b]) => a.localeCompare(b));
    this.people.hidden = current.kind === "d";
    fill(
      this.people,
      h("h2", { text: `${t("people")} · ${current.count}` }),
      h("ul", {}, ...people.map(([user, name]) => h("li", {}, h(
        "button.entry",
        { type: "button", disabled: user === parlor.user, onclick: () => (document.body.classList.remove("show-people"), this.open(this.conversation("d", name))) },
        h(`span.avatar.small.hue-${hueOf(user)}`, { text: initial(name), "aria-hidden": "true" }),
        h("span.label", { text: user === parlor.user ? `${name} (${t("you")})` : name }),
      )))),
      people.length <= 1 && h("p.quiet", { text: t("nobody") }),
    );
  }

  #menu() {
    const dark = document.documentElement.dataset.scheme === "dark";
    const choose = (/** @type {string} */ name, /** @type {string} */ value) => {
      remember(name, value);
      dispatchEvent(new Event("parlor-scheme"));
      this.paint();
    };
    const item = (/** @type {string} */ text, /** @type {() => void} */ onclick) => h("button.entry", { type: "button", text, onclick });
    return h(
      "footer.menu",
      {},
      item(t("language"), () => {
        document.documentElement.lang = language() === "zh" ? "en" : "zh";
        choose("language", language());
      }),
      item(t(dark ? "light" : "dark"), () => choose("scheme", dark ? "light" : "dark")),
      item(`${t("sound")} ${recall("sound") === "on" ? "✓" : ""}`, () => choose("sound", recall("sound") === "on" ? "off" : "on")),
      item(`${t("notify")} ${recall("notify") === "on" ? "✓" : ""}`, async () => {
        const on = recall("notify") !== "on" && "Notification" in window && (await Notification.requestPermission()) === "granted";
        choose("notify", on ? "on" : "off");
      }),
      h("a.entry", { href: "/?new", target: "_blank", rel: "noopener", text: t("other") }),
      this.lan ? item(t("scan"), () => showCode(/** @type {string} */ (this.lan))) : null,
      item(t("keys"), showKeys),
    );
  }

  /** The page's address for others in the network, if it has one. @type {string | undefined} */
  lan = undefined;
}

/** @returns {string[]} */
function savedRooms() {
  try {
    const rooms = JSON.parse(recall("rooms") ?? "[]");
    if (Array.isArray(rooms) && rooms.length > 0) return rooms.filter((room) => typeof room === "string").slice(0, 100);
  } catch {
    // Somebody else wrote there.
  }
  return ["lobby"];
}

/** @param {string[]} rooms */
function saveRooms(rooms) {
  remember("rooms", JSON.stringify(rooms));
}

/** Whether this tab is a guest of its own: `/?new`, and every reload of it. */
function isOwnGuest() {
  if (new URLSearchParams(location.search).has("new")) {
    sessionStorage.setItem("parlor.new", "1");
    history.replaceState(null, "", location.pathname + location.hash);
  }
  return sessionStorage.getItem("parlor.new") === "1";
}

/** Asks for a name; nothing else stands between a newcomer and the lobby. @param {(name: string) => void} enter @param {string} [problem] */
function askName(enter, problem = "") {
  const input = /** @type {HTMLInputElement} */ (h("input", { "aria-label": t("ask"), maxlength: "64", autocomplete: "nickname", required: true }));
  const form = h(
    "form.welcome",
    {
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        if (input.value.trim() !== "") enter(input.value.trim());
      },
    },
    h("h1", { text: "Parlor" }),
    h("label", {}, h("span", { text: t("ask") }), input),
    problem ? h("p.danger", { role: "alert", text: problem }) : null,
    h("button.primary", { text: t("enter") }),
  );
  fill(document.body, form);
  input.focus();
}

/** @param {string} [problem] */
function start(problem) {
  const store = isOwnGuest() ? sessionStorage : localStorage;
  const known = (() => {
    try {
      return JSON.parse(store.getItem("parlor.account") ?? "{}");
    } catch {
      return {};
    }
  })();
  const enter = (/** @type {string | undefined} */ name) => {
    const parlor = new Parlor({ store, name });
    const chat = new Chat(parlor, (reason) => {
      parlor.close();
      parlor.forget();
      start(reason);
    });
    // For whoever opens the console, and for tests.
    Object.assign(window, { parlor });
    parlor.connect().catch((error) => error.code === "bad_name" && (parlor.close(), parlor.forget(), start(error.message)));
    chat.paint();
    fetch("/chat/info.json").then((answer) => answer.json()).then(({ urls }) => {
      chat.lan = urls.find((/** @type {string} */ url) => !/\/\/(localhost|127\.|\[::1\])/.test(url));
      chat.paint();
    }, () => {});
  };
  if (known.name && !problem) enter(undefined);
  else askName(enter, problem);
}

start();
