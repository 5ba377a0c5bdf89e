"""The commissioning report: what was done at a meter, for the file cabinet and for programs.

Decides what a report says and its JSON form (format 1, the keys are those of `as_json`); its page
is drawn by `device.provision.report_page`. A report cannot be made of a record whose signatures do
not stand, so its verification statement is true when it is printed. Leaves writing files to the
tool.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from device.provision.at_prompt import Proof
from device.provision.holder import HolderLink
from device.provision.label import Label, groups, spki
from wire.commissioning import CommissioningRecord
from wire.errors import Malformed
from wire.event import time_words
from wire.keys import PublicKey

FORMAT = 1
STEPS = 8
OUTCOMES = ("ok", "already", "skipped", "failed")


@dataclass(frozen=True, slots=True)
class Step:
    """One of the eight steps, as it ended."""

    number: int
    """1 to 8."""

    title: str
    """What it is called: "Key"."""

    outcome: str
    """One of `OUTCOMES`; "already" when nothing had to be done."""

    words: str
    """What was found, as the technician read it."""

    seconds: float
    """How long it took."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= STEPS or self.outcome not in OUTCOMES:
            raise Malformed(f"no such step or outcome: {self.number}, {self.outcome}")


@dataclass(frozen=True, slots=True)
class Measured:
    """What the element measured at commissioning."""

    frequency_mhz: int
    """Frequency, thousandths of a hertz."""

    phases: tuple[tuple[int, int, int], ...]
    """(millivolts, milliamperes, milliwatts) of each phase; power + is import."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A commissioning, whole. Making one checks both signatures of the record."""

    record: CommissioningRecord
    """What meter and technician signed."""

    meter_key: PublicKey
    """The key that the meter made."""

    technician_key: PublicKey
    """The key that the technician signed with."""

    software_id: bytes
    """Prefix of the hash of the meter's code, 4 bytes."""

    made_at_s: int
    """When the report was made, Unix seconds."""

    clock_error_ms: int
    """How far the meter's clock is from this computer's at the most, milliseconds."""

    registers_wh: tuple[int, int]
    """Import and export register of the first signed snapshot or record, Wh."""

    steps: tuple[Step, ...]
    """The steps that were done, in order."""

    measured: Measured | None = None
    """What the element measured; None when nothing was connected."""

    proof: Proof | None = None
    """What the meter signed when it was commissioned; its signatures are checked too."""

    board: str = ""
    """Which board and MicroPython."""

    simulated: bool = False
    """True when no board of metal was commissioned."""

    holder: HolderLink | None = None
    """For the meter's holder; only the printed page has it, never the report for programs."""

    label: Label = field(init=False)
    """The meter's label."""

    def __post_init__(self) -> None:
        """Check the signatures; raises BadSignature, or Malformed for a content without a visit."""
        self.record.verify(self.meter_key, self.technician_key)
        if self.proof is not None:
            self.proof.verify(self.meter_key)
        object.__setattr__(self, "label", Label.of(self.record.content["meter"], self.meter_key))

    @property
    def visit(self) -> dict[str, Any]:
        """What the record says of the visit; may lack anything."""
        found: dict[str, Any] = self.record.content.get("commissioning", {})
        return found

    @property
    def seals(self) -> list[str]:
        """Numbers of the seals."""
        seals = self.visit.get("seals", [])
        return [str(seal) for seal in seals] if isinstance(seals, list) else []

    @property
    def commissioned_at_s(self) -> int:
        """When the technician commissioned it, Unix seconds; 0 when the record does not say."""
        found = self.visit.get("commissioned_at_s", 0)
        return found if isinstance(found, int) else 0

    @property
    def seconds(self) -> float:
        """How long all steps took."""
        return sum(step.seconds for step in self.steps)

    @property
    def statement(self) -> list[str]:
        """What was verified when this report was made, and how anybody verifies it again."""
        kid = groups(self.meter_key.kid.hex())
        who = groups(self.technician_key.kid.hex())
        return [
            f"On {time_words(self.made_at_s)} this was verified: the meter's key {kid} signed the"
            f" configuration {self.record.configuration_id.hex()}, and the technician's key {who}"
            " signed the same bytes.",
            *self._proved,
            "The key was made in the meter; what commissioned it never saw it. Every reading names"
            " this configuration; a reading that names another was made after a change that nobody"
            " signed here.",
            "To verify again, on any computer and without a network: gridwitness verify FILE.gwr"
            " --key KEY, with the meter's file of records and the public key of this report,"
            " whose fingerprint is on the label.",
        ]

    @property
    def _proved(self) -> list[str]:
        if self.proof is None:
            return []
        event, (import_wh, export_wh) = self.proof.snapshot.event, self.proof.registers_wh
        words = (
            f"Then the meter showed its registers, {import_wh} Wh import and {export_wh} Wh export,"
            f" and signed the same in its event {event.number}"
        )
        if self.proof.record is None:
            return [f"{words}. It had no record yet: the first is of the first whole interval."]
        reading = self.proof.record.reading
        return [
            f"{words}; its record {reading.sequence}, of the interval from"
            f" {time_words(reading.interval_start_s)}, bears its signature."
        ]


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs.

    Energies are in Wh, times in Unix seconds unless a name says otherwise; keys are given as text
    (`es256:…`), as SubjectPublicKeyInfo (DER, hex) and by kid.
    """
    content = report.record.content
    return {
        "format": FORMAT,
        "simulated": report.simulated,
        "made_at_s": report.made_at_s,
        "commissioned_at_s": report.commissioned_at_s,
        "meter": content["meter"],
        "node": content["node"],
        "zone": content["zone"],
        "site": content.get("site", []),
        "board": report.board,
        "key": _key_json(report.meter_key),
        "label": report.label.text,
        "software_id": report.software_id.hex(),
        "configuration_id": report.record.configuration_id.hex(),
        "configuration": content,
        "registers_wh": list(report.registers_wh),
        "start_wh": report.visit.get("start_wh", []),
        "seals": report.seals,
        "old_meter": report.visit.get("old_meter", {}),
        "snapshot": _snapshot_json(report.proof),
        "record": _record_json(report.proof),
        "acknowledged": _acknowledged_json(report.proof),
        "measured": _measured_json(report.measured),
        "clock_error_ms": report.clock_error_ms,
        "technician": {
            "id": str(report.visit.get("technician", "")),
            "key": _key_json(report.technician_key),
        },
        "steps": [
            {
                "number": step.number,
                "title": step.title,
                "outcome": step.outcome,
                "words": step.words,
                "ms": round(step.seconds * 1000),
            }
            for step in report.steps
        ],
        "ms": round(report.seconds * 1000),
        "commissioning_record": report.record.encoded.hex(),
        "commissioning_record_sha256": hashlib.sha256(report.record.encoded).hexdigest(),
        "statement": report.statement,
    }


def _key_json(public: PublicKey) -> dict[str, str]:
    return {"text": public.text, "spki": spki(public).hex(), "kid": public.kid.hex()}


def _snapshot_json(proof: Proof | None) -> dict[str, Any] | None:
    if proof is None:
        return None
    event = proof.snapshot.event
    return {
        "event": event.number,
        "time_s": event.time_s,
        "registers_wh": list(proof.registers_wh),
        "signed": proof.snapshot.encoded.hex(),
    }


def _record_json(proof: Proof | None) -> dict[str, Any] | None:
    if proof is None or proof.record is None:
        return None
    reading = proof.record.reading
    return {
        "sequence": reading.sequence,
        "interval_start_s": reading.interval_start_s,
        "registers_wh": [reading.import_wh, reading.export_wh],
        "signed": proof.record.encoded.hex(),
    }


def _acknowledged_json(proof: Proof | None) -> dict[str, Any] | None:
    if proof is None or proof.acknowledged is None:
        return None
    return {
        "event": proof.acknowledged.event.number,
        "what": [each.words for each in proof.stood],
        "stands_again": [each.words for each in proof.left],
        "signed": proof.acknowledged.encoded.hex(),
    }


def _measured_json(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    phases = [
        {"voltage_mv": voltage, "current_ma": current, "power_mw": power}
        for voltage, current, power in measured.phases
    ]
    return {"frequency_mhz": measured.frequency_mhz, "phases": phases}
