"""What a block says about each batch, reading and zone: the leaves of its result roots.

Decides encodings and reason codes only. Which reason applies is the validators' rules' business;
the words here reach gateways, technicians and whoever verifies a receipt.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Self

from wire import cbor, fields
from wire.errors import Malformed


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code in words."""

    name: str
    """Stable word for scripts."""

    words: str
    """What it means and what to do."""

    retry: bool
    """True when the same reading may come again: a carrier's fault, or registration cures it."""


ACCEPTED = 0
ALREADY_ACCEPTED = 1
LATE = 2

ON_LEDGER = frozenset({ACCEPTED, ALREADY_ACCEPTED, LATE})
"""Codes after which a gateway may forget a reading: it is on the ledger."""

REASONS: dict[int, Reason] = {
    ACCEPTED: Reason("accepted", "accepted", False),
    ALREADY_ACCEPTED: Reason(
        "already-accepted", "the same reading is on the ledger already; nothing to do", False
    ),
    LATE: Reason(
        "late",
        "accepted, but older than the acceptance window: only a case can settle it",
        False,
    ),
    # S: signature
    10: Reason("malformed", "not the deterministic bytes of a signed reading", False),
    11: Reason("unknown-meter", "no such meter is registered: enrol it", True),
    12: Reason(
        "wrong-origin",
        "a meter with a key signs for itself, one without is signed for by its reader",
        False,
    ),
    13: Reason("unknown-key", "signed with a key that is not the registered one", True),
    14: Reason("bad-signature", "the signature does not stand: the bytes were changed", False),
    15: Reason(
        "equivocation",
        "the same key signed another content under this sequence, and that came first",
        False,
    ),
    16: Reason(
        "not-registered-then", "the meter was not registered when that interval began", False
    ),
    17: Reason(
        "compromised-key", "the key is known to be compromised: nothing by it counts now", False
    ),
    # T: time
    20: Reason("misaligned", "not an interval of the registered length, aligned to UTC", False),
    21: Reason(
        "ended-after-witness", "the interval ended after the gateway says it saw the reading", True
    ),
    22: Reason(
        "wrong-sequence", "a reader numbers readings by interval start divided by length", False
    ),
    23: Reason("register-backwards", "a register is below that of an earlier reading", False),
    24: Reason(
        "register-gap",
        "register and advance do not fit the neighbouring reading's register",
        False,
    ),
    25: Reason(
        "time-backwards", "a later sequence names an earlier interval, or an earlier boot", False
    ),
    26: Reason(
        "operating-time", "operating seconds do not advance with the interval's time", False
    ),
    27: Reason(
        "broken-chain", "it does not carry the hash of the reading before it in sequence", False
    ),
    # L: location
    30: Reason("wrong-node", "the grid node is not the registered one: re-site the meter", True),
    31: Reason("wrong-configuration", "the commissioning record is not the registered one", True),
    32: Reason("wrong-software", "the software is not the registered one", True),
    33: Reason("zone-not-served", "the gateway does not serve the meter's zone", True),
    34: Reason("out-of-reach", "no line reaches from the gateway's site to the meter's", True),
    35: Reason("meter-moved", "the meter's receiver says that it is not at its site", True),
    # C: capacity
    40: Reason("over-rating", "more energy than the service's fuse lets through", False),
    41: Reason("over-installed", "more export than the installed power makes", False),
    42: Reason("no-source", "export where no generation is registered", False),
    43: Reason(
        "over-rating-reactive", "more reactive energy than the service's fuse lets through", False
    ),
    # The carrier: these refuse a whole batch, and leave no mark on its readings.
    50: Reason("unknown-gateway", "no such gateway is registered", True),
    51: Reason("unknown-witness-key", "not the gateway's registered witness key", True),
    52: Reason("bad-witness-signature", "the witness statement's signature does not stand", True),
    53: Reason("other-network", "the witness statement speaks of another network", True),
    54: Reason("no-position", "the witness statement does not say where the gateway is", True),
    55: Reason("stale-position", "the gateway's position is too old", True),
    56: Reason("outside-site", "the gateway says that it is outside its registered site", True),
    57: Reason(
        "witness-equivocation", "the gateway used this batch sequence for another batch", True
    ),
    58: Reason("witness-ahead", "the witness time is ahead of the network's", True),
    59: Reason(
        "compromised-witness-key",
        "the witness key is known to be compromised: witness the readings again with a new one",
        True,
    ),
    # Registry transactions: what is refused so never stands in a block.
    60: Reason("malformed-transaction", "not the bytes of a registry transaction", False),
    61: Reason("transaction-of-other-network", "it was signed for another network", False),
    62: Reason("transaction-expired", "no block may carry it any more: sign a new one", False),
    63: Reason("transaction-replayed", "it is on the ledger already; nothing to do", False),
    64: Reason(
        "from-has-passed", "its first interval began before the block: sign a later one", False
    ),
    65: Reason("unfit-from", "its first interval is not aligned, or too far in the future", False),
    66: Reason("unfit-entry", "the entry is not one that can be registered", False),
    67: Reason("weak-key", "a key that must never be trusted", False),
    68: Reason("unknown-zone", "no such zone is registered", False),
    69: Reason("meter-id-taken", "a meter of this id is, was or will be registered", False),
    70: Reason("key-taken", "this key is registered already", False),
    71: Reason("not-signed-by-meter", "the meter's key has not signed it", False),
    72: Reason(
        "not-signed-by-technician", "no technician of the zone's operator has signed it", False
    ),
    73: Reason("not-signed-by-operator", "the grid operator has not signed it", False),
    74: Reason("stranger-signed", "somebody signed it who has no part in it", False),
    75: Reason(
        "unfit-commissioning",
        "the commissioning record is not the one that the entry names, or not signed by the meter"
        " and a technician",
        False,
    ),
    76: Reason("unfit-registry", "it does not fit the registered network", False),
    77: Reason("meter-not-registered", "no such meter is registered from then on", False),
    78: Reason(
        "conflicting-change",
        "another change of the same thing holds from then or later: name a later interval",
        False,
    ),
    79: Reason("id-taken", "this id is, was or will be registered", False),
    80: Reason("not-registered", "nothing of this id is registered from then on", False),
    81: Reason("unknown-operator", "its operator is no registered authority", False),
    82: Reason(
        "unfit-announcement",
        "the key announcement is not by these two keys for this network, or its times do not fit",
        False,
    ),
    83: Reason("key-not-in-force", "the old key is not the one that is registered then", False),
    84: Reason("already-compromised", "this key is known to be compromised already", False),
    85: Reason(
        "key-exchanged",
        "an entry brings another key only when the old one is compromised: else rotate it",
        False,
    ),
    86: Reason(
        "unfit-exchange",
        "the commissioning record does not say what the old and the new meter showed",
        False,
    ),
    87: Reason(
        "no-such-change", "no change of this id waits for its time: it can be withdrawn once", False
    ),
    88: Reason("not-signed-by-reader", "the gateway that is to read it has not signed it", False),
    # What authorities decide together: validators, parameters, their own keys.
    90: Reason(
        "stale-base",
        "it changes what was in force when it was made and no longer is: make it anew",
        False,
    ),
    91: Reason("too-few-authorities", "too few authorities have signed it", False),
    92: Reason("not-signed-by-new-key", "a key that it brings in has not signed it", False),
    93: Reason(
        "too-many-at-once", "never more than f change at once: divide it and wait between", False
    ),
    94: Reason("too-few-left", "never fewer than four are left: add one first", False),
    95: Reason("unknown-member", "no such validator or authority is registered", False),
    96: Reason("member-taken", "one of this id is registered, or was revoked", False),
    97: Reason(
        "authority-in-use", "it still runs a validator, or operates a zone or a gateway", False
    ),
    98: Reason("unfit-parameters", "these parameters cannot be changed so", False),
    99: Reason("another-in-block", "this block changes the same already: sign it anew", False),
    # Cases.
    100: Reason("no-case", "there is no case about this zone and window", False),
    101: Reason(
        "case-moved-on", "the window has a newer seal than the decision was made on", False
    ),
    102: Reason(
        "case-closed",
        "a later seal cleared the case, or it was settled: nothing is taken back",
        False,
    ),
}
"""Every code that a ReadingResult, a TxResult or the refusal of a transaction may carry."""


