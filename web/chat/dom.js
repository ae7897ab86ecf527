// Making and updating elements. Text only ever becomes text nodes; there is no way to hand HTML in.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {{[name: string]: any, on?: {[event: string]: (event: any) => void}}} Props */

/**
 * An element: `on` holds listeners, `class` the class, `hidden`, `disabled`, `value` and the like are properties,
 * everything else is an attribute; false, null and undefined leave it out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Props} [props] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, listen] of Object.entries(value)) element.addEventListener(event, listen);
    else set(element, name, value);
  }
  element.append(...children.flatMap(nodesOf));
  return element;
}

/** @param {Element} element @param {string} name @param {any} value */
export function set(element, name, value) {
  if (name === "class") element.className = value ?? "";
  else if (name in element && (typeof value === "boolean" || name === "value")) /** @type {any} */ (element)[name] = value;
  else if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : String(value));
}

/** @param {Child} child @returns {Node[]} */
function nodesOf(child) {
  if (child === null || child === undefined || child === false) return [];
  return [child instanceof Node ? child : document.createTextNode(String(child))];
}

/** Puts a text where another was, and touches nothing if it is the same. @param {Node} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of `parent` stand for `items` in their order, keeping the elements of those that stay, and with
 * them focus, selection and scroll position.
 * @template Item
 * @param {Element} parent @param {Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item, element: HTMLElement | undefined) => HTMLElement} draw  makes an element, or brings one up to date
 */
export function keyed(parent, items, keyOf, draw) {
  const old = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, /** @type {HTMLElement} */ (child)]));
  /** @type {Element | null} */
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const before = old.get(key);
    old.delete(key);
    const element = draw(item, before);
    element.dataset.key = key;
    if (before && before !== element) before.replaceWith(element);
    if (before === next && before) next = element.nextElementSibling;
    else if (element !== next) parent.insertBefore(element, next);
    else next = element.nextElementSibling;
  }
  for (const gone of old.values()) gone.remove();
}

/** The paths of the page's few icons, drawn in a square of 24. */
const ICONS = {
  back: "M15 5l-7 7 7 7",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  people: "M9 11a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM2.5 20c.6-3.6 3.2-5.5 6.5-5.5s5.9 1.9 6.5 5.5M16 4.3a3.5 3.5 0 010 6.4M18 14.8c1.9.8 3.100 2.600 3.5 5.200",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
  clock: "M12 7.5V12l3 2M20 12a8 8 0 11-16 0 8 8 0 0116 0z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  alert: "M12 8v5M12 16.5v.01M20.5 12a8.5 8.5 0 11-17 0 8.5 8.5 0 0117 0z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  qr: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2M20 14v2M14 20h2M18 18h2v2",
};

/** @param {keyof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button with an icon and a name for those who cannot see it.
 * @param {keyof ICONS} name @param {string} label @param {(event: MouseEvent) => void} run @param {Props} [props]
 */
export function iconButton(name, label, run, props = {}) {
  return h("button", { type: "button", ...props, class: `icon-button ${props.class ?? ""}`, "aria-label": label, title: label, on: { click: run } }, icon(name));
}
