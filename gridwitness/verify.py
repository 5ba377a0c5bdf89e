"""`gridwitness verify`: a receipt, a folder of them or a file of records in words, offline.

Decides what a file is, and how the outcome of a receipt is told. Whether a receipt holds is decided
by `wire.receipt`; folders are told by `gridwitness.receipt_folder`, files of records by
`gridwitness.verify_records`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gridwitness import verify_from
from gridwitness.forged_receipt import changed_fields
from gridwitness.known_meter import with_commissioning
from gridwitness.labelled_meter import OtherMeter, read_label
from gridwitness.other_file import transaction_told
from gridwitness.own_account import clock_fields, doubts, own_account, words_of
from gridwitness.progress import Bar
from gridwitness.receipt_folder import verify_folder
from gridwitness.verify_records import damaged_records, examine_records, fault_fields
from gridwitness.which_meter import Sources, of_receipt, of_records
from hsm.publickey import read_key
from wire.block import Header
from wire.errors import Malformed, Refused
from wire.faults import when
from wire.genesis import Genesis
from wire.history import HEADS, MAX_FILE, SUFFIX, History
from wire.light import Checkpoint
from wire.links import BrokenLink
from wire.reading import ORIGIN_OWN_ELEMENT
from wire.receipt import Receipt, VerifiedReceipt
from wire.results import Verdict, ZoneSeal

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
        help="check a receipt or a meter's records offline and say in words what they prove",
        description="Check a receipt from the genesis file down to the reading, a folder of them "
        "(each, and each meter's readings together), or a meter's records (.gwr, or a single one) "
        "against its key; offline. The key is given (--key), or "
        "known from the genesis file, the meter's enrolment or the label on its housing; where "
        "several are given they must agree. A changed record is named by field. Exit status 0: it "
        "holds; 1: it does not, or is of another meter; 2: a file or key could not be read.",
    )
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="receipt (CBOR) or records (.gwr)"
    )
    parser.add_argument("--genesis", type=Path, metavar="FILE", help="the network's genesis file")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="begin there, not with the genesis file's validators (gridwitness network checkpoint)",
    )
    parser.add_argument(
        "--key", metavar="KEY", help="for records: the meter's public key, es256:… or a file"
    )
    parser.add_argument(
        "--enrolment",
        type=Path,
        metavar="FILE",
        help="the transaction that enrolled the meter (.gwe), checked with --genesis",
    )
    parser.add_argument(
        "--label", metavar="LABEL", help="the meter's label: its text GW1:… or a file, label.svg"
    )
    parser.add_argument(
        "--technician", metavar="KEY", help="the key that must have signed the commissioning record"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for scripts")
    verify_from.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify one file; returns the exit status."""
    try:
        genesis = Genesis.load(args.genesis) if args.genesis else None
        if args.file is not None and args.file.is_dir():
            outcome = _folder(args, genesis)
        else:
            data = verify_from.fetch(args, genesis) if args.file is None else _read(args.file)
            outcome = _outcome(args, data, genesis)
    except OSError as reason:
        print(f"gridwitness verify: {reason.filename}: {reason.strerror}", file=sys.stderr)
        return UNREADABLE
    except Refused as reason:
        # What the file itself has wrong is an outcome; this is about what it is checked with.
        where = f"{args.genesis}: " if str(reason).startswith("genesis: ") else ""
        print(f"gridwitness verify: {where}{reason}", file=sys.stderr)
        return UNREADABLE
    print(json.dumps(outcome.fields) if args.json else outcome.words)
    return VERIFIED if outcome.fields["verified"] else NOT_VERIFIED


def _read(path: Path) -> bytes:
    """A file's bytes, and one more than any file may have when it is too large."""
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def _checkpoint(path: Path | None) -> Checkpoint | None:
    if path is None:
        return None
    try:
        return Checkpoint.decode(path.read_bytes())
    except Malformed as reason:
        raise Refused(f"{path} is no checkpoint: {reason}") from None


