// Gateways, authorities and their validators, and who was proved to lie.

import { count, h, link, quiet, table, timeOf } from "./dom.mjs";
import { json } from "./api.mjs";

export async function gateways() {
  const found = await json("gateways");
  const rows = found.map((each) => [
    each.id,
    each.operator,
    each.zones.map((zone, place) => [place ? ", " : "", link(`zone/${zone}`, zone)]).flat(),
    each.batch_sequence === null ? "none yet" : count(each.batch_sequence),
    each.witnessed_at_s === null ? null : timeOf(each.witnessed_at_s),
    each.final_after_ms === null ? null : lag(each.final_after_ms),
    each.silent_ms === null ? null : lag(each.silent_ms),
  ]).map((cells) => cells.map((cell) => Array.isArray(cell) ? h("span", {}, cell) : cell));
  return {
    body: [
      h("h1", {}, "Gateways"),
      h("p", {}, "A gateway reads the meters of its zones, witnesses what it read with a key that never leaves its security module, and relays it."),
      table(["Gateway", "Operator", "Zones", "#Newest batch", "Witnessed", "#Final after", "#Silent for"], rows),
    ],
  };
}

const lag = (ms) => ms < 120_000 ? `${(ms / 1000).toFixed(1)} s` : ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;

export async function authorities() {
  const [found, scores] = await Promise.all([json("authorities"), json("authorities/performance")]);
  const rows = scores.validators.map((each) => [
    each.validator,
    each.authority,
    share(each.sealed, each.blocks),
    count(each.proposed),
    count(each.missed_rounds),
    each.last_sealed === null ? null : link(`block/${each.last_sealed}`, count(each.last_sealed)),
  ]);
  return {
    body: [
      h("h1", {}, "Authorities"),
      h("p", {}, "Known organisations run the validators. They check every signature and every zone's balance, and agree on each block; with fewer than a third of them at fault nothing false becomes final."),
      h("div", { class: "cards" }, found.map(card)),
      h("h2", {}, "Their validators"),
      quiet(`Blocks ${count(scores.first)} to ${count(scores.last)}. A seal that came after the next block was made is not counted.`),
      table(["Validator", "Authority", "Blocks sealed", "#Proposed", "#Missed rounds", "#Last seal"], rows),
    ],
  };
}

function card(each) {
  return h("div", { class: "card" }, h("b", {}, each.name), quiet(each.id === each.kind ? each.id : `${each.id}, ${each.kind}`),
    h("p", {}, each.validators.length ? `runs ${each.validators.join(", ")}` : "runs no validator"), quiet(`key ${each.kid}`));
}

function share(part, whole) {
  const percent = whole ? Math.round((1000 * part) / whole) / 10 : 0;
  const fill = h("i");
  fill.style.width = `${percent}%`;
  return h("span", {}, h("span", { class: "bar", "aria-hidden": "true" }, fill), ` ${percent} % of ${count(whole)}`);
}

const KINDS = {
  proposal: "proposed two blocks for one round", prepare: "prepared two blocks in one round", commit: "sealed two blocks in one round",
  "round-change": "claimed two histories for one round", amnesia: "forgot a block that it had sealed",
};

export async function evidence() {
  const found = await json("evidence");
  const rows = found.map((each) => [each.validator, KINDS[each.kind] ?? each.kind, count(each.height), link(`block/${each.block}`, count(each.block))]);
  return {
    body: [
      h("h1", {}, "Evidence"),
      h("p", {}, "A validator that signs two things of which an honest one signs only one has signed the proof against itself. Such proofs stand in blocks, and anyone can check them."),
      found.length ? table(["Validator", "What it did", "#At height", "#Proof in block"], rows) : h("p", { class: "card holds" }, "No validator has been proved to lie."),
    ],
  };
}
