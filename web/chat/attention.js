// A sound and a notification for what arrives out of sight, for those who asked for them.
import { recall } from "./strings.js";

/** @type {AudioContext | undefined} */
let audio;

/** @param {string} where @param {string} from @param {string} text @param {() => void} open */
export function attract(where, from, text, open) {
  if (recall("sound") === "on") ring();
  if (recall("notify") !== "on" || !("Notification" in window) || Notification.permission !== "granted") return;
  const notice = new Notification(`${from} · ${where}`, { body: text.slice(0, 200), tag: where });
  notice.onclick = () => {
    window.focus();
    open();
    notice.close();
  };
}

/** Two soft notes, made here: no file to load. */
function ring() {
  audio ??= new AudioContext();
  const { currentTime, destination } = audio;
  for (const [at, pitch] of [[0, 660], [0.12, 880]]) {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.06, currentTime + at);
    volume.gain.exponentialRampToValueAtTime(0.0001, currentTime + at + 0.25);
    tone.connect(volume).connect(destination);
    tone.start(currentTime + at);
    tone.stop(currentTime + at + 0.3);
  }
}
