// Keys: / filter, g and a letter: pages, r refresh, p pause, ? help, Esc leave.
import { refresh, toggle } from "./refresh.js";

let wentAt = 0;

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && isTyping(event.target)) return event.target.blur();
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (Date.now() - wentAt < 1500) {
    wentAt = 0;
    const link = document.querySelector(`nav.pages a[data-key="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
      return;
    }
  }
  const act = ACTS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
}

const ACTS = {
  "/": () => document.querySelector("main form[role=search] :is(input, select)")?.focus(),
  "?": () => document.getElementById("help").showModal(),
  g: () => (wentAt = Date.now()),
  r: () => refresh(),
  p: () => toggle(),
};

export function startKeys() {
  // On a narrow screen the navigation is wider than it: the page that is shown is to be seen there.
  document.querySelector("nav.pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener) document.getElementById(opener.dataset.open).showModal();
    if (event.target.nodeName === "DIALOG" && event.target.id === "help") event.target.close(); // its backdrop
  });
}