def _sources(args: argparse.Namespace, genesis: Genesis | None) -> Sources:
    key = None if args.key is None else read_key(args.key)
    label = None if args.label is None else read_label(args.label)
    return Sources(genesis, key, args.enrolment, label)


def _folder(args: argparse.Namespace, genesis: Genesis | None) -> "Outcome":
    if genesis is None:
        raise Refused("a folder of receipts is checked with --genesis")
    sources, checkpoint = _sources(args, genesis), _checkpoint(args.checkpoint)
    with Bar("receipts", 1, sys.stderr) as bar:
        found = verify_folder(args.file, genesis, sources, checkpoint, bar.show_of)
    return Outcome(*found)


def _outcome(args: argparse.Namespace, data: bytes, genesis: Genesis | None) -> "Outcome":
    sources = _sources(args, genesis)
    if args.file is not None and (other := transaction_told(data, args.file)):
        raise Refused(f"{args.file}: {other}")
    if not _is_records(args, data):
        if genesis is None:
            raise Refused("a receipt is checked with --genesis, a meter's records with --key")
        return examine(data, genesis, sources, _checkpoint(args.checkpoint))
    try:
        history = History.decode(data)
    except Malformed as reason:
        return Outcome(*damaged_records(reason))
    technician = None if args.technician is None else read_key(args.technician)
    try:
        registered = of_records(sources, history)
    except OtherMeter as reason:
        return Outcome({**_failure(None, str(reason)), "faults": []}, f"NOT VERIFIED: {reason}.")
    try:
        registered = with_commissioning(registered, history.commissioning, technician, genesis)
    except Refused as reason:
        return Outcome(*damaged_records(reason))
    return Outcome(*examine_records(history, registered))


def _is_records(args: argparse.Namespace, data: bytes) -> bool:
    if args.file is None:
        return False
    return data.startswith(HEADS) or args.file.suffix == SUFFIX or args.key is not None


class Outcome:
    """What there is to say about a receipt."""

    def __init__(self, fields: dict[str, Any], words: str) -> None:
        self.fields = fields
        """For scripts: `verified`, `failed_link`, `reason` and what was read."""
        self.words = words
        """For people."""


