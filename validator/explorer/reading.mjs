// A reading's proof: its receipt verified here, link by link and in words, and a tampered copy that fails.

import { count, energy, facts, h, hash, link, path, quiet, span, timeOf, verdict } from "./dom.mjs";
import { forgetGenesis, genesis, keepGenesis, octets } from "./api.mjs";
import { BrokenLink, decode, encode, hex, networkOf, NoReceipt, verifyReceipt } from "./verify.mjs";
import { BROKEN, signsItself, statusWords } from "./words.mjs";

// What each link of the chain of proof shows, in the order in which it is checked.
const LINKS = [
  ["header", "The block's header is the one that its seals speak of."],
  ["genesis", "The block belongs to the network of this genesis file."],
  ["seals", "A quorum of the authorities' validators has sealed the block."],
  ["witness", "A registered gateway witnessed the batch, and the batch is in the block."],
  ["reading", "The key that signs for this meter signed exactly these numbers, and they are in the batch."],
  ["inclusion", "The authorities accepted this reading, by this key."],
  ["zone", "The zone's verdict was made from this reading."],
];
const signer = (reading) => signsItself(reading) ? "The meter's own key" : "Its gateway's key (the meter has none)";

export async function reading(meter, sequence) {
  const receipt = await octets(`receipts/${encodeURIComponent(meter)}/${sequence}`, meter);
  const body = await proof(receipt, `${meter}-${sequence}.receipt`);
  return { body: [h("h1", {}, "One reading, proved"), h("p", {}, link(path("meter", meter), `← days of ${meter}`)), ...body, await trust()] };
}

export async function verify() {
  const place = h("div", { "aria-live": "polite" });
  const take = async (event) => {
    const [file] = event.target.files;
    if (file) place.replaceChildren(...await proof(new Uint8Array(await file.arrayBuffer()), file.name));
  };
  return {
    body: [
      h("h1", {}, "Verify a receipt"),
      h("p", {}, "Choose a receipt file. It is verified in this browser and goes nowhere."),
      h("p", { class: "row" }, h("label", { for: "receipt" }, "Receipt"), h("input", { type: "file", id: "receipt", onchange: take })),
      await trust(),
      place,
    ],
  };
}

async function proof(receipt, name) {
  const whole = await checked(receipt);
  if (whole.none) return [noReceipt(name, whole.none)];
  const result = h("div", { "aria-live": "polite" });
  const parts = whole.proved ? tamperable(receipt) : [];
  const choice = h("select", { id: "part" }, parts.map(({ label }, place) => h("option", { value: place }, label)));
  const tamper = async () => {
    const copy = receipt.slice();
    const part = parts[Number(choice.value)];
    copy[part.at] ^= 1;
    result.replaceChildren(h("p", {}, `One bit of ${part.label} was changed in a copy (octet ${count(part.at)}):`), verdictOf(await checked(copy)));
  };
  const save = h("a", { download: name, href: URL.createObjectURL(new Blob([receipt])) }, `Save the receipt (${count(receipt.length)} bytes)`);
  return [
    verdictOf(whole),
    whole.proved ? h("div", {}, about(whole.proved)) : null,
    h("p", { class: "row" }, save, h("span", { class: "quiet" }, "Offline: ", h("code", {}, `gridwitness verify ${name} --genesis genesis.json`))),
    ...(parts.length ? [
      h("h2", {}, "Would a forgery be seen?"),
      h("p", { class: "row" }, h("label", { for: "part" }, "Change one bit of"), choice, h("button", { onclick: tamper }, "and verify again")),
    ] : []),
    result,
  ].filter(Boolean);
}

async function checked(receipt) {
  const { text } = await genesis();
  const held = new Set();
  try {
    return { proved: await verifyReceipt(receipt, text, (link) => held.add(link)), held };
  } catch (reason) {
    if (reason instanceof NoReceipt) return { none: reason };
    if (!(reason instanceof BrokenLink)) throw reason;
    return { broken: reason, held };
  }
}

function noReceipt(name, reason) {
  return h("div", { class: "card problem", role: "status" }, h("b", { class: "broken" }, "This is no receipt"),
    h("p", {}, `${name}: ${reason.message}. So nothing was checked, and nothing is said against anybody.`),
    quiet("A receipt is the whole file that “Save the receipt” on a reading's page or ", h("code", {}, "gridwitness receipts"), " gives."));
}

