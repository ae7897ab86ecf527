// Above the conversation: where one is, who is here, what the connection does when it is not simply connected.
import { h, icon, iconButton, say } from "./dom.js";
import { words } from "./i18n.js";
import { isHere } from "./sidebar.js";

/** @typedef {import("./app.js").App} App */

/**
 * @param {App} app
 * @param {import("./shell.js").Shell} shell
 */
export function header(app, shell) {
  const t = words();
  const name = h("h2", { class: "where" });
  const count = h("span");
  const people = h("button", { type: "button", class: "count", "aria-label": t.peopleHere, title: t.peopleHere, on: { click: shell.showPeople } }, icon("people"), count);
  const person = h("span", { class: "presence" });
  const talk = h("button", { type: "button", class: "talk-from", "aria-label": t.talkFrom, title: t.talkFrom, on: { click: shell.showTalkFrom } }, icon("code"), h("span", {}, t.talkFromShort));
  const element = h("header", { class: "bar" }, iconButton("back", t.back, shell.showList, { class: "to-list" }), name, person, h("span", { class: "space" }), people, talk);

  const draw = () => {
    const { current } = app;
    say(name, current.name);
    people.hidden = current.kind === "d" || current.count === 0;
    say(count, String(current.count));
    people.setAttribute("aria-label", current.count === 1 ? t.onlyYou : t.here(current.count));
    person.hidden = current.kind === "r";
    const here = current.kind === "d" && isHere(app, current);
    person.classList.toggle("here", here);
    say(person, here ? t.personHere : t.personAway);
  };
  app.bus.on("people", draw);
  app.bus.on("talk", draw);
  draw();
  return element;
}
