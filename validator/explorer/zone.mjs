// Zones: the feeder as a drawing with its flows and its verdict, and the verdicts of a day.

import { clockOf, colour, count, energy, facts, h, link, mark, path, quiet, s, sliding, span, table, verdict } from "./dom.mjs";
import { json } from "./api.mjs";
import { change } from "./changes.mjs";
import { chart } from "./chart.mjs";
import { MEANINGS } from "./words.mjs";

const WINDOWS = 96;

export async function zones() {
  const found = await json("zones");
  const rows = found.map((each) => [
    link(path("zone", each.id), each.id), verdict(each.seal?.verdict), each.seal && span(each.seal.start_s, each.seal.end_s),
    each.seal && energy(each.seal.residual_wh), each.seal && energy(each.seal.band_wh), each.operator, each.parent || null, count(each.meters),
  ]);
  return {
    body: [
      h("h1", {}, "Zones"),
      h("p", {}, "A zone is a part of the grid whose energy must add up: what its boundary meters let in is what its customers used, and what its lines lost."),
      table(["Zone", "Newest verdict", "Window", "#Residual", "#Band", "Operator", "Inside", "#Meters"], rows),
    ],
  };
}

export async function zone(name, start = null) {
  const drawing = await json(`zones/${encodeURIComponent(name)}`);
  if (!drawing.seal) {
    return { body: [h("h1", {}, `Zone ${name}`), quiet("No window of this zone has been judged yet."), feeder(drawing, null)] };
  }
  const length = drawing.seal.end_s - drawing.seal.start_s;
  const first = Math.max(0, Math.min(Number(start ?? Infinity), drawing.seal.start_s) - (WINDOWS / 2) * length);
  const from = start === null ? Math.max(0, drawing.seal.start_s - (WINDOWS - 1) * length) : first;
  const { items: seals } = await json(`zones/${encodeURIComponent(name)}/seals?after=${from - 1}&most=${WINDOWS}`);
  const seal = seals.find((each) => each.start_s === Number(start)) ?? seals.at(-1) ?? drawing.seal;
  const flows = await json(`zones/${encodeURIComponent(name)}/flows?start_s=${seal.start_s}`).catch(() => null);
  const cases = await casesSince(name, Math.min(from, seal.start_s));
  const own = cases.find((each) => each.start_s === seal.start_s);
  const canvas = h("canvas", { role: "img", "aria-label": "Residual of each window between the least and the most that the lines can lose" });
  const body = [
    h("h1", {}, `Zone ${name}`),
    h("p", {}, verdict(seal.verdict), `, ${span(seal.start_s, seal.end_s)}: ${MEANINGS[seal.verdict]}. `, await settlement(own)),
    facts([
      ["Lost on the way", `${energy(seal.residual_wh)}; the lines must lose at least ${energy(seal.loss_low_wh)} and at most ${energy(seal.loss_high_wh)}`],
      ["Band", `${energy(seal.band_wh)} wide, by the losses and what meters may be wrong by: what stays within it this zone cannot see`],
      ...(seal.overloaded?.length ? [["Overloaded", h("b", { class: "broken" }, seal.overloaded.join(", "))]] : []),
      ...(seal.marked ? [["Marked", `${seal.marked} meters say themselves that they are faulty or were tampered with`]] : []),
      ["Meters in", `${count(seal.inputs)}, ${seal.coverage_ppm / 10_000} %`],
      ["Sealed in", h("span", {}, link(`block/${seal.height}`, `block ${count(seal.height)}`), seal.revision ? `, revision ${seal.revision}` : "")],
    ]),
    feeder(drawing, flows, seal.overloaded),
    flows ? null : quiet("Flows are sums of households' readings; on this network they are not public."),
    ...(cases.length ? [h("h2", {}, "Cases of these windows"), caseTable(name, cases)] : []),
    h("h2", {}, "Windows"),
    windows(name, seals, seal),
    h("div", { class: "card" }, h("div", { class: "chart" }, canvas)),
    h("details", { class: "card" }, h("summary", {}, "The same in numbers"), table(["Window", "Verdict", "#Residual", "#Band", "#Block"], [...seals].reverse().map((each) => [
      link(path("zone", name, each.start_s), span(each.start_s, each.end_s)), verdict(each.verdict), energy(each.residual_wh), energy(each.band_wh), count(each.height),
    ]))),
  ].filter(Boolean);
  const onEvent = (kind, data) => {
    if (kind === "seal" && data.zone === name && start === null) dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return { body, onEvent, drawn: () => residuals(canvas, seals) };
}

// What did not settle by itself is a case, until authorities resolve it or better readings clear it.

const CASES = { OPEN: "open", SETTLED: "settled: what meters signed is credited", DISMISSED: "dismissed: nothing is credited", CLEARED: "cleared by a later verdict" };
const CAUSES = { DOES_NOT_ADD_UP: "it does not add up", WORSE_THAN_SETTLED: "a later verdict is worse than what was settled", WINDOW_ENDED: "readings were missing to the end" };

async function casesSince(name, from) {
  const after = from > 0 ? `${name}@${from - 1}` : "";
  return (await json(`cases?zone=${encodeURIComponent(name)}&after=${encodeURIComponent(after)}&most=${WINDOWS}`)).items;
}

async function settlement(found) {
  if (!found) return "";
  if (found.status === "OPEN") return `It is a case since block ${count(found.opened)}: nothing is settled until authorities decide.`;
  const finding = found.resolution ? await findingOf(found.resolution) : "";
  const at = link(`block/${found.closed}`, `block ${count(found.closed)}`);
  return h("span", {}, h("b", {}, `Its case was ${CASES[found.status]}`), ", in ", at, finding ? `. The finding: “${finding}”.` : ".");
}

async function findingOf(resolution) {
  const known = await json(`transactions/${resolution}`).catch(() => null);
  return known?.transaction ? (await change(known.transaction)).finding : "";
}

const caseTable = (name, cases) => table(["Window", "State", "In block", "Why it was opened"], [...cases].reverse().map((each) => [
  link(path("zone", name, each.start_s), span(each.start_s, each.end_s)), CASES[each.status] ?? each.status,
  link(`block/${each.closed ?? each.opened}`, count(each.closed ?? each.opened)), CAUSES[each.cause] ?? each.cause,
]));

function windows(name, seals, current) {
  return h("ul", { class: "windows" }, seals.map((each) => h("li", {}, h("a", {
    href: `#/${path("zone", name, each.start_s)}`, class: each.verdict, title: `${span(each.start_s, each.end_s)}: ${each.verdict}`,
    "aria-label": `${span(each.start_s, each.end_s)}: ${each.verdict}`, "aria-current": each.start_s === current.start_s ? "true" : null,
  }, mark(each.verdict)))));
}

function residuals(canvas, seals) {
  // The band is the losses' interval and, on either side of it, what the meters may be wrong by.
  const beside = (each) => (each.band_wh - (each.loss_high_wh - each.loss_low_wh)) / 2;
  const upper = seals.map((each) => each.loss_high_wh + beside(each)), lower = seals.map((each) => each.loss_low_wh - beside(each));
  const flat = { pointRadius: 0, borderWidth: 1, borderColor: colour("line") };
  chart(canvas, "line", seals.map((each) => clockOf(each.start_s)), [
    { label: "residual, Wh", data: seals.map((each) => each.residual_wh), borderColor: colour("accent"), pointRadius: 2 },
    { label: "most that honest meters may show", data: upper, ...flat },
    { label: "least that they must show", data: lower, ...flat, fill: "-1", backgroundColor: `${colour("accent")}22` },
  ]);
}

// The drawing: the root to the left, each branch one step to the right, leaves below one another.

const STEP = 96, ROW = 30, PAD = 34;

function placed(drawing) {
  const touching = new Map();
  for (const branch of drawing.branches) {
    for (const [here, there] of [[branch.from, branch.to], [branch.to, branch.from]]) {
      touching.set(here, [...(touching.get(here) ?? []), { branch: branch.id, node: there }]);
    }
  }
  const places = new Map(), lines = [];
  let row = 0;
  const visit = (node, depth, via) => {
    const below = (touching.get(node) ?? []).filter((each) => each.branch !== via && !places.has(each.node));
    places.set(node, { x: PAD + depth * STEP, y: 0 });
    const rows = below.map((each) => {
      lines.push({ ...each, from: node });
      return visit(each.node, depth + 1, each.branch);
    });
    const y = rows.length ? (rows[0] + rows.at(-1)) / 2 : PAD + row++ * ROW;
    places.get(node).y = y;
    return y;
  };
  visit(drawing.root, 0, null);
  return { places, lines, width: 2 * PAD + 110 + STEP * Math.max(...[...places.values()].map(({ x }) => (x - PAD) / STEP)), height: 2 * PAD + Math.max(1, row) * ROW };
}

function feeder(drawing, flows, overloaded = []) {
  const { places, lines, width, height } = placed(drawing);
  const energies = new Map((flows?.branches ?? []).map((each) => [each.branch, each]));
  const most = Math.max(1, ...[...energies.values()].map((each) => Math.abs(each.flow_wh)));
  const picture = s("svg", { class: "feeder", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Feeder of zone ${drawing.id}: ${lines.length} branches, ${drawing.members.length} meters` });
  picture.style.minWidth = `${0.9 * width}px`; // Names stay large enough to be read; what does not fit slides.
  picture.style.maxWidth = `${1.6 * width}px`; // A small feeder is not blown up.
  for (const each of lines) {
    picture.append(branch(each, places, energies.get(each.branch), most, overloaded.includes(each.branch)));
  }
  for (const [node, { x, y }] of places) picture.append(s("circle", { class: "node", cx: x, cy: y, r: 2.5 }, s("title", {}, node)));
  const taken = new Map();
  for (const member of drawing.members) {
    const at = places.get(member.node) ?? places.get(drawing.root);
    const place = taken.get(member.node) ?? 0;
    taken.set(member.node, place + 1);
    picture.append(meterOf(member, at.x + 16 * place, at.y, place === 0));
  }
  return h("div", { class: "card" }, sliding("Drawing of the feeder", picture),
    quiet("The boundary is at the left. The thicker a line, the more flowed: blue towards the customers, amber back towards the grid. A circle is a meter, full at the boundary, amber where it generates; choose one for its days."));
}

function branch(each, places, flow, most, isOver) {
  const a = places.get(each.from), b = places.get(each.node);
  const size = Math.abs(flow?.flow_wh ?? 0);
  const way = !flow || size === 0 ? "idle" : flow.flow_wh < 0 ? "back" : "";
  const over = isOver ? "overloaded" : "";
  const words = flow ? `${each.branch}: ${energy(flow.flow_wh)} by ${flow.meters} meters${flow.missing ? `, ${flow.missing} missing` : ""}` : each.branch;
  return s("path", { class: `branch ${way} ${over}`, d: `M${a.x} ${a.y}C${a.x + STEP / 2} ${a.y} ${b.x - STEP / 2} ${b.y} ${b.x} ${b.y}`, "stroke-width": 1.2 + 6 * Math.sqrt(size / most) }, s("title", {}, words));
}

function meterOf(member, x, y, labelled) {
  const kind = member.role === "boundary" ? "meter boundary" : member.role === "source" ? "meter source" : "meter";
  const circle = s("circle", { class: kind, cx: x, cy: y, r: 6 }, s("title", {}, `${member.id}, ${member.role} at ${member.node}`));
  const label = labelled ? s("text", { x: x - 6, y: y - 12 }, member.id) : null;
  return s("a", { href: `#/${path("meter", member.id)}`, "aria-label": `meter ${member.id}, ${member.role}` }, circle, label);
}
