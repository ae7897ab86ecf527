// The messages of the open conversation: rows in order, older ones on scrolling up, the latest in view.
import { fill, h } from "./dom.js";
import { hueOf, initial } from "./hue.js";
import { calls, parse } from "./markup.js";
import { rowsOf } from "./rows.js";
import { language, t } from "./strings.js";
import { clock, dayName, moment } from "./time.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./log.js").Item} Item */

/** This near to the end one is at the end. */
const NEAR = 60;

export class Messages {
  /** @type {Conversation | undefined} */
  conversation = undefined;
  /** @type {Map<string, {node: HTMLElement, signature: string}>} */
  #rows = new Map();
  #atEnd = true;

  /**
   * @param {object} tools
   * @param {() => {user?: string, name?: string}} tools.me
   * @param {() => void} tools.older  somebody scrolled to the top
   * @param {() => void} tools.seen  the end is in view
   * @param {(item: Item) => void} tools.again
   * @param {(item: Item) => void} tools.drop
   */
  constructor(tools) {
    this.tools = tools;
    this.list = h("div.rows", { role: "log", "aria-live": "polite", "aria-relevant": "additions" });
    this.top = h("div.top");
    this.scroller = h("div.messages", { tabindex: "0" }, this.top, this.list);
    this.jump = h("button.jump", { type: "button", hidden: true, onclick: () => this.toEnd() });
    this.root = h("div.log", {}, this.scroller, this.jump);
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** @param {Conversation} conversation */
  open(conversation) {
    this.conversation = conversation;
    this.#rows.clear();
    fill(this.list);
    this.#atEnd = true;
    this.render();
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#scrolled();
  }

  get atEnd() {
    return this.#atEnd;
  }

  render() {
    const conversation = this.conversation;
    if (!conversation) return;
    const { scrollTop, scrollHeight } = this.scroller;
    const wasFirst = this.list.firstElementChild;
    const items = conversation.log.items;
    const rows = rowsOf(items, conversation.newAfter);
    const before = this.#rows;
    this.#rows = new Map();
    /** @type {HTMLElement[]} */
    const nodes = rows.map((row) => {
      const signature = row.kind === "message"
        ? `${row.head}${row.item.status}${row.item.ack ?? ""}${language()}${row.item.error?.code ?? ""}`
        : `${row.kind}${language()}`;
      const known = before.get(row.id);
      const node = known?.signature === signature ? known.node : this.#row(row);
      this.#rows.set(row.id, { node, signature });
      return node;
    });
    this.#place(nodes);
    fill(this.top, conversation.loading ? h("p.quiet", { text: t("older") }) : this.#beginning(items.length));
    if (this.#atEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
    // What was put in front must not move what is being read.
    else if (this.list.firstElementChild !== wasFirst) this.scroller.scrollTop = scrollTop + this.scroller.scrollHeight - scrollHeight;
    this.#scrolled();
  }

  /** Moves only what has to move, so that selections and focus survive. @param {HTMLElement[]} nodes */
  #place(nodes) {
    const wanted = new Set(nodes);
    for (const child of [...this.list.children]) if (!wanted.has(/** @type {HTMLElement} */ (child))) child.remove();
    let at = this.list.firstElementChild;
    for (const node of nodes) {
      if (node === at) at = at.nextElementSibling;
      else this.list.insertBefore(node, at);
    }
  }

  /** @param {number} length */
  #beginning(length) {
    const conversation = this.conversation;
    if (!conversation || !conversation.loaded || conversation.log.more) return null;
    if (length > 0) return h("p.quiet", { text: t("beginning") });
    return h("p.quiet.empty", { text: t(conversation.kind === "r" ? "emptyRoom" : "emptyDirect") });
  }

  /** @param {import("./rows.js").Row} row */
  #row(row) {
    if (row.kind === "day") return h("p.day", {}, h("span", { text: dayName(row.time, Date.now(), language(), { today: t("today"), yesterday: t("yesterday") }) }));
    if (row.kind === "new") return h("p.new", {}, h("span", { text: t("newMessages") }));
    return this.#message(row.item, row.head);
  }

  /** @param {Item} item @param {boolean} head */
  #message(item, head) {
    const me = this.tools.me();
    const own = item.user !== undefined && item.user === me.user;
    const text = typeof item.data === "string" ? item.data : JSON.stringify(item.data, null, 1);
    const names = [...(this.conversation?.members.values() ?? [])];
    const tokens = typeof item.data === "string" ? parse(text, names) : [{ type: /** @type {const} */ ("code"), text }];
    const name = item.from ?? "Parlor";
    const hue = `hue-${hueOf(item.user)}`;
    const body = h(`div.text`, { dir: "auto" }, ...tokens.map((token) => this.#token(token)));
    const mark = this.#mark(item, own);
    const classes = [head ? ".head" : "", own ? ".own" : "", calls(tokens, me.name) ? ".called" : "", item.status === "failed" ? ".failed" : ""].join("");
    return h(
      `article.message${classes}`,
      { "data-offset": item.offset, "aria-label": `${name}, ${clock(item.time)}` },
      head ? h(`span.avatar.${hue}`, { text: initial(name), "aria-hidden": "true" }) : h("span.avatar.none"),
      h(
        "div.body",
        {},
        head ? h("header", {}, h(`strong.name.${hue}`, { text: name }), h("time", { text: clock(item.time), title: moment(item.time, language()) })) : null,
        h("div.line", {}, body, mark),
        item.status === "failed" ? this.#failed(item) : null,
      ),
    );
  }

  /** @param {Item} item @param {boolean} own */
  #mark(item, own) {
    if (!own) return null;
    if (item.status === "sending") return h("span.mark", { text: "○", title: t("sending"), "aria-label": t("sending") });
    if (item.status === "stored") return h("span.mark", { text: item.ack === "none" ? "·" : "✓", title: t("stored"), "aria-label": t("stored") });
    return h("span.mark.danger", { text: "!", title: t("failed"), "aria-label": t("failed") });
  }

  /** @param {Item} item */
  #failed(item) {
    return h(
      "p.failure",
      {},
      h("span", { text: `${t("failed")}: ${item.error?.message ?? ""} ` }),
      h("button.link", { type: "button", text: t("again"), onclick: () => this.tools.again(item) }),
      " ",
      h("button.link", { type: "button", text: t("drop"), onclick: () => this.tools.drop(item) }),
    );
  }

  /** @param {import("./markup.js").Token} token @returns {Node} */
  #token(token) {
    switch (token.type) {
      case "text":
        return document.createTextNode(token.text);
      case "code":
        return h("code", { text: token.text });
      case "block":
        return h("pre", { tabindex: "0" }, h("code", { text: token.text }));
      case "mention":
        return h("span.mention", { text: token.text });
      case "link":
        return h("a", { href: token.href, rel: "noopener noreferrer", target: "_blank", text: token.text });
    }
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    this.jump.hidden = this.#atEnd;
    const unread = this.conversation?.unread ?? 0;
    this.jump.textContent = unread > 0 ? `${t("latest")} (${unread})` : t("latest");
    if (this.#atEnd) this.tools.seen();
    if (scrollTop < 120) this.tools.older();
  }
}
