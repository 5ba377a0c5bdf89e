// A receipt, verified: by a browser or by Node, with nothing but WebCrypto and docs/WIRE.md.
//
// `verifyReceipt(receipt, genesisText)` checks every link from the genesis file down to the reading
// and returns what it proves; else it throws a `BrokenLink` that names the first link that does not
// hold, with the names that `gridwitness verify` uses. What is not a receipt at all is a `NoReceipt`:
// it has no links. `trace(link)` is called for each link as soon as it is known to hold.

const P256_HALF = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;
const ED_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const ED_PRIME = 2n ** 255n - 19n;
const ED_ORDER_8_Y = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const SMALL_ORDER_Y = [0n, 1n, ED_PRIME - 1n, ED_ORDER_8_Y, ED_PRIME - ED_ORDER_8_Y];
const MAX_DEPTH = 16;
const ACCEPTED = 0, LATE = 2;
export const VERDICTS = ["BALANCED", "SUSPECT", "IMPOSSIBLE", "INCONCLUSIVE", "UNREFERENCED"];

export class BrokenLink extends Error {
  constructor(link, reason) {
    super(reason);
    this.link = link;
  }
}

export class NoReceipt extends Error {}

const demand = (link, holds, reason) => {
  if (!holds) throw new BrokenLink(link, reason);
};
const within = async (link, work) => {
  try {
    return await work();
  } catch (reason) {
    throw reason instanceof BrokenLink ? reason : new BrokenLink(link, reason.message);
  }
};
const same = (a, b) => a.length === b.length && a.every((octet, place) => octet === b[place]);
export const hex = (octets) => [...octets].map((octet) => octet.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const utf8 = (text) => new TextEncoder().encode(text);
const big = (octets) => BigInt("0x" + (hex(octets) || "0"));
const uint = (value, octets) => unhex(BigInt(value).toString(16).padStart(2 * octets, "0"));
const sha256 = async (octets) => new Uint8Array(await crypto.subtle.digest("SHA-256", octets));

// Deterministic CBOR (RFC 8949 §4.2.1): integers, bytes, text, arrays, maps, booleans, null, tags.

function head(major, value) {
  const n = BigInt(value);
  if (n < 24n) return [(major << 5) | Number(n)];
  const size = n < 256n ? 0 : n < 65536n ? 1 : n < 2n ** 32n ? 2 : 3;
  return [(major << 5) | (24 + size), ...uint(n, 1 << size)];
}

export function encode(value) {
  if (value === null || typeof value === "boolean") return Uint8Array.of(value === null ? 0xf6 : 0xf4 + value);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    return Uint8Array.from(value < 0 ? head(1, -1n - BigInt(value)) : head(0, value));
  }
  if (typeof value === "string") return join(head(3, utf8(value).length), utf8(value));
  if (value instanceof Uint8Array) return join(head(2, value.length), value);
  if (Array.isArray(value)) return join(head(4, value.length), ...value.map(encode));
  if (typeof value !== "object") throw new Error(`a ${typeof value} has no place in these formats`);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  const pairs = entries.map(([key, item]) => [encode(key), encode(item)]);
  pairs.sort(([a], [b]) => (hex(a) < hex(b) ? -1 : 1));
  return join(head(5, pairs.length), ...pairs.flat());
}

export function decode(octets) {
  const [value, end] = item(octets, 0, 0);
  if (end !== octets.length) throw new Error("bytes left over");
  return value;
}

