"""`gridwitness verify`: a receipt explained in words, offline.

Decides how the outcome is told. Whether the receipt holds is decided by `wire.receipt`.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.links import BrokenLink
from wire.reading import ORIGIN_OWN_ELEMENT
from wire.receipt import Receipt, VerifiedReceipt
from wire.results import Verdict

LINKS = {
    "reading": "the meter's reading",
    "witness": "the gateway's witness statement",
    "inclusion": "a path of the proof",
    "header": "the block header",
    "seals": "the authorities' seals",
    "zone": "the zone's energy balance",
    "genesis": "the network",
}
MEANINGS = {
    "reading": "It is not what a registered meter signed, or the authorities refused it.",
    "witness": "The named gateway did not witness this batch of readings.",
    "inclusion": "The parts do not belong together: something was exchanged after it was signed.",
    "header": "The block header is not the one that the authorities sealed.",
    "seals": "Too few known authorities stand behind this block; it may never have been final.",
    "zone": "The reading may be right, but this balance of its zone is not proved.",
    "genesis": "This receipt belongs to another network than the genesis file.",
}
VERDICTS = {
    Verdict.BALANCED: "what flowed in came out, save for losses that its lines explain",
    Verdict.SUSPECT: "the sum is off by more than meters' tolerances make likely",
    Verdict.IMPOSSIBLE: "the sum is off by more than meters within their limits can explain",
    Verdict.INCONCLUSIVE: "a meter is missing, so nothing can be said",
    Verdict.UNREFERENCED: "the zone has no boundary meter to compare with",
}
VERIFIED, NOT_VERIFIED, UNREADABLE = 0, 1, 2


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `verify`."""
    parser = subparsers.add_parser(
        "verify",
        help="check a receipt offline and say in words what it proves",
        description="Check a receipt, offline, from the genesis file down to the reading. "
        "Exit status 0: it holds; 1: it does not; 2: a file could not be read.",
    )
    parser.add_argument("receipt", type=Path, metavar="RECEIPT", help="the receipt file (CBOR)")
    parser.add_argument(
        "--genesis", type=Path, required=True, metavar="FILE", help="the network's genesis file"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify one file; returns the exit status."""
    try:
        genesis = Genesis.load(args.genesis)
        data = args.receipt.read_bytes()
    except OSError as reason:
        print(f"gridwitness verify: {reason.filename}: {reason.strerror}", file=sys.stderr)
        return UNREADABLE
    except Refused as reason:
        print(f"gridwitness verify: {args.genesis}: {reason}", file=sys.stderr)
        return UNREADABLE
    outcome = examine(data, genesis)
    if args.json:
        print(json.dumps(outcome.fields))
    else:
        print(outcome.words)
    return VERIFIED if outcome.fields["verified"] else NOT_VERIFIED


class Outcome:
    """What there is to say about a receipt."""

    def __init__(self, fields: dict[str, Any], words: str) -> None:
        self.fields = fields
        """For scripts: `verified`, `failed_link`, `reason` and what was read."""
        self.words = words
        """For people."""


def examine(data: bytes, genesis: Genesis) -> Outcome:
    """Check receipt bytes against a genesis file."""
    try:
        verified = Receipt.decode(data).verify(genesis)
    except BrokenLink as broken:
        words = (
            f"NOT VERIFIED: {LINKS[broken.link]} does not hold: {broken}.\n{MEANINGS[broken.link]}"
        )
        return Outcome(_failure(broken.link, str(broken)), words)
    except Malformed as reason:
        words = f"NOT VERIFIED: this is no receipt, or it was damaged: {reason}."
        return Outcome(_failure(None, str(reason)), words)
    return Outcome(_success(verified), _explain(verified, genesis))


def _failure(link: str | None, reason: str) -> dict[str, Any]:
    return {"verified": False, "failed_link": link, "reason": reason}


def _success(found: VerifiedReceipt) -> dict[str, Any]:
    reading, seal = found.reading, found.zone_seal
    return {
        "verified": True,
        "failed_link": None,
        "reason": "",
        "meter": reading.meter,
        "node": reading.node,
        "sequence": reading.sequence,
        "origin": reading.origin,
        "interval_start_s": reading.interval_start_s,
        "interval_s": reading.interval_s,
        "import_wh": reading.import_wh,
        "export_wh": reading.export_wh,
        "import_advance_wh": reading.import_advance_wh,
        "export_advance_wh": reading.export_advance_wh,
        "gateway": found.witness.gateway,
        "witnessed_at_s": found.witness.witnessed_at_s,
        "network": found.witness.network,
        "height": found.header.height,
        "block_time_ms": found.header.time_ms,
        "seals": list(found.seals),
        "zone": found.result.zone,
        "verdict": None if seal is None else seal.verdict.name,
    }


def _when(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s after 1970"


def _explain(found: VerifiedReceipt, genesis: Genesis) -> str:
    reading, witness, seal = found.reading, found.witness, found.zone_seal
    end_s = reading.interval_start_s + reading.interval_s
    who = "the meter's own key" if reading.origin == ORIGIN_OWN_ELEMENT else "its gateway's key"
    total = len(genesis.validators)
    lines = [
        f"VERIFIED: meter {reading.meter} at {reading.node}",
        f"  measured  {reading.import_advance_wh} Wh in, {reading.export_advance_wh} Wh out",
        f"            from {_when(reading.interval_start_s)} to {_when(end_s)}",
        f"            registers then {reading.import_wh} Wh in, {reading.export_wh} Wh out"
        f" (record {reading.sequence}, signed by {who})",
        f"  witnessed by {witness.gateway} at {_when(witness.witnessed_at_s)}"
        f" in batch {witness.sequence}{_place(found)}",
        f"  sealed    in block {found.header.height} of {witness.network}"
        f" by {', '.join(found.seals)} ({len(found.seals)} of {total})",
    ]
    if seal is None:
        lines.append(f"  zone      {found.result.zone}: not sealed when this receipt was made")
    else:
        lines.append(f"  zone      {seal.zone}: {seal.verdict.name}, {VERDICTS[seal.verdict]}")
        lines.append(
            f"            {seal.residual_wh} Wh lost on the way, explained are"
            f" {seal.loss_low_wh} to {seal.loss_high_wh} Wh, give or take {seal.band_wh} Wh"
        )
    keys = ", ".join(genesis.validators.ids)
    lines.append(f"This rests on the keys of {keys}, as the genesis file names them.")
    return "\n".join(lines)


def _place(found: VerifiedReceipt) -> str:
    position = found.witness.position
    if position is None:
        return ", place unknown"
    return f", at {position.lat_e7 / 1e7:.5f}, {position.lon_e7 / 1e7:.5f}"
