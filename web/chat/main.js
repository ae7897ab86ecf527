// Starts the page: who this is, then the conversations.
import { Parlor } from "../sdk/parlor.js";
import { App } from "./app.js";
import { parseAddress } from "./conversation.js";
import { Emitter } from "../sdk/emitter.js";
import { sentenceFor } from "./i18n.js";
import { listen } from "./listen.js";
import { here, person } from "./prefs.js";
import { mount } from "./shell.js";
import { toast } from "./toast.js";
import { welcome } from "./welcome.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("../sdk/parlor.js").ParlorError} ParlorError */

const { store, own } = person();
const root = document.body;

/** Refusals after which only another name helps. */
const ASK_AGAIN = new Set(["name_taken", "bad_name", "unauthenticated", "token_expired"]);

/** @param {string} [name]  of a newcomer; whoever was here before is known by the token */
async function enter(name) {
  const parlor = new Parlor({ name, store, url: new URL("ws", here()).href });
  const connected = parlor.connect();
  // A newcomer waits at the door until the name is theirs; who comes back is inside at once, even without a server.
  if (name !== undefined) {
    try {
      await connected;
    } catch (error) {
      parlor.close();
      throw error;
    }
  }
  const app = new App(parlor, own);
  listen(app);
  connected.catch((error) => {
    if (!ASK_AGAIN.has(error.code)) return;
    parlor.close();
    parlor.forget();
    welcome(root, enter, { name: own.get("account", { name: "" }).name, error });
  });
  start(app);
}

/** @param {App} app */
function start(app) {
  let unmount = () => {};
  const show = () => {
    unmount();
    app.bus = new Emitter();
    unmount = mount(app, root);
    app.bus.on("language", show);
    app.bus.on("refused", refused);
  };
  const refused = (/** @type {{conversation: Conversation, error: ParlorError}} */ { conversation, error }) => {
    if (error.code === "closed") return;
    toast(error.code === "bad_name" ? error.message : sentenceFor(error));
    if (app.conversations.size > 1) app.close(conversation);
    else conversation.phase = "failed";
    app.changed("talk");
  };
  show();

  addEventListener("popstate", () => {
    const asked = parseAddress(location.hash);
    if (asked) app.open(app.conversation(asked.kind, asked.name));
  });
  for (const event of ["visibilitychange", "focus"]) addEventListener(event, () => app.markSeen(), true);
  // iOS lays its keyboard over the page instead of making it smaller.
  visualViewport?.addEventListener("resize", () => {
    document.documentElement.style.setProperty("--height", `${visualViewport?.height}px`);
  });
}

const isKnown = () => Boolean(own.get("account", { name: "" }).name);

if (isKnown()) enter();
else {
  welcome(root, enter);
  // Another tab of this browser has found a name: this one is the same person.
  const known = () => {
    if (!isKnown() || !document.querySelector(".door")) return;
    removeEventListener("storage", known);
    enter();
  };
  addEventListener("storage", known);
}
