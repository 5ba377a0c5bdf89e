// node verify-file.mjs GENESIS RECEIPT...: a line of JSON for each receipt; exit status 1 when one does not hold.

import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { verifyReceipt } from "./verify.mjs";

globalThis.crypto ??= webcrypto; // Node 18 has it, but not as a global.

const [genesis, ...receipts] = process.argv.slice(2);
if (!receipts.length) {
  console.error("usage: node verify-file.mjs GENESIS RECEIPT...");
  process.exit(2);
}
for (const file of receipts) {
  try {
    const found = await verifyReceipt(new Uint8Array(readFileSync(file)), readFileSync(genesis, "utf8"));
    const { height, sealers, zone, seal, gateway } = found;
    const said = { meter: found.reading.get(2), start: found.reading.get(4), gateway, height, sealers, zone };
    console.log(JSON.stringify({ file, verified: true, ...said, verdict: seal?.verdict ?? null }));
  } catch (reason) {
    console.log(JSON.stringify({ file, verified: false, failed_link: reason.link ?? null, reason: reason.message }));
    process.exitCode = 1;
  }
}