function item(octets, start, depth) {
  if (depth > MAX_DEPTH || start >= octets.length) throw new Error("not CBOR of these formats");
  const major = octets[start] >> 5, info = octets[start] & 31;
  const size = info < 24 ? 0 : 1 << (info - 24);
  let at = start + 1 + size;
  if (info > 27 || at > octets.length) throw new Error("not deterministic CBOR");
  const wide = size ? big(octets.subarray(start + 1, at)) : BigInt(info);
  if (major === 7) {
    if (![20, 21, 22].includes(info)) throw new Error("a float or an unknown simple value");
    return [[false, true, null][info - 20], at];
  }
  if (size && wide < (size === 1 ? 24n : 1n << BigInt(4 * size))) throw new Error("not the shortest form");
  const count = Number(wide);
  if (major < 2) {
    const value = major ? -1n - wide : wide;
    return [Number.isSafeInteger(Number(value)) ? Number(value) : value, at];
  }
  if (major < 4) {
    const end = at + count;
    if (end > octets.length) throw new Error("cut off");
    const found = octets.slice(at, end);
    return [major === 2 ? found : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(found), end];
  }
  if (count > octets.length) throw new Error("cut off");
  const items = [], map = new Map();
  let before = "";
  for (let left = major === 6 ? 1 : count; left > 0; left--) {
    let value, key;
    const from = at;
    if (major === 5) {
      [key, at] = item(octets, at, depth + 1);
      const order = hex(octets.subarray(from, at));
      if (order <= before) throw new Error("map keys out of order");
      before = order;
    }
    [value, at] = item(octets, at, depth + 1);
    if (major === 5) map.set(key, value);
    else items.push(value);
  }
  return [major === 4 ? items : major === 5 ? map : { tag: count, value: items[0] }, at];
}

// Keys and signatures, strictly.

const strictY = (point) => {
  const y = big(point.slice().reverse()) & (2n ** 255n - 1n);
  return y < ED_PRIME && !SMALL_ORDER_Y.includes(y);
};

async function signedBy(key, message, signature) {
  if (!(key instanceof Map) || !(signature instanceof Uint8Array) || signature.length !== 64) return false;
  const x = key.get(-2), y = key.get(-3), s = signature.slice(32);
  if (key.get(1) === 2 && key.get(-1) === 1 && key.size === 4) {
    if (big(s) > P256_HALF) return false;
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const point = await crypto.subtle.importKey("raw", join([4], x, y), algorithm, false, ["verify"]);
    return crypto.subtle.verify(algorithm, point, signature, message);
  }
  if (key.get(1) !== 1 || key.get(-1) !== 6 || key.size !== 3) return false;
  if (big(s.reverse()) >= ED_ORDER || !strictY(signature.slice(0, 32)) || !strictY(x)) return false;
  const point = await crypto.subtle.importKey("raw", x, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, point, signature, message);
}

const keyOf = (text) => {
  const [name, raw] = [text.split(":")[0], unhex(text.split(":")[1])];
  if (name === "eddsa") return new Map([[1, 1], [-1, 6], [-2, raw]]);
  return new Map([[1, 2], [-1, 1], [-2, raw.slice(0, 32)], [-3, raw.slice(32)]]);
};

const checkSign1 = (link, octets, key) => within(link, () => openSign1(link, decode(octets), key));

async function openSign1(link, message, key) {
  const shaped = message?.tag === 18 && message.value.length === 4 && message.value[1]?.size === 0;
  demand(link, shaped, "not a COSE_Sign1");
  const [protectedHeader, , payload, signature] = message.value;
  const headers = decode(protectedHeader);
  const structure = encode(["Signature1", protectedHeader, new Uint8Array(), payload]);
  const algorithm = key.get(1) === 2 ? -7 : -8;
  const stands = headers.get(1) === algorithm && (await signedBy(key, structure, signature));
  demand(link, stands, "the signature does not match the key and the bytes");
  return { headers, payload, structure };
}

// Trees (RFC 9162 §2.1.3.2).

