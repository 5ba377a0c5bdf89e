// Charts by Chart.js, where the machine has it (Debian: libjs-chart.js); without it the tables say the same.

import { colour, quiet } from "./dom.mjs";

export function chart(canvas, type, labels, datasets) {
  if (!globalThis.Chart) {
    canvas.parentElement.replaceWith(quiet("No chart: this validator's machine has no Chart.js (apt install libjs-chart.js). The table shows the same."));
    return;
  }
  const axis = { ticks: { color: colour("quiet"), maxRotation: 0, autoSkipPadding: 12 }, grid: { color: colour("line") } };
  new Chart(canvas, {
    type,
    // A bar is narrower than two borders: it would be all border, and nothing of its colour.
    data: { labels, datasets: datasets.map((each) => ({ borderWidth: type === "bar" ? 0 : 2, tension: 0, ...each })) },
    options: {
      animation: false, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
      scales: { x: axis, y: axis }, plugins: { legend: { labels: { color: colour("ink"), boxWidth: 14 } } },
    },
  });
}
