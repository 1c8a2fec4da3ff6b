// Charts over time, by uPlot, in the page's colours; redrawn when their data or their width change.
const drawn = new WeakMap(); // element → {plot, text}
const watching = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const known = drawn.get(target);
    if (known && contentRect.width) known.plot.setSize({ width: contentRect.width, height: HEIGHT });
  }
});
const HEIGHT = 180;
const KINDS = ["accent", "ok", "warn", "bad", "idle"];

export function drawCharts() {
  for (const element of document.querySelectorAll("[data-chart]")) draw(element);
}

function draw(element) {
  const text = element.dataset.chart;
  const known = drawn.get(element);
  if (known?.text === text || typeof uPlot === "undefined") return;
  const chart = JSON.parse(text);
  const data = [chart.x, ...chart.series.map((series) => series.values)];
  if (known && known.plot.series.length === data.length) {
    known.plot.setData(data);
    known.text = text;
    return;
  }
  known?.plot.destroy();
  const plot = new uPlot(options(element, chart), data, element);
  drawn.set(element, { plot, text });
  watching.observe(element);
}

function options(element, chart) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const axis = { stroke: () => colour("muted"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { stroke: () => colour("line") }, font: "12px system-ui" };
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false }, // the page has its own, outside of the plot
    cursor: { y: false },
    scales: {
      x: { range: (_, low, high) => (high > low ? [low, high] : [Date.now() / 1000 - 60, Date.now() / 1000]) }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, 1) * 1.05] } },
    axes: [{ ...axis, values: clock }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => `${short(tick)}${chart.unit ?? ""}`) }],
    series: [
      {},
      ...chart.series.map((series, index) => ({
        label: series.label,
        stroke: () => colour(KINDS.includes(series.kind) ? series.kind : KINDS[index % KINDS.length]),
        width: 1.5,
        dash: index ? [6, 3] : undefined,
        points: { show: false },
      })),
    ],
  };
}

// UTC, as all other times of the pages.
function clock(_, ticks) {
  const from = ticks.length > 1 && ticks[1] - ticks[0] < 60 ? 19 : 16;
  return ticks.map((tick) => new Date(tick * 1000).toISOString().slice(11, from));
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toFixed(1)}M`;
  return size >= 1e4 ? `${+(value / 1e3).toFixed(1)}k` : `${+value.toFixed(2)}`;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll("[data-chart]")) drawn.get(element)?.plot.redraw();
});
