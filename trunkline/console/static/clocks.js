// Ages and countdowns tick between two refreshes.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function duration(seconds) {
  let left = Math.round(Math.abs(seconds));
  if (left < 1) return "0 s";
  const parts = [];
  for (const [length, unit] of UNITS) {
    if (left >= length && parts.length < 2) {
      parts.push(`${Math.floor(left / length)} ${unit}`);
      left %= length;
    } else if (parts.length) break;
  }
  return parts.join(" ");
}

function tick() {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of document.querySelectorAll("time.tick")) {
    const { age, countdown } = element.dataset;
    const left = Number(countdown) - now;
    const text = age ? `${duration(Math.max(0, now - Number(age)) / 1000)} ago` : left > 0 ? `in ${duration(left / 1000)}` : "now";
    if (element.textContent !== text) element.textContent = text;
  }
}

export function startClocks() {
  setInterval(tick, 1000);
}
