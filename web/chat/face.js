// How a person is shown: a letter on a colour of one's own, and a name in that colour.
import { h } from "./dom.js";
import { hueOf, initial } from "./hue.js";

/** @param {string | undefined} user @param {string} name @param {string} [size] */
export function avatar(user, name, size = "") {
  return h("span", { class: `avatar hue-${hueOf(user ?? name)} ${size}`, "aria-hidden": "true" }, initial(name));
}

/** @param {string | undefined} user */
export function hueClass(user) {
  return user === undefined ? "" : `hue-${hueOf(user)}`;
}

/** The page's own sign. */
export function logo() {
  return [h("img", { src: "chat/icon.svg", alt: "", width: "28", height: "28" }), "Parlor"];
}
