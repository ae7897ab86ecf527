// From messages to what is shown: a line for each day, one for what is new, and groups of one author.
import { dayOf } from "./time.js";

/** @typedef {import("./log.js").Item} Item */
/**
 * @typedef {{kind: "day", id: string, time: number}
 *   | {kind: "new", id: string}
 *   | {kind: "message", id: string, item: Item, head: boolean}} Row
 */

/** Messages of one author within this time stand under one name. */
const GROUP_MS = 5 * 60_000;

/**
 * @param {Item[]} items  in their order
 * @param {number | undefined} newAfter  the "new messages" line stands behind this offset
 * @returns {Row[]}
 */
export function rowsOf(items, newAfter) {
  /** @type {Row[]} */
  const rows = [];
  /** @type {Item | undefined} */
  let before;
  let marked = newAfter === undefined;
  for (const item of items) {
    const newDay = before === undefined || dayOf(before.time) !== dayOf(item.time);
    if (newDay) rows.push({ kind: "day", id: `day-${dayOf(item.time)}-${item.id}`, time: item.time });
    const isNew = !marked && item.offset !== undefined && item.offset > (newAfter ?? 0);
    if (isNew) rows.push({ kind: "new", id: "new" });
    marked ||= isNew;
    const head = newDay || isNew || !sameGroup(/** @type {Item} */ (before), item);
    rows.push({ kind: "message", id: item.id, item, head });
    before = item;
  }
  return rows;
}

/**
 * Behind which offset the "new messages" line stands, if `unread` messages of others are new.
 * @param {Item[]} items @param {number} unread @param {string | undefined} me
 * @returns {number | undefined}
 */
export function newLine(items, unread, me) {
  if (unread <= 0) return undefined;
  let left = unread;
  for (let at = items.length - 1; at >= 0; at--) {
    const { offset, user } = items[at];
    if (offset === undefined || user === me) continue;
    if (--left === 0) return offset - 1;
  }
  const first = items.find(({ offset }) => offset !== undefined)?.offset;
  return first === undefined ? undefined : first - 1;
}

/** @param {Item} before @param {Item} item */
function sameGroup(before, item) {
  return before.user === item.user && before.from === item.from && item.time - before.time < GROUP_MS;
}
