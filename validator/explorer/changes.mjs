// What authorities decided, read from the bytes of a block: transactions of the registry and of who rules, in words.
// Who had to sign each the validators have checked: a block carries only what stands.

import { timeOf } from "./dom.mjs";
import { decode, encode, hex } from "./verify.mjs";

const octets = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const digest = async (content) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", content)));
const COSE_SIGN = 98;
const RULES = 2; // Who rules, and by which parameters, changes so many blocks after the one that decides it.

// Of a whole block as the API gives it, in hexadecimal.
export async function changesOf(block) {
  const transactions = decode(octets(block))[1].map(decode);
  return Promise.all(transactions.filter((each) => each.tag === COSE_SIGN).map(opened));
}

export const change = (transaction) => opened(decode(octets(transaction)));

async function opened({ value: [, , payload, signatures] }) {
  const body = decode(payload)[3], [kind] = body;
  const kids = signatures.map(([header]) => hex(decode(header).get(4)));
  return { id: await digest(payload), kind, body, kids, entry: body.find((each) => each instanceof Map) ?? null, ...(await words(body)) };
}

const place = (entry) => `${entry.get("node")} in zone ${entry.get("zone")}, read by ${entry.get("reader")}`;
const nounOf = (kind) => kind.endsWith("unmetered") ? "Unmetered load" : `${kind[kind.indexOf("-") + 1].toUpperCase()}${kind.slice(kind.indexOf("-") + 2)}`;
const listed = (items) => items.join("; ");

async function words([kind, ...parts]) {
  const [one, two, three, four, five] = parts;
  switch (kind) {
    case "enrol-meter": return { what: `Meter ${one.get("id")} is enrolled at ${place(one)}`, from: two };
    case "re-site-meter": return { what: `Meter ${one.get("id")} is registered anew at ${place(one)}`, from: two };
    case "replace-meter": return { what: `Meter ${two.get("id")} replaces ${one} at ${place(two)}`, from: three };
    case "rotate-key": return rotation(decode(decode(one).value[2]));
    case "compromise-key": return { what: `The ${two} key ${hex(three).slice(0, 16)} of ${one} is compromised: it ends with this block`, after: 1 };
    case "change-holder": return {
      what: `The household of ${one} ${two.length ? "gets another link" : "has no link any more"}; the old one ${four === "leaked" ? "opens nothing any more" : "keeps the time before"}`,
      from: four === "leaked" ? null : three,
    };
    case "withdraw": return { what: `A change that was accepted for later is withdrawn: ${hex(one).slice(0, 16)}…`, withdrawn: hex(one), after: 1 };
    case "resolve-case": return {
      what: `The case of zone ${one}, window of ${timeOf(two)}, is ${four === "settle" ? "settled: what meters signed is credited" : "dismissed: nothing is credited"}`,
      finding: five,
    };
    case "change-validators": return { what: `Validators change: ${listed(two.map(step))}`, after: RULES };
    case "change-authorities": return { what: `Authorities change: ${listed(two.map(step))}`, after: RULES };
    case "change-parameters": return { what: `Parameters change: ${listed([...two].map(([name, value]) => `${name} becomes ${value}`))}`, after: RULES };
  }
  if (kind.startsWith("retire-")) return { what: `${nounOf(kind)} ${one} is registered no more`, from: two };
  if (one instanceof Map) {
    const where = nounOf(kind) === "Meter" ? ` at ${place(one)}` : one.has("operator") ? `, of ${one.get("operator")}` : "";
    return { what: `${nounOf(kind)} ${one.get("id")} ${kind.startsWith("add-") ? "is added" : "changes"}${where}`, from: two };
  }
  return { what: `A transaction of kind ${kind}` };
}

async function rotation(said) {
  const following = (await digest(encode(said.get(6)))).slice(0, 16);
  return { what: `Another ${said.get(4)} key of ${said.get(3)}: ${following} follows ${hex(said.get(5)).slice(0, 16)}, which stands until ${timeOf(said.get(8))}`, from: said.get(7) };
}

const VERBS = { add: "joins", rotate: "gets another key", remove: "leaves", expel: "is put out", revoke: "loses its key for ever" };
const step = ([verb, name]) => `${name} ${VERBS[verb] ?? verb}`;

// An entry as the genesis file writes it.
export function written(value) {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, written(item)]));
  if (Array.isArray(value)) return value.map(written);
  return value instanceof Uint8Array ? hex(value) : typeof value === "bigint" ? String(value) : value;
}
