"""Readings for meters that cannot sign: two boundary reads make one interval.

Decides what becomes a reading and what is a gap. A reading needs both ends: the registers just
after its start and just after its end. Where one is missing, or the registers ran backwards (a
reset is an event, never consumption), there is no reading, and nothing is guessed. The reader
signs it later (`delivery.reader`); the payload is settled here.
"""

import hashlib
from dataclasses import dataclass, field

from gateway.meters.decode import Registers, runs_backwards
from gateway.polling.schedule import INTERVAL_S
from gateway.timing import ClockQuality
from wire import cbor
from wire.cose import HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID, sig_structure
from wire.keys import PublicKey
from wire.reading import CONTENT_TYPE, ORIGIN_MODBUS, ClockEvidence, Reading, ReadSource

STATUS_CLOCK_INVALID = 1 << 1
"""Status bit CIV: the clock by which the interval was cut is not known to be right."""

_CLOCK_SET_S = 60
"""Two boundaries whose real distance is off by more were not cut by one clock."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A meter's registers, read just after an interval boundary."""

    boundary_s: int
    """The boundary, Unix seconds."""

    registers: Registers
    """Energies, Wh."""

    words: bytes
    """Raw register words."""

    offset_ms: int
    """How long after the boundary the answer was in."""

    machine_s: float | None = field(default=None, compare=False)
    """The machine's own running time at the boundary; None for a sample of an earlier life."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The meter that is read, as registered."""

    meter: str
    """Meter id."""

    node: str
    """Grid node."""

    configuration_id: bytes
    """Prefix of its commissioning record's hash, 8 bytes."""

    template: bytes
    """Prefix of the hash of the template that reads it, 8 bytes."""


@dataclass(frozen=True, slots=True)
class ReaderState:
    """The reader itself: what it says of its own life in each reading."""

    public: PublicKey
    """The key that will sign."""

    boots: int
    """How often the reader was started."""

    operating_s: int
    """Its operating seconds at the boundary."""

    clock: ClockQuality
    """What its clock is worth."""

    software_id: bytes
    """Prefix of the hash of the code that reads and closes, 4 bytes."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What a meter's next reading continues."""

    previous: bytes
    """SHA-256 of the Sig_structure of this reader's last reading of the meter; zeros at first."""

    events: int
    """Events that the reader has counted for the meter."""


@dataclass(frozen=True, slots=True)
class ClosedReading:
    """A reading whose bytes are settled and stored, and not signed yet."""

    meter: str
    """Meter id."""

    sequence: int
    """Interval start divided by the interval's length."""

    interval_start_s: int
    """Unix seconds."""

    protected: bytes
    """The protected header."""

    payload: bytes
    """The encoded reading."""

    @property
    def message(self) -> bytes:
        """The Sig_structure that the reader key signs."""
        return sig_structure(self.protected, self.payload)

    @property
    def sig_hash(self) -> bytes:
        """What the meter's next reading names as its previous one, 32 bytes."""
        return hashlib.sha256(self.message).digest()


def spans_one_interval(before: Sample | None, after: Sample) -> bool:
    """Whether two samples are the two ends of one interval that can be told."""
    return (
        before is not None
        and after.boundary_s - before.boundary_s == INTERVAL_S
        and not runs_backwards(before.registers, after.registers)
    )


def really_apart(before: Sample, after: Sample) -> bool:
    """Whether the machine saw about one interval pass between two boundaries.

    A clock that was set in between makes boundaries that are nearer or farther than they say.
    """
    if before.machine_s is None or after.machine_s is None:
        return True
    return abs(after.machine_s - before.machine_s - INTERVAL_S) <= _CLOCK_SET_S


def close(
    before: Sample, after: Sample, subject: Subject, reader: ReaderState, chain: Chain
) -> ClosedReading:
    """Make the reading of the interval between two samples that span it."""
    quality = reader.clock
    start_s = before.boundary_s
    reading = Reading(
        meter=subject.meter,
        node=subject.node,
        interval_start_s=start_s,
        interval_s=INTERVAL_S,
        import_wh=after.registers.import_wh,
        export_wh=after.registers.export_wh,
        import_advance_wh=after.registers.import_wh - before.registers.import_wh,
        export_advance_wh=after.registers.export_wh - before.registers.export_wh,
        sequence=start_s // INTERVAL_S,
        boots=reader.boots,
        operating_s=reader.operating_s,
        status=0 if quality.quality else STATUS_CLOCK_INVALID,
        clock=ClockEvidence(quality.quality, 0, 0, -(-quality.error_ms // 1000)),
        previous=chain.previous,
        software_id=reader.software_id,
        configuration_id=subject.configuration_id,
        events=chain.events,
        origin=ORIGIN_MODBUS,
        source=ReadSource(subject.template, after.words, before.offset_ms, after.offset_ms),
    )
    headers = {
        HEADER_ALG: reader.public.alg,
        HEADER_CONTENT_TYPE: CONTENT_TYPE,
        HEADER_KID: reader.public.kid,
    }
    return ClosedReading(
        subject.meter, reading.sequence, start_s, cbor.encode(headers), reading.payload()
    )
