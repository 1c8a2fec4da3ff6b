// Filters apply as they are changed, and stand in the address: without this script by the button.
import { refresh } from "./refresh.js";

function apply(form) {
  const url = new URL(form.getAttribute("action") || location.pathname, location.href);
  for (const [name, value] of new FormData(form)) {
    if (value !== "") url.searchParams.append(name, value);
  }
  if (url.href === location.href) return; // Enter both changes a field and submits its form
  history.pushState(null, "", url);
  refresh(url.href);
}

export function startFilters() {
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[role=search]")) return;
    event.preventDefault();
    if (event.target.contains(document.activeElement)) document.activeElement.blur(); // typed to its end
    apply(event.target);
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[role=search]");
    if (form && form.reportValidity()) apply(form);
  });
  addEventListener("popstate", () => location.reload());
}
