// The chain: blocks as they become final, and what is in one.

import { count, facts, h, hash, line, link, many, quiet, short, span, table, timeOf, verdict } from "./dom.mjs";
import { json } from "./api.mjs";
import { changesOf, written } from "./changes.mjs";

const HEADS = ["#Block", "Network time", "Proposed by", "#Round", "Seals", "#Readings", "#Changes", "Digest"];
const MOST = 40;

function row(block, fresh = false) {
  const cells = [
    link(`block/${block.height}`, count(block.height)),
    timeOf(block.time_ms / 1000),
    block.proposer,
    block.round,
    h("span", { title: block.sealers.join(", ") }, `${block.seals}: ${block.sealers.join(" ")}`),
    count(block.readings),
    block.transactions === block.batches ? "" : count(block.transactions - block.batches),
    short(block.digest),
  ];
  const made = line(cells, HEADS);
  if (fresh) made.classList.add("new");
  return made;
}

export async function blocks() {
  const [found, status, zones] = await Promise.all([json(`blocks?most=${MOST}`), json("status"), json("zones")]);
  const total = h("b", {}, count(status.readings));
  const list = table(HEADS, found.items.map((each) => row(each)));
  const rows = list.querySelector("tbody");
  const told = (seal) => h("li", {}, link(`zone/${seal.zone}/${seal.start_s}`, `zone ${seal.zone}`), " ", verdict(seal.verdict), ` ${span(seal.start_s, seal.end_s)}`);
  const seals = h("ul", { class: "quiet" }, zones.filter((each) => each.seal).slice(0, 6).map((each) => told(each.seal)));
  const onEvent = (kind, data) => {
    if (kind === "block") {
      rows.prepend(row(data, true));
      if (rows.children.length > MOST) rows.lastChild.remove();
      json("status").then((now) => total.replaceChildren(count(now.readings)), () => {});
    } else if (kind === "seal") {
      seals.prepend(told(data));
      while (seals.children.length > 6) seals.lastChild.remove();
    }
  };
  const body = [
    h("h1", {}, "Chain"),
    h("p", {}, total, " readings are final on this network. Each block is sealed by a quorum of the authorities' validators; what is in it nobody can change without their keys."),
    list,
    h("h2", {}, "Newest verdicts"),
    seals,
  ];
  return { body, onEvent };
}

export async function block(height) {
  const found = await json(`blocks/${height}`);
  const [changes, known] = await Promise.all([changesOf(found.block), json("authorities")]);
  const about = facts([
    ["Network time", timeOf(found.time_ms / 1000)],
    ["Proposed by", `${found.proposer}, committed in round ${found.round}`],
    ["Sealed by", found.sealers.join(", ")],
    ["Holds", `${many(found.batches, "batch", "batches")} with ${many(found.readings, "reading")}, ${many(changes.length, "change")} by authorities, ${many(found.evidence, "proof")} against validators`],
    ["Digest", hash(found.digest)],
  ]);
  const steps = h("p", { class: "row" },
    found.height > 1 ? link(`block/${found.height - 1}`, "← before") : null, link(`block/${found.height + 1}`, "after →"));
  const batches = table(["Batch id"], found.batch_ids.map((each) => [hash(each)]));
  const decided = changes.length ? [h("h2", {}, "Changes by authorities"), ...changes.map((each) => decision(each, found.height, known))] : [];
  return { body: [h("h1", {}, `Block ${count(found.height)}`), steps, about, ...decided, h("h2", {}, "Batches"), found.batch_ids.length ? batches : quiet("none: a block shows now and then that the validators agree")] };
}

function decision({ id, kind, what, from, after = 0, finding, withdrawn, kids, entry }, height, known) {
  const names = kids.map((kid) => known.find((each) => each.kid === kid)?.name).filter(Boolean);
  const others = kids.length - names.length;
  const transaction = (which) => h("a", { href: `api/v1/transactions/${which}` }, hash(which));
  return h("div", { class: "card" }, h("b", {}, what, "."),
    facts([
      ["Kind", kind],
      ...(finding === undefined ? [] : [["Finding", finding || "none was written"]]),
      ["Holds from", from ? timeOf(from) : after ? `block ${count(height + after)} on` : "this block on"],
      ["Signed by", [...names, ...(others ? [many(others, "other key")] : [])].join(", ")],
      ...(withdrawn ? [["Withdraws", transaction(withdrawn)]] : []),
      ["Transaction", transaction(id)],
    ]),
    entry ? h("details", {}, h("summary", {}, "What it says, whole"), h("pre", { tabindex: "0" }, JSON.stringify(written(entry), null, 1))) : null);
}
