// What numbers mean, in words: verdicts, status bits, times, links. For the page and for verify-file.mjs; no page is needed.

export const MEANINGS = {
  BALANCED: "what went in came out, but for the losses that lines must have and what meters may be wrong by",
  SUSPECT: "more is missing, or there is more, than honest meters explain",
  IMPOSSIBLE: "no set of meters within their limits measures this",
  INCONCLUSIVE: "a meter's reading is missing, and with it the sum says nothing yet",
  UNREFERENCED: "nobody measures the zone as a whole, so there is nothing to compare",
};

export const BROKEN = {
  reading: "It is not what a registered meter signed, or the authorities refused it.",
  witness: "The named gateway did not witness this batch of readings.",
  inclusion: "The parts do not belong together: something was exchanged after it was signed.",
  header: "The block header is not the one that the authorities sealed.",
  seals: "Too few known authorities stand behind this block; it may never have been final.",
  zone: "The reading may be right, but this balance of its zone is not proved.",
  genesis: "This receipt belongs to another network than the genesis file.",
};

// Bits of a reading's field 13 (docs/WIRE.md).
export const STATUS_BITS = {
  0: "error", 1: "clock invalid", 2: "data not valid", 5: "clock adjusted", 7: "power down", 8: "cover open",
  9: "terminal cover open", 10: "magnetic field", 11: "phase missing", 12: "phase sequence", 13: "configuration changed",
  14: "firmware changed", 15: "register near its wrap", 16: "interval incomplete", 17: "log degraded", 18: "value held",
  19: "key in plain flash",
};

export function statusWords(status) {
  const bits = [...BigInt(status).toString(2)].reverse().map((bit, place) => [bit, place]);
  return bits.filter(([bit]) => bit === "1").map(([, place]) => STATUS_BITS[place] ?? `bit ${place}, which has no meaning`);
}

// A reading's field 19, its origin: 0 when the meter signed it itself, else its gateway signed for it.
export const signsItself = (reading) => reading.get(19) === 0;
