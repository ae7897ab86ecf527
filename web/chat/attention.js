// Calling a reader who looks elsewhere: title, sound, notification, and words for screen readers.
import { h } from "./dom.js";
import { settings } from "./prefs.js";

/** Lines kept for screen readers; they read each as it comes. */
const ANNOUNCED = 10;

/** Read out, never seen. */
const voice = h("div", { class: "unseen", role: "log", "aria-live": "polite" });

/** @type {AudioContext | undefined} */
let audio;

/** The element that screen readers listen to; the page keeps it. */
export function voiceElement() {
  return voice;
}

/** @param {string} text */
export function announce(text) {
  voice.append(h("p", {}, text.slice(0, 500)));
  while (voice.childElementCount > ANNOUNCED) voice.firstElementChild?.remove();
}

/**
 * Something was written that nobody is looking at.
 * @param {{where: string, from: string, text: string, called: boolean, open: () => void}} news  `called`: it is for this
 *   person in particular
 */
export function attract({ where, from, text, called, open }) {
  if (settings.sound) ring();
  if (!settings.notify || !called || !canNotify() || Notification.permission !== "granted" || document.hasFocus()) return;
  const notice = new Notification(from === where ? from : `${from} · ${where}`, { body: text.slice(0, 200), tag: where, icon: "chat/icon.svg" });
  notice.onclick = () => {
    window.focus();
    open();
    notice.close();
  };
}

/** Browsers give notifications to secure pages only. */
export function canNotify() {
  return globalThis.isSecureContext && "Notification" in globalThis;
}

/** Two soft notes, made here: no file to load. */
export function ring() {
  audio ??= new AudioContext();
  for (const [at, pitch] of [[0, 587], [0.11, 784]]) {
    const start = audio.currentTime + at;
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, start);
    volume.gain.exponentialRampToValueAtTime(0.06, start + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.3);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.32);
  }
}
