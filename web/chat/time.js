// Times as people read them, in the reader's language and time zone.

/** A number for the local day of a time, to compare days. @param {number} time */
export function dayOf(time) {
  const date = new Date(time);
  return date.getFullYear() * 10_000 + (date.getMonth() + 1) * 100 + date.getDate();
}

/** "14:05": the same width everywhere. @param {number} time */
export function clock(time) {
  const date = new Date(time);
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}

/**
 * "Today", "Yesterday", or the date; the year only when it is another one.
 * @param {number} time @param {number} now @param {string} language
 * @param {{today: string, yesterday: string}} words
 */
export function dayName(time, now, language, words) {
  if (dayOf(time) === dayOf(now)) return words.today;
  const yesterday = new Date(now);
  yesterday.setDate(yesterday.getDate() - 1);
  if (dayOf(time) === dayOf(yesterday.getTime())) return words.yesterday;
  const year = new Date(time).getFullYear() === new Date(now).getFullYear() ? undefined : "numeric";
  return new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long", year }).format(time);
}

/** The whole moment, for who wants to know exactly. @param {number} time @param {string} language */
export function moment(time, language) {
  return new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "medium" }).format(time);
}
