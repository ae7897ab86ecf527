// What opens over the page: joining a room, other ways to talk to it, keys, the code for a phone.
import { copy, h } from "./dom.js";
import { qr } from "./qr.js";
import { t } from "./strings.js";

/**
 * @param {string} title @param {...(Node | null)} content
 * @returns {HTMLDialogElement}
 */
function dialog(title, ...content) {
  const close = h("button.icon", { type: "button", text: "×", "aria-label": t("close"), onclick: () => box.close() });
  const box = /** @type {HTMLDialogElement} */ (
    h("dialog", { "aria-label": title, onclose: () => box.remove() }, h("header", {}, h("h2", { text: title }), close), ...content)
  );
  box.addEventListener("click", (event) => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}

/**
 * @param {(room: string) => void} join
 * @param {Promise<Array<{room: string, count: number}>>} known
 */
export function askRoom(join, known) {
  const input = /** @type {HTMLInputElement} */ (h("input", { "aria-label": t("joinName"), placeholder: t("joinName"), maxlength: "200" }));
  const list = h("ul.choices");
  const go = (/** @type {string} */ room) => {
    if (room === "") return;
    box.close();
    join(room);
  };
  const form = h("form.row", { onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), go(input.value.trim())) }, input, h("button.primary", { text: t("joinGo") }));
  const box = dialog(t("join"), form, h("h3", { text: t("known") }), list);
  input.focus();
  known.then((rooms) => {
    for (const { room, count } of rooms) {
      list.append(h("li", {}, h("button.choice", { type: "button", onclick: () => go(room) }, h("span", { text: room }), h("span.quiet", { text: String(count) }))));
    }
  }, () => {});
}

/** Lines that work today, for the open room. @param {string} room */
export function talkFrom(room) {
  const host = location.host;
  const name = JSON.stringify(room);
  const query = encodeURIComponent(room);
  const lines = [
    [t("console"), `ws = new WebSocket(\`ws://\${location.host}/ws?name=ann&room=${query}\`); ws.onmessage = e => console.log(e.data)\nws.send('{"type":"publish","room":${name},"data":"hi"}')`],
    [t("curl"), `curl ${location.origin}/api/publish -H "Authorization: Bearer $(cat parlor-data/api.key)" -d '{"room":${name},"data":"sold"}'`],
    [t("python"), `import asyncio, websockets\n\nasync def main():\n    async with websockets.connect("ws://${host}/ws?name=py&room=${query}") as ws:\n        await ws.send('{"type":"publish","room":${name},"data":"hi"}')\n        async for message in ws:\n            print(message)\n\nasyncio.run(main())`],
  ];
  const parts = lines.map(([title, text]) => {
    const button = h("button", { type: "button", text: t("copy"), onclick: async () => (button.textContent = t((await copy(text)) ? "copied" : "copy")) });
    return h("section.way", {}, h("header", {}, h("h3", { text: title }), button), h("pre", { tabindex: "0" }, h("code", { text })));
  });
  dialog(t("talk"), ...parts).classList.add("wide");
}

export function showKeys() {
  const rows = [
    ["Enter", t("keySend")],
    ["Alt+↑ Alt+↓", t("keyNext")],
    ["Ctrl+K", t("keyJoin")],
    ["Ctrl+J", t("keyTalk")],
    ["Esc", t("keyEscape")],
    ["?", t("keyHelp")],
  ];
  dialog(t("keys"), h("dl.keys", {}, ...rows.flatMap(([key, what]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })])));
}

/** The page's address on this network, as a code for a camera. @param {string} url */
export function showCode(url) {
  const cells = qr(url);
  const quiet = 4;
  const size = cells.length + 2 * quiet;
  const scale = 6;
  const canvas = /** @type {HTMLCanvasElement} */ (h("canvas.code", { width: size * scale, height: size * scale, role: "img", "aria-label": url }));
  const pen = canvas.getContext("2d");
  if (pen) {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, size * scale, size * scale);
    pen.fillStyle = "#000";
    cells.forEach((row, y) => row.forEach((dark, x) => dark && pen.fillRect((x + quiet) * scale, (y + quiet) * scale, scale, scale)));
  }
  dialog(t("scan"), canvas, h("p", {}, h("a", { href: url, text: url })));
}