// A tick stands only where the link was checked and holds.
function verdictOf({ proved, broken, held, none }) {
  if (none) return noReceipt("the copy", none);
  const rows = LINKS.filter(([name]) => name !== "zone" || broken || proved.seal).map(([name, words]) => {
    const here = name === broken?.link;
    const [sign, kind] = here ? ["✗", "broken"] : held.has(name) ? ["✓", "holds"] : ["·", "quiet"];
    const told = here ? `${broken.message[0].toUpperCase()}${broken.message.slice(1)}.` : name === "reading" && proved ? `${signer(proved.reading)} signed exactly these numbers, and they are in the batch.` : words;
    const before = here || held.has(name) ? "" : "Not checked: ";
    return h("li", {}, h("b", { class: kind }, sign), h("span", {}, name), h("span", { class: here ? "broken" : before ? "quiet" : null }, before, told));
  });
  const title = broken ? h("b", { class: "broken" }, `✗ Not proved: the link “${broken.link}” does not hold`) : h("b", { class: "holds" }, "✓ Verified here, in your browser");
  return h("div", { class: `card${broken ? " problem" : ""}`, role: "status" }, title, broken ? h("p", {}, BROKEN[broken.link]) : null, h("ol", { class: "links" }, rows));
}

function about({ reading, gateway, witnessedAt, height, timeMs, sealers, zone, late, seal }) {
  const [start, length] = [reading.get(4), reading.get(5)];
  return h("div", {},
    h("p", {}, `Meter ${reading.get(2)} at node ${reading.get(3)} counted `, h("b", {}, energy(reading.get(8))), " taken and ", h("b", {}, energy(reading.get(9))),
      ` given, ${span(start, start + length)}. Gateway ${gateway} witnessed it at ${timeOf(witnessedAt)}; ${sealers.join(", ")} sealed it into block ${count(height)} at ${timeOf(timeMs / 1000)}.`,
      late ? " It came after the acceptance window: only a case can settle it." : ""),
    facts([
      ["Registers then", `import ${energy(reading.get(6))}, export ${energy(reading.get(7))}`],
      ["It says", statusWords(reading.get(13)).join(", ") || "nothing is wrong with it"],
      ["Sequence", `${count(reading.get(10))}, boot ${count(reading.get(11))}`],
      ["Zone", h("span", {}, link(path("zone", zone, start), zone), " ", seal ? verdict(seal.verdict) : "(no verdict rested on this reading when the receipt was made)")],
    ]));
}

// One octet in the middle of each part that matters, where it stands in the file.
function tamperable(receipt) {
  const content = decode(receipt);
  const inside = (octets) => {
    const text = hex(receipt), at = text.indexOf(hex(octets));
    return at < 0 ? -1 : at / 2;
  };
  const payload = decode(content.get(1)).value[2], seals = content.get(6)[2];
  const parts = [
    ["the meter's import register", inside(payload) + payloadPlace(payload, 6)],
    ["the reading's signature", inside(content.get(1)) + content.get(1).length - 9],
    ["the gateway's witness", inside(content.get(2)) + content.get(2).length - 9],
    ["the block's header", inside(content.get(5)) + content.get(5).length - 9],
    ["a validator's seal", inside(seals[0][1]) + 9],
    ["the authorities' decision", inside(content.get(9)[0]) + 9],
    ...(content.has(8) ? [["the zone's verdict", inside(content.get(8)[0]) + content.get(8)[0].length - 9]] : []),
  ];
  return parts.filter(([, at]) => at > 0).map(([label, at]) => ({ label, at }));
}

// The last octet of a field's value.
function payloadPlace(payload, key) {
  let at = 0;
  for (const [each, value] of decode(payload)) {
    at += encode(each).length + encode(value).length;
    if (each === key) break;
  }
  return at;
}

async function trust() {
  const { text, own } = await genesis();
  const { name, network } = await networkOf(text);
  const take = async (event) => {
    const content = await event.target.files[0].text();
    try {
      await networkOf(content);
    } catch {
      event.target.after(h("span", { class: "broken", role: "alert" }, "This is not a genesis file."));
      return;
    }
    keepGenesis(content);
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  const forget = () => {
    forgetGenesis();
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return h("details", { class: "card", open: own },
    h("summary", {}, own ? "Verified from your own genesis file" : "What this rests on: the genesis file that this validator gave"),
    h("p", {}, `Network ${name}, id `, hash(hex(network)), ". Whoever has another id from its authorities looks at another network."),
    h("p", { class: "row" }, h("label", { for: "genesis" }, "Your own genesis file"), h("input", { type: "file", id: "genesis", accept: ".json", onchange: take }),
      own ? h("button", { onclick: forget }, "use the validator's again") : null));
}