def examine(
    data: bytes,
    genesis: Genesis,
    sources: Sources | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Check receipt bytes against a genesis file, and against what else is known of the meter.

    With a checkpoint the validators are believed from there on, not from the genesis file.
    """
    receipt = None
    try:
        receipt = Receipt.decode(data)
        verified = receipt.verify(genesis, checkpoint)
    except BrokenLink as broken:
        return _broken(broken, receipt, genesis)
    except Malformed as reason:
        words = f"NOT VERIFIED: this is no receipt, or it was damaged: {reason}."
        return Outcome(_failure(None, str(reason)), words)
    try:
        told = of_receipt(sources or Sources(), receipt, verified)
    except OtherMeter as reason:
        words = f"NOT VERIFIED: the receipt holds, and is not the one that was meant: {reason}."
        return Outcome(_failure(None, str(reason)), words)
    fields = _success(verified) | {"rests_on": _rests_on(receipt, genesis, checkpoint)}
    return Outcome(fields, _explain(verified, fields["rests_on"], checkpoint, told))


def _broken(broken: BrokenLink, receipt: Receipt | None, genesis: Genesis) -> Outcome:
    """Which link does not hold; of a forged reading also the field, when it can be shown."""
    words = f"NOT VERIFIED: {LINKS[broken.link]} does not hold: {broken}.\n{MEANINGS[broken.link]}"
    outcome = _failure(broken.link, str(broken))
    if broken.link == "reading" and receipt is not None:
        forged = changed_fields(receipt, genesis)
        outcome["faults"] = [fault_fields(fault) for fault in forged or []]
        words = "\n".join([words, *(f"Forged: {fault.words}." for fault in forged or [])])
        if forged == []:
            words += "\nThe authorities decided about another reading; no likely one is it."
    return Outcome(outcome, words)


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
        "status": reading.status,
        "status_words": words_of(reading.status),
        "clock": clock_fields(reading.clock),
        "gateway": found.witness.gateway,
        "witnessed_at_s": found.witness.witnessed_at_s,
        "network": found.witness.network,
        "height": found.header.height,
        "block_time_ms": found.header.time_ms,
        "seals": list(found.seals),
        "zone": found.result.zone,
        "verdict": None if seal is None else seal.verdict.name,
        "overloaded": [] if seal is None else list(seal.overloaded),
        "marked": 0 if seal is None else seal.marked,
    }


def _rests_on(receipt: Receipt, genesis: Genesis, checkpoint: Checkpoint | None) -> list[list[str]]:
    """Ids of the set that is believed, and of each that it leads to up to the newest header."""
    first = genesis.validators if checkpoint is None else checkpoint.validators
    after = 0 if checkpoint is None else checkpoint.content.height
    changes = [each for each in receipt.changes if Header.decode(each.header).height > after]
    return [list(first.ids), *(list(each.validators.ids) for each in changes)]


def _rest_in_words(rests_on: list[list[str]], checkpoint: Checkpoint | None) -> str:
    first, *later = (", ".join(ids) for ids in rests_on)
    where = "the genesis file names them"
    if checkpoint is not None:
        where = f"the checkpoint at block {checkpoint.content.height} names them"
    words = f"This rests on the keys of {first}, as {where}"
    if later:
        words += "; they sealed who came after them: " + ", then ".join(later)
    return words + "."


def _explain(
    found: VerifiedReceipt,
    rests_on: list[list[str]],
    checkpoint: Checkpoint | None,
    told: list[str],
) -> str:
    reading, witness, seal = found.reading, found.witness, found.zone_seal
    end_s = reading.interval_start_s + reading.interval_s
    who = "the meter's own key" if reading.origin == ORIGIN_OWN_ELEMENT else "its gateway's key"
    total = len(found.validators)
    lines = [
        f"VERIFIED{doubts(reading)}: meter {reading.meter} at {reading.node}",
        f"  measured  {reading.import_advance_wh} Wh in, {reading.export_advance_wh} Wh out",
        f"            from {when(reading.interval_start_s)} to {when(end_s)}",
        f"            registers then {reading.import_wh} Wh in, {reading.export_wh} Wh out"
        f" (record {reading.sequence}, signed by {who})",
        *own_account(reading),
        f"  witnessed by {witness.gateway} at {when(witness.witnessed_at_s)}"
        f" in batch {witness.sequence}{_place(found)}",
        f"  sealed    in block {found.header.height} of {witness.network}"
        f" by {', '.join(found.seals)} ({len(found.seals)} of {total})",
    ]
    if seal is None:
        zone = found.result.zone
        lines.append(f"  zone      {zone}: no verdict rested on this reading when this was made")
    else:
        lines.append(f"  zone      {seal.zone}: {seal.verdict.name}, {VERDICTS[seal.verdict]}")
        lines.append(
            f"            {seal.residual_wh} Wh lost on the way; its lines explain"
            f" {seal.loss_low_wh} to {seal.loss_high_wh} Wh, and {seal.band_wh} Wh could hide"
        )
        lines += [f"            {words}" for words in _remarks(seal, reading.interval_s)]
    lines += [f"  {each}" for each in told]
    lines.append(_rest_in_words(rests_on, checkpoint))
    return "\n".join(lines)


def _remarks(seal: ZoneSeal, interval_s: int) -> list[str]:
    """What a zone seal says beside its verdict."""
    remarks = []
    intervals = (seal.end_s - seal.start_s) // interval_s
    if intervals > 1:
        remarks.append(f"judged over {intervals} intervals at once, because readings are missing")
    if seal.overloaded:
        remarks.append(f"more than they are built for went through {', '.join(seal.overloaded)}")
    if seal.marked:
        meters = "1 meter reports" if seal.marked == 1 else f"{seal.marked} meters report"
        remarks.append(f"{meters} a fault, or that something was done to them")
    return remarks


def _place(found: VerifiedReceipt) -> str:
    position = found.witness.position
    if position is None:
        return ", place unknown"
    return f", at {position.lat_e7 / 1e7:.5f}, {position.lon_e7 / 1e7:.5f}"
