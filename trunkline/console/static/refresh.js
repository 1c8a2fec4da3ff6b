// Show what is new, every few seconds; not while you select, type, have a dialog open or look away.
import { morph } from "./morph.js";

let changed = () => {};
let stopped = false; // by the button
let failedSince = 0;
let asking = null;

export function startRefreshing(afterChange) {
  changed = afterChange;
  const everyMs = Number(document.body.dataset.refreshS) * 1000;
  document.getElementById("live")?.addEventListener("click", toggle);
  if (!everyMs) return;
  setInterval(() => {
    show();
    if (!whyHeld()) refresh();
  }, everyMs);
  setInterval(show, 500);
  document.addEventListener("visibilitychange", () => !document.hidden && !whyHeld() && refresh());
}

export function toggle() {
  if (!document.getElementById("live")) return;
  stopped = !stopped;
  show();
  if (!stopped) refresh();
}

// Fetch the page that the address bar shows, and put its content in the place of ours.
export async function refresh(url = location.href) {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const response = await fetch(url, { signal: mine.signal, headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (response.redirected && new URL(response.url).pathname === "/console/sign-in") {
      location.href = response.url;
      return;
    }
    const text = await response.text();
    if (mine.signal.aborted) return;
    put(new DOMParser().parseFromString(text, "text/html"));
    failedSince = 0;
  } catch (error) {
    if (error.name !== "AbortError" && !failedSince) failedSince = Date.now();
  }
  show();
}

function put(page) {
  const fresh = page.getElementById("main");
  if (!fresh) return;
  morph(document.getElementById("main"), fresh);
  const [ours, theirs] = [document, page].map((tree) => tree.querySelector("[data-api]"));
  if (ours && theirs) ours.setAttribute("href", theirs.getAttribute("href"));
  document.title = page.title;
  changed();
}

function whyHeld() {
  if (stopped) return "Stopped";
  if (document.hidden) return "Hidden";
  if (document.querySelector("dialog[open]")) return "Held: dialog";
  const active = document.activeElement;
  if (active?.matches("main input:not([type=checkbox], [type=radio]), main textarea, main select")) return "Held: typing";
  if (document.querySelector("main :is(input[type=checkbox][data-select]):checked")) return "Held: selection";
  const selection = getSelection();
  if (selection && !selection.isCollapsed && document.getElementById("main").contains(selection.anchorNode)) return "Held: selection";
  return "";
}

function show() {
  const button = document.getElementById("live");
  if (!button) return;
  const held = whyHeld();
  const lostS = failedSince ? Math.round((Date.now() - failedSince) / 1000) : 0;
  button.classList.toggle("held", Boolean(held));
  button.classList.toggle("lost", !held && lostS > 0);
  button.setAttribute("aria-pressed", String(!stopped));
  const text = held || (lostS ? `No answer for ${lostS} s` : "Live");
  const label = document.getElementById("live-text");
  if (label.textContent !== text) label.textContent = text;
}
