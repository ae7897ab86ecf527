// One bar for the connection: nothing while all is well, else what is, what waits, and one thing to do.
import { h, say } from "./dom.js";
import { words } from "./i18n.js";

/** @typedef {import("./app.js").App} App */

/** A first attempt that takes no longer than this is not worth a word. */
const PATIENCE_MS = 700;

/** @param {App} app */
export function notice(app) {
  const text = h("p");
  const act = h("button", { type: "button", class: "plain", on: { click: () => app.parlor.reconnect() } }, words().tryNow);
  const element = h("div", { class: "notice", role: "status", hidden: true }, h("span", { class: "pulse", "aria-hidden": "true" }), text, act);
  let patient = true;
  let timer = 0;

  const draw = () => {
    const { parlor, outage } = app;
    const { kind, sentence } = told(outage.notice(parlor.waiting, app.isCatchingUp), patient);
    element.hidden = sentence === "";
    element.className = `notice ${kind}`;
    act.hidden = kind !== "down" && kind !== "closed";
    say(text, sentence);
    clearTimeout(timer);
    if (kind === "down") timer = window.setTimeout(draw, 1000);
  };
  app.bus.on("notice", draw);
  setTimeout(() => {
    patient = false;
    draw();
  }, PATIENCE_MS);
  draw();
  return element;
}

/** @param {import("./outage.js").Notice} notice @param {boolean} patient @returns {{kind: string, sentence: string}} */
function told(notice, patient) {
  const t = words();
  switch (notice.kind) {
    case "none":
      return { kind: "none", sentence: "" };
    case "connecting":
      return { kind: "connecting", sentence: patient ? "" : t.connecting };
    case "down": {
      const left = notice.retryAt === undefined ? 0 : Math.ceil((notice.retryAt - Date.now()) / 1000);
      const when = left > 0 ? t.tryingAgain(left) : t.tryingNow;
      return { kind: "down", sentence: [t.lost, notice.waiting > 0 ? t.waits(notice.waiting) : t.keepWriting, when].join(t.gap) };
    }
    case "back": {
      const parts = [t.backAgain, ...notice.notRecovered.map(t.notRecovered)];
      const whole = !notice.catching && notice.notRecovered.length === 0;
      if (whole || notice.caught > 0) parts.push(t.caughtUp(notice.caught));
      if (notice.resent > 0) parts.push(t.sentWaiting(notice.resent));
      return { kind: "back", sentence: parts.join(t.gap) };
    }
    case "closed": {
      const own = /** @type {{[key: string]: unknown}} */ (t)[`closed_${notice.code}`];
      return { kind: "closed", sentence: typeof own === "string" ? own : t.closed_other(notice.reason || String(notice.code)) };
    }
  }
}
