// A meter's days: what was counted in each interval, as a chart and as a table of readings.

import { clockOf, colour, count, dayOf, energy, facts, h, link, path, quiet, span, table } from "./dom.mjs";
import { all, json, keepSecret, secretOf } from "./api.mjs";
import { chart } from "./chart.mjs";
import { statusWords } from "./words.mjs";

const DAY = 86_400;

export async function meters() {
  const rows = await all("registry/meters?most=500");
  return {
    body: [
      h("h1", {}, "Meters"),
      h("p", {}, `${count(rows.length)} meters are registered. Where readings are private, a meter's days open with its holder's link only: it stands on the commissioning report.`),
      table(["Meter", "Zone", "Node", "Role", "Read by", "Signs itself"], rows.map((each) => [
        link(path("meter", each.id), each.id), link(path("zone", each.zone), each.zone), each.node, each.role, each.reader, each.signs ? "yes" : "no: its reader does",
      ])),
    ],
  };
}

// Routes: meter/ID, and meter/ID/day/START for another day than the newest.
export async function meter(id, _day = null, at = null) {
  const entry = await json(`registry/meters/${encodeURIComponent(id)}`);
  const about = entry.meter;
  const head = [
    h("h1", {}, `Meter ${id}`),
    facts([
      ["Where", h("span", {}, `node ${about.node}, zone `, link(path("zone", about.zone), about.zone), `, ${about.role}`)],
      ["Key", about.key ? h("span", { class: "hash" }, about.key) : `none of its own: gateway ${about.reader} signs for it`],
    ]),
  ];
  let newest;
  try {
    newest = await newestReading(id);
  } catch (reason) {
    if (reason.status !== 401) throw reason;
    return { body: [...head, holderForm(id)] };
  }
  if (newest === null) return { body: [...head, quiet("It has no accepted reading yet.")] };
  const day = at === null ? Math.floor(newest.interval_start_s / DAY) * DAY : Number(at);
  const page = await json(`readings/${encodeURIComponent(id)}?from_s=${day}&until_s=${day + DAY}&most=200`, id);
  const canvas = h("canvas", { role: "img", "aria-label": `Import and export of ${dayOf(day)} by interval; the table below has the numbers` });
  const rows = page.items.map((each) => [
    link(path("reading", id, each.sequence), clockOf(each.interval_start_s)), count(each.import_advance_wh), count(each.export_advance_wh),
    count(each.import_wh), count(each.export_wh), statusWords(each.status).join(", ") || null, count(each.sequence),
  ]);
  const sum = (name) => energy(page.items.reduce((total, each) => total + each[name], 0));
  return {
    body: [
      ...head,
      h("h2", {}, dayOf(day)),
      h("p", { class: "row" }, link(path("meter", id, "day", day - DAY), "← day before"), link(path("meter", id, "day", day + DAY), "day after →"), link(path("meter", id), "newest")),
      h("p", {}, `${page.items.length} readings: taken ${sum("import_advance_wh")}, given ${sum("export_advance_wh")}.`),
      h("div", { class: "card" }, h("div", { class: "chart" }, canvas)),
      page.items.length ? table(["Interval (UTC)", "#Taken, Wh", "#Given, Wh", "#Import register", "#Export register", "The meter says", "#Sequence"], rows) : quiet("No reading of this day."),
    ],
    drawn: () => chart(canvas, "bar", page.items.map((each) => clockOf(each.interval_start_s)), [
      { label: "taken, Wh", data: page.items.map((each) => each.import_advance_wh), backgroundColor: colour("import") },
      { label: "given, Wh", data: page.items.map((each) => -each.export_advance_wh), backgroundColor: colour("export") },
    ]),
  };
}

async function newestReading(id) {
  const status = await json("status");
  for (const days of [2, 40, 40_000]) {
    const from = Math.max(0, Math.floor(status.time_ms / 1000) - days * DAY);
    let found = await json(`readings/${encodeURIComponent(id)}?from_s=${from}&most=500`, id);
    while (found.next !== null) found = await json(`readings/${encodeURIComponent(id)}?after=${found.next}&most=500`, id);
    if (found.items.length) return found.items.at(-1);
  }
  return null;
}

function holderForm(id) {
  const field = h("input", { id: "secret", autocomplete: "off", size: 50, spellcheck: "false" });
  const open = () => {
    keepSecret(id, field.value.trim().split(/[/=]/).at(-1));
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return h("div", { class: "card" }, h("p", {}, "A household's days are its own: they open with its holder's link, which stands on the meter's commissioning report."),
    secretOf(id) ? h("p", { class: "broken" }, "The link that was given here does not open this meter: it is another meter's, or has been replaced.") : null,
    h("p", { class: "row" }, h("label", { for: "secret" }, "Holder's link"), field, h("button", { class: "main", onclick: open }, "Open")));
}
