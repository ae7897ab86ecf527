// Runs before the first paint: light or dark, and the language, so that nothing flashes.
(function () {
  "use strict";
  /** @param {string} name */
  function saved(name) {
    try {
      return JSON.parse(localStorage.getItem("parlor." + name) || "null");
    } catch {
      return null;
    }
  }
  var dark = matchMedia("(prefers-color-scheme: dark)");
  function paint() {
    var wish = saved("scheme");
    var scheme = wish === "light" || wish === "dark" ? wish : dark.matches ? "dark" : "light";
    document.documentElement.dataset.scheme = scheme;
  }
  var wanted = saved("language") || (navigator.languages || [navigator.language]).find(function (tag) { return /^(zh|en)/i.test(tag); });
  document.documentElement.lang = /^zh/i.test(wanted || "") ? "zh" : "en";
  dark.addEventListener("change", paint);
  addEventListener("parlor-scheme", paint);
  paint();
})();
