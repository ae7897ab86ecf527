// Who is here: on the right, or behind the count in the header of a narrow page.
import { h, keyed, say } from "./dom.js";
import { avatar } from "./face.js";
import { words } from "./i18n.js";
import { showInvite } from "./invite.js";

/** @typedef {import("./app.js").App} App */

/** @param {App} app @param {() => void} done  called when a person was chosen */
export function people(app, done) {
  const t = words();
  const heading = h("h2", {});
  const list = h("ul", { class: "members" });
  const more = h("p", { class: "hint" });
  const alone = h(
    "div",
    { class: "alone" },
    h("p", {}, t.alone),
    h("a", { class: "button", href: "?new", target: "_blank", rel: "noopener" }, t.asSomebodyElse),
    h("button", { type: "button", class: "button", on: { click: () => showInvite(app) } }, t.invite),
  );
  const element = h("div", { class: "people" }, heading, list, more, alone);

  const draw = () => {
    const { current, parlor } = app;
    const members = current.kind === "r" ? [...current.members] : [];
    members.sort(([a, left], [b, right]) => Number(b === parlor.user) - Number(a === parlor.user) || left.localeCompare(right));
    say(heading, current.kind === "d" ? "" : current.count === 1 ? t.onlyYou : t.here(current.count));
    keyed(list, members, ([user]) => user, ([user, name], old) => old ?? member(app, user, name, done));
    const rest = current.kind === "r" ? current.count - members.length : 0;
    more.hidden = rest <= 0;
    say(more, rest > 0 ? t.andMore(rest) : "");
    alone.hidden = current.kind !== "r" || current.count > 1 || parlor.state.phase !== "open";
  };
  app.bus.on("people", draw);
  app.bus.on("notice", draw);
  draw();
  return element;
}

/** @param {App} app @param {string} user @param {string} name @param {() => void} done */
function member(app, user, name, done) {
  const t = words();
  if (user === app.parlor.user) {
    return h("li", { class: "member" }, h("span", { class: "person" }, avatar(user, name, "small"), h("span", { class: "person-name" }, name), h("span", { class: "quiet" }, t.you)));
  }
  const write = () => {
    const talk = app.conversation("d", name);
    talk.user = user;
    done();
    app.open(talk);
    app.bus.emit("compose", undefined);
  };
  return h(
    "li",
    { class: "member" },
    h("button", { type: "button", class: "person", title: t.writeTo(name), on: { click: write } }, avatar(user, name, "small"), h("span", { class: "person-name" }, name)),
  );
}
