// Light or dark: as the reader's system says, or as the button was set. In the head, without
// `defer`: the page must not flash in the other colours first.
"use strict";
(function () {
  const KEY = "replab-theme";
  const CHOICES = ["auto", "light", "dark"];
  const root = document.documentElement;
  function stored() {
    try {
      const choice = localStorage.getItem(KEY);
      return CHOICES.includes(choice) ? choice : "auto";
    } catch (error) {
      // Some browsers refuse storage to local files; the button then lasts for the page.
      return root.dataset.theme || "auto";
    }
  }
  function apply(choice) {
    root.dataset.theme = choice;
    const button = document.querySelector("button.theme b");
    if (button) button.textContent = choice;
  }
  apply(stored());
  document.addEventListener("DOMContentLoaded", function () {
    const button = document.querySelector("button.theme");
    button.hidden = false;
    apply(root.dataset.theme);
    button.addEventListener("click", function () {
      const next = CHOICES[(CHOICES.indexOf(root.dataset.theme) + 1) % CHOICES.length];
      try {
        localStorage.setItem(KEY, next);
      } catch (error) {
        console.info("the choice cannot be kept: " + error.message);
      }
      apply(next);
    });
    // On a phone the list of contents would push the text off the first screen.
    const contents = document.querySelector("nav.toc details");
    if (contents && matchMedia("(max-width: 70rem)").matches) contents.open = false;
  });
  // Folded parts are part of the paper.
  addEventListener("beforeprint", function () {
    document.querySelectorAll("main details:not([open])").forEach(function (part) {
      part.open = true;
      part.dataset.printed = "";
    });
  });
  addEventListener("afterprint", function () {
    document.querySelectorAll("details[data-printed]").forEach(function (part) {
      part.open = false;
      delete part.dataset.printed;
    });
  });
})();
