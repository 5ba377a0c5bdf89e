// node verify-file.mjs [--json] GENESIS RECEIPT...: what each receipt proves, in words or as a line of JSON.
//
// Exit status: 0 when all hold, 1 when a link of one does not, else 2 when a file cannot be read or is no receipt.

import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { BrokenLink, networkOf, verifyReceipt } from "./verify.mjs";
import { BROKEN, MEANINGS, signsItself, statusWords } from "./words.mjs";

globalThis.crypto ??= webcrypto; // Node 18 has it, but not as a global.

const HOLDS = 0, BREAKS = 1, UNREADABLE = 2;
const when = (seconds) => `${new Date(1000 * Number(seconds)).toISOString().slice(0, 19).replace("T", " ")} UTC`;

function told(found) {
  const { reading, gateway, witnessedAt, batch, network, height, sealers, of, zone, late, seal } = found;
  const at = (key) => reading.get(key);
  const status = statusWords(at(13));
  return [
    `VERIFIED: meter ${at(2)} at ${at(3)}`,
    `  measured  ${at(8)} Wh in, ${at(9)} Wh out`,
    `            from ${when(at(4))} to ${when(at(4) + at(5))}`,
    `            registers then ${at(6)} Wh in, ${at(7)} Wh out (record ${at(10)}, signed by ${signsItself(reading) ? "the meter's own" : "its gateway's"} key)`,
    ...(status.length ? [`  it says   ${status.join("; ")}`] : []),
    `  witnessed by ${gateway} at ${when(witnessedAt)} in batch ${batch}`,
    `  sealed    in block ${height} of ${network} by ${sealers.join(", ")} (${sealers.length} of ${of})`,
    ...(late ? ["            after the acceptance window: only a case can settle it"] : []),
    `  zone      ${zone}: ${seal ? `${seal.verdict}, ${MEANINGS[seal.verdict]}` : "no verdict rested on this reading when this was made"}`,
    ...(seal ? [`            ${seal.residualWh} Wh lost on the way; its lines explain ${seal.lossLowWh} to ${seal.lossHighWh} Wh, and ${seal.bandWh} Wh could hide`] : []),
  ];
}

function facts({ reading, gateway, height, sealers, zone, seal }) {
  const [meter, start, length, taken, given] = [2, 4, 5, 8, 9].map((key) => reading.get(key));
  return { meter, start, interval_s: length, import_advance_wh: taken, export_advance_wh: given, status_words: statusWords(reading.get(13)),
    signed_by: signsItself(reading) ? "meter" : "gateway", gateway, height, sealers, zone, verdict: seal?.verdict ?? null };
}

async function judged(file, genesis) {
  try {
    const found = await verifyReceipt(new Uint8Array(readFileSync(file)), genesis);
    return { exit: HOLDS, fields: { verified: true, ...facts(found) }, lines: told(found) };
  } catch (reason) {
    if (reason instanceof BrokenLink) {
      const lines = [`NOT VERIFIED: the link "${reason.link}" does not hold: ${reason.message}`, `  ${BROKEN[reason.link]}`];
      return { exit: BREAKS, fields: { verified: false, failed_link: reason.link, reason: reason.message }, lines };
    }
    const why = reason.syscall ? `cannot be read: ${reason.message}` : `no receipt: ${reason.message}`;
    return { exit: UNREADABLE, fields: { verified: false, failed_link: null, reason: why }, lines: [`UNREADABLE: ${why}`] };
  }
}

const words = process.argv.slice(2).filter((each) => each !== "--json");
const asJson = words.length < process.argv.length - 2;
const [genesisFile, ...receipts] = words;
if (!receipts.length) {
  console.error("usage: node verify-file.mjs [--json] GENESIS RECEIPT...");
  process.exit(UNREADABLE);
}
let genesis;
try {
  genesis = readFileSync(genesisFile, "utf8");
  await networkOf(genesis);
} catch (reason) {
  console.error(`${genesisFile} is no genesis file that can be read: ${reason.message}`);
  process.exit(UNREADABLE);
}
process.exitCode = HOLDS;
for (const file of receipts) {
  const { exit, fields, lines } = await judged(file, genesis);
  if (exit === BREAKS || process.exitCode === HOLDS) process.exitCode = exit; // A forgery is not hidden by rubbish.
  console.log(asJson ? JSON.stringify({ file, ...fields }) : [...(receipts.length > 1 ? [`${file}:`] : []), ...lines].join("\n"));
}
if (!asJson && process.exitCode !== UNREADABLE) console.log(`This rests on the validators' keys of ${genesisFile}.`);