class Verdict(IntEnum):
    """What a zone seal says of one zone and window."""

    BALANCED = 0
    SUSPECT = 1
    IMPOSSIBLE = 2
    INCONCLUSIVE = 3
    UNREFERENCED = 4


def result_leaf(reading_hash: bytes, code: int, key_thumbprint: bytes, zone: str) -> bytes:
    """A ReadingResult, encoded: without making one, for thousands in a block."""
    return b"\x84\x58\x20" + reading_hash + _end_of_leaf(code, key_thumbprint, zone)


@lru_cache(maxsize=16_384)
def _end_of_leaf(code: int, key_thumbprint: bytes, zone: str) -> bytes:
    """What follows the hash of 32 bytes: alike for all readings of a meter that are accepted."""
    return cbor.encode([code, key_thumbprint, zone])[1:]


@dataclass(frozen=True, slots=True)
class ReadingResult:
    """What a block decided about one reading of a batch."""

    reading_hash: bytes
    """SHA-256 of the signed reading's bytes."""

    code: int
    """0 accepted; else a key of REASONS."""

    key_thumbprint: bytes
    """Thumbprint of the key whose signature stood, 32 bytes; empty when none did."""

    zone: str
    """The meter's zone; empty when the meter is unknown."""

    @property
    def encoded(self) -> bytes:
        """The leaf under `readings_root`."""
        return result_leaf(self.reading_hash, self.code, self.key_thumbprint, self.zone)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a leaf; raises Malformed."""
        reading_hash, code, key_thumbprint, zone = fields.items(
            cbor.decode(data), "reading result", 4
        )
        if not isinstance(zone, str):
            raise Malformed("zone: not text")
        return cls(
            fields.octets(reading_hash, "reading hash", 32),
            fields.uint(code, "code"),
            fields.blob(key_thumbprint, "key thumbprint", most=32),
            zone,
        )


@dataclass(frozen=True, slots=True)
class TxResult:
    """What a block decided about one transaction."""

    tx_id: bytes
    """Transaction id, 32 bytes (a batch's id)."""

    code: int
    """0 when the transaction stands."""

    readings_root: bytes
    """RFC 9162 root over the batch's reading results, 32 bytes."""

    witness_thumbprint: bytes
    """Thumbprint of the witness key, 32 bytes."""

    @property
    def encoded(self) -> bytes:
        """The leaf under `results_root`."""
        return cbor.encode([self.tx_id, self.code, self.readings_root, self.witness_thumbprint])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a leaf; raises Malformed."""
        tx_id, code, readings_root, witness_thumbprint = fields.items(
            cbor.decode(data), "transaction result", 4
        )
        return cls(
            fields.octets(tx_id, "transaction id", 32),
            fields.uint(code, "code"),
            fields.octets(readings_root, "readings root", 32),
            fields.octets(witness_thumbprint, "witness thumbprint", 32),
        )


@dataclass(frozen=True, slots=True)
class ZoneSeal:
    """The verdict on one zone and window: the leaf under `zone_root`."""

    zone: str
    """Zone id."""

    start_s: int
    """Start of the window, Unix seconds."""

    end_s: int
    """End of the window, Unix seconds."""

    revision: int
    """0 for the first seal of the window, then counting up."""

    verdict: Verdict
    """What the rule says."""

    residual_wh: int
    """R: what is lost between the boundary meters and the others; negative when energy appears."""

    loss_low_wh: int
    """Llo: the least that the lines and transformers must lose."""

    loss_high_wh: int
    """Lhi: the most that they can lose."""

    band_wh: int
    """The energy that could hide: in the losses' interval and the meters' tolerances."""

    coverage_ppm: int
    """Registered meters whose reading is in, parts per million."""

    parameters_hash: bytes
    """SHA-256 over the rule's parameters, 32 bytes."""

    inputs_root: bytes
    """RFC 9162 root over the SHA-256 of each reading used, in order of meter id, 32 bytes."""

    overloaded: tuple[str, ...] = ()
    """Branches that carried more than they are built for, by id."""

    marked: int = 0
    """Meters one of whose readings used says that something was done to it (opened, a magnet, set
    up anew) or that it is faulty."""

    @property
    def encoded(self) -> bytes:
        """The leaf under `zone_root`."""
        return cbor.encode(
            [
                self.zone,
                self.start_s,
                self.end_s,
                self.revision,
                int(self.verdict),
                self.residual_wh,
                self.loss_low_wh,
                self.loss_high_wh,
                self.band_wh,
                self.coverage_ppm,
                self.parameters_hash,
                self.inputs_root,
                list(self.overloaded),
                self.marked,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a leaf; raises Malformed."""
        item = fields.items(cbor.decode(data), "zone seal", 14)
        fields.uint(item[4], "verdict", most=max(Verdict))
        residual_wh, loss_low_wh, loss_high_wh = (fields.integer(wh, "energy") for wh in item[5:8])
        return cls(
            zone=fields.identifier(item[0], "zone"),
            start_s=fields.uint(item[1], "start"),
            end_s=fields.uint(item[2], "end"),
            revision=fields.uint(item[3], "revision"),
            verdict=Verdict(item[4]),
            residual_wh=residual_wh,
            loss_low_wh=loss_low_wh,
            loss_high_wh=loss_high_wh,
            band_wh=fields.uint(item[8], "band"),
            coverage_ppm=fields.uint(item[9], "coverage", most=1_000_000),
            parameters_hash=fields.octets(item[10], "parameters hash", 32),
            inputs_root=fields.octets(item[11], "inputs root", 32),
            overloaded=tuple(
                fields.identifier(each, "branch") for each in fields.items(item[12], "overloaded")
            ),
            marked=fields.uint(item[13], "marked"),
        )
