"""A folder of receipts, verified: each one, and each meter's readings together.

Decides which files count, and how the outcome is told: every receipt must hold from the genesis
file down, and a meter's readings must follow one another in sequence, hash chain and registers.
Missing sequences are told; they are no fault of what is there. Whether a receipt holds is decided
by `wire.receipt`, whether readings fit together by `wire.series`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridwitness.known_meter import given
from gridwitness.labelled_meter import OtherMeter
from gridwitness.verify_records import examine_records
from gridwitness.which_meter import Sources, of_receipt
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.history import History
from wire.keys import PublicKey
from wire.light import Checkpoint
from wire.links import BrokenLink
from wire.receipt import Receipt, VerifiedReceipt
from wire.results import LATE

SUFFIXES = (".receipt", ".cbor")
_MOST_BYTES = 1024 * 1024
_MOST_TOLD = 10
_STEP = 200

Progress = Callable[[int, int], None]
"""Told how many of how many receipts have been verified."""


@dataclass
class _Meter:
    """The receipts of one meter and key."""

    key: PublicKey
    """Key that signed the readings."""

    readings: dict[int, bytes] = field(default_factory=dict)
    """Signed readings by sequence."""

    verdicts: Counter[str] = field(default_factory=Counter)
    """How often each verdict of the zone stands in them."""

    late: int = 0
    """Readings that came after the acceptance window."""


@dataclass
class _Folder:
    """What was found so far."""

    meters: dict[tuple[str, bytes], _Meter] = field(default_factory=dict)
    """By meter id and key thumbprint."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    """Files that do not hold: `file`, `failed_link`, `reason`."""

    receipts: int = 0
    """Receipts that hold."""

    twice: int = 0
    """Receipts of a reading that another file has as well."""

    def fault(self, file: Path, link: str | None, reason: str) -> None:
        """Note a file that does not hold."""
        self.faults.append({"file": file.name, "failed_link": link, "reason": reason})

    def take(self, file: Path, receipt: Receipt, verified: VerifiedReceipt) -> None:
        """Note one that does."""
        reading = verified.reading
        place = (reading.meter, receipt.meter_key.thumbprint)
        meter = self.meters.setdefault(place, _Meter(receipt.meter_key))
        before = meter.readings.get(reading.sequence)
        if before is not None and before != receipt.reading:
            self.fault(file, "reading", f"another content of {reading.meter} {reading.sequence}")
            return
        self.receipts += 1
        if before is not None:
            self.twice += 1
            return
        meter.readings[reading.sequence] = receipt.reading
        seal = verified.zone_seal
        meter.verdicts["without a verdict" if seal is None else seal.verdict.name] += 1
        meter.late += verified.result.code == LATE


def verify_folder(
    folder: Path,
    genesis: Genesis,
    sources: Sources,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> tuple[dict[str, Any], str]:
    """Verify every receipt in a folder; returns the outcome for scripts and for people.

    Raises:
        Refused: there is no receipt in it, or what it is checked with is no proof.
        OSError: it cannot be read.
    """
    files = sorted(each for each in folder.rglob("*") if each.suffix in SUFFIXES)
    if not files:
        raise Refused(f"{folder} has no receipt: files end with {' or '.join(SUFFIXES)}")
    found = _Folder()
    for number, file in enumerate(files):
        if number % _STEP == 0:
            progress(number, len(files))
        _verify(found, file, genesis, sources, checkpoint)
    progress(len(files), len(files))
    parts = [_together(name, meter) for (name, _), meter in sorted(found.meters.items())]
    fields = _fields(found, parts, len(files))
    return fields, "\n".join(_lines(found, fields, parts))


def _verify(
    found: _Folder,
    file: Path,
    genesis: Genesis,
    sources: Sources,
    checkpoint: Checkpoint | None,
) -> None:
    with file.open("rb") as opened:
        data = opened.read(_MOST_BYTES)
    try:
        receipt = Receipt.decode(data)
        verified = receipt.verify(genesis, checkpoint)
        of_receipt(sources, receipt, verified)
    except BrokenLink as broken:
        found.fault(file, broken.link, str(broken))
    except (Malformed, OtherMeter) as reason:
        found.fault(file, None, str(reason))
    else:
        found.take(file, receipt, verified)


def _together(name: str, meter: _Meter) -> tuple[dict[str, Any], str]:
    """What a meter's readings say together, for scripts and for people."""
    readings = [encoded for _, encoded in sorted(meter.readings.items())]
    fields, words = examine_records(History.of(readings), given(meter.key))
    fields |= {"meter": name, "verdicts": dict(sorted(meter.verdicts.items())), "late": meter.late}
    told = ", ".join(f"{count} {word}" for word, count in sorted(meter.verdicts.items()))
    lines = [*words.splitlines(), f"  zone      {told}"]
    if meter.late:
        lines.append(f"  late      {meter.late}: only a case settles them")
    return fields, "\n".join(lines)


def _fields(found: _Folder, parts: list[tuple[dict[str, Any], str]], files: int) -> dict[str, Any]:
    meters = [fields for fields, _ in parts]
    good = not found.faults and all(fields["verified"] for fields in meters)
    return {
        "verified": good,
        "files": files,
        "receipts": found.receipts,
        "duplicates": found.twice,
        "faults": found.faults,
        "meters": meters,
    }


def _lines(
    found: _Folder, fields: dict[str, Any], parts: list[tuple[dict[str, Any], str]]
) -> Iterator[str]:
    meters = "1 meter" if len(parts) == 1 else f"{len(parts)} meters"
    if fields["verified"] and found.receipts == 1:
        yield f"VERIFIED: 1 receipt of {meters}, from the genesis file down"
    elif fields["verified"]:
        yield f"VERIFIED: {found.receipts} receipts of {meters}, each from the genesis file down"
    elif not found.receipts and fields["files"] == 1:
        yield "NOT VERIFIED: the one receipt that is there does not hold"
    else:
        hold = "holds" if found.receipts == 1 else "hold"
        yield f"NOT VERIFIED: {found.receipts} of {fields['files']} receipts {hold}, of {meters}"
    for fault in found.faults[:_MOST_TOLD]:
        link = f" ({fault['failed_link']})" if fault["failed_link"] else ""
        yield f"  {fault['file']}{link}: {fault['reason']}."
    if len(found.faults) > _MOST_TOLD:
        yield f"  and {len(found.faults) - _MOST_TOLD} more"
    if found.twice:
        files = "1 file repeats" if found.twice == 1 else f"{found.twice} files repeat"
        yield f"  {files} a reading that another file has"
    for _, words in parts:
        yield words