async function checkInclusion([size, index, path], root, leaf, what) {
  demand("inclusion", index >= 0 && index < size, `${what}: leaf ${index} of a tree of ${size}`);
  let hash = await sha256(join([0], leaf)), node = index, last = size - 1;
  for (const sibling of path) {
    demand("inclusion", last > 0 && sibling.length === 32, `${what}: a path of the wrong length`);
    const left = node % 2 === 1 || node === last;
    hash = await sha256(left ? join([1], sibling, hash) : join([1], hash, sibling));
    if (left) while (node % 2 === 0 && node > 0) [node, last] = [node / 2, Math.floor(last / 2)];
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  demand("inclusion", last === 0 && same(hash, root), `${what}: the path leads to another root`);
}

// Headers, and the validators that seal them.

const FIELDS = ["version", "network", "height", "timeMs", "parent", "proposer", "validatorsHash", "nextValidatorsHash",
  "paramsHash", "parentCommitHash", "txRoot", "resultsRoot", "zoneRoot", "evidenceHash", "stateRoot"];

export function headerOf(octets) {
  let items = [];
  try {
    items = decode(octets);
  } catch (reason) {
    throw new BrokenLink("header", reason.message);
  }
  demand("header", items.length === FIELDS.length && items[0] === 1, "not a header of version 1");
  return Object.fromEntries(FIELDS.map((name, place) => [name, items[place]]));
}

const setHash = (members) => sha256(encode(members));

class LightClient {
  constructor(network, members) {
    [this.network, this.eras] = [network, [[1, members]]];
  }

  validators(height) {
    return this.eras.findLast(([first]) => first <= height)?.[1] ?? this.eras[0][1];
  }

  async follow(changes) {
    for (const [octets, commit, members] of changes) {
      const header = headerOf(octets);
      if (header.height < this.eras.at(-1)[0]) continue;
      await this.check(octets, commit);
      const named = same(await setHash(members), header.nextValidatorsHash);
      demand("header", named, "the new validator set is not the one that the header names");
      this.eras.push([header.height + 1, members]);
    }
  }

  async check(octets, [round, digest, seals]) {
    const header = headerOf(octets), members = this.validators(header.height);
    demand("header", same(await sha256(octets), digest), "the header is not the one that its seals speak of");
    demand("genesis", same(header.network, this.network), "the header is of another network than the genesis file");
    const known = same(await setHash(members), header.validatorsHash);
    demand("header", known, "sealed by a validator set that the genesis file does not lead to");
    const quorum = Math.floor((2 * members.length - 1) / 3) + 1;
    const ascending = seals.every(([index], place) => place === 0 || seals[place - 1][0] < index);
    demand("seals", ascending, "seals are ordered by validator, one of each");
    demand("seals", seals.length >= quorum, `${seals.length} seals; ${quorum} of ${members.length} are needed`);
    const words = join(utf8("gridwitness/seal/1"), this.network, uint(header.height, 8), uint(round, 4), digest);
    for (const [index, seal] of seals) {
      const stands = index < members.length && (await signedBy(members[index][1], words, seal));
      demand("seals", stands, `the seal of ${members[index]?.[0] ?? `validator ${index}`} does not stand`);
    }
    return { header, sealers: seals.map(([index]) => members[index][0]) };
  }
}

// The receipt.

export async function networkOf(genesisText) {
  const genesis = JSON.parse(genesisText);
  const members = genesis.validators.map(({ id, key }) => [id, keyOf(key)]).sort(([a], [b]) => (a < b ? -1 : 1));
  const network = await sha256(encode(genesis));
  return { name: `${genesis.name}-${hex(network).slice(0, 8)}`, network, members };
}

export async function verifyReceipt(octets, genesisText, trace = () => {}) {
  const { name, network, members } = await networkOf(genesisText);
  return proved(opened(octets), { name, client: new LightClient(network, members) }, trace);
}

const blob = (value) => value instanceof Uint8Array;
const number = (value) => Number.isSafeInteger(value) && value >= 0;
const list = (each) => (value) => Array.isArray(value) && value.every(each);
const row = (...each) => (value) => Array.isArray(value) && value.length === each.length && value.every((item, place) => each[place](item));
const inclusion = row(number, number, list(blob)), commit = row(number, blob, list(row(number, blob)));
const member = row((id) => typeof id === "string", (key) => key instanceof Map);
const SHAPE = new Map([[1, blob], [2, blob], [3, inclusion], [4, inclusion], [5, blob], [6, commit], [7, list(row(blob, commit, list(member)))],
  [8, row(blob, inclusion, blob, commit, inclusion)], [9, row(blob, inclusion, blob, inclusion)], [10, () => true], [11, () => true]]);

function opened(octets) {
  let receipt;
  try {
    receipt = decode(octets);
  } catch (reason) {
    throw new NoReceipt(octets.length ? `its bytes are not those of a receipt, or of a part of one only (${reason.message})` : "it is empty");
  }
  const keys = receipt instanceof Map && [...SHAPE.keys()].filter((key) => key !== 8 || receipt.has(8));
  if (!keys || keys.length !== receipt.size) throw new NoReceipt("not a map with the keys 1 to 11");
  const odd = keys.find((key) => !receipt.has(key) || !SHAPE.get(key)(receipt.get(key)));
  if (odd) throw new NoReceipt(`its part ${odd} is not what a receipt has there`);
  return receipt;
}

async function proved(receipt, { name, client }, trace) {
  const [reading, witness, header] = [1, 2, 5].map((key) => receipt.get(key));
  const [[readingResult, readingPath, txResult, txPath], meterKey, gatewayKey] = [9, 10, 11].map((key) => receipt.get(key));
  demand("header", same(await sha256(header), receipt.get(6)[1]), "the header is not the one that its seals speak of");
  const ofThis = headerOf(header);
  trace("header");
  demand("genesis", same(ofThis.network, client.network), "the header is of another network than the genesis file");
  trace("genesis");
  await client.follow(receipt.get(7));
  const block = await client.check(header, receipt.get(6));
  trace("seals");

  const statement = await checkSign1("witness", witness, gatewayKey);
  const claims = statement.headers.get(15);
  demand("genesis", claims.get(2) === name, `the witness speaks of network ${claims.get(2)}`);
  await checkInclusion(receipt.get(4), block.header.txRoot, statement.structure, "the witness statement");
  trace("witness");
  const { payload } = await checkSign1("reading", reading, meterKey);
  await checkInclusion(receipt.get(3), statement.payload, reading, "the reading");
  trace("reading");

  const [txId, , readingsRoot, witnessThumbprint] = await within("inclusion", () => decode(txResult));
  await checkInclusion(txPath, block.header.resultsRoot, txResult, "the batch's result");
  const [readingHash, code, thumbprint, zone] = await within("inclusion", () => decode(readingResult));
  await checkInclusion(readingPath, readingsRoot, readingResult, "the reading's result");
  const decided = same(txId, await sha256(statement.structure)) && same(witnessThumbprint, await sha256(encode(gatewayKey)));
  demand("witness", decided, "the authorities decided about another batch or another gateway's key");
  demand("reading", same(readingHash, await sha256(reading)), "the authorities decided about another reading");
  demand("reading", code === ACCEPTED || code === LATE, `the authorities refused this reading (code ${code})`);
  demand("reading", same(thumbprint, await sha256(encode(meterKey))), "accepted by another key's signature");
  trace("inclusion");

  const fields = decode(payload);
  const seal = receipt.has(8) ? await provedZone(receipt.get(8), client, readingHash, zone, fields) : null;
  if (seal) trace("zone");
  return { reading: fields, gateway: claims.get(1), witnessedAt: claims.get(6), place: claims.get(-65540),
    network: name, batch: claims.get(-65537), height: block.header.height, timeMs: block.header.timeMs, sealers: block.sealers, of: client.validators(block.header.height).length, zone, late: code === LATE, seal };
}

async function provedZone([octets, path, header, commit, readingPath], client, readingHash, zone, reading) {
  try {
    const block = await client.check(header, commit);
    await checkInclusion(path, block.header.zoneRoot, octets, "the zone seal");
    const items = decode(octets), [of, start, end] = items;
    await checkInclusion(readingPath, items[11], readingHash, "the reading among the seal's inputs");
    const covered = start <= reading.get(4) && reading.get(4) + reading.get(5) <= end;
    demand("zone", of === zone && covered, "the zone seal is for another zone or another time");
    return { zone, start, end, revision: items[3], verdict: VERDICTS[items[4]], residualWh: items[5],
      lossLowWh: items[6], lossHighWh: items[7], bandWh: items[8], coveragePpm: items[9], height: block.header.height };
  } catch (reason) {
    throw new BrokenLink("zone", reason.message);
  }
}
