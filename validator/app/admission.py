"""Rules S, T, L and C on one reading.

Decides one code of `wire.results.REASONS` for one signed reading, and what the state remembers of
it when it is accepted. A reading is refused for its own faults or its carrier's, never for a sum
that fails. It is compared with the accepted neighbours in sequence on both sides, so that order of
arrival does not matter (`validator.app.neighbours`).

A refusal writes nothing. What was refused as permanent is refused again whenever it comes, because
what it collided with is never taken back.
"""

from dataclasses import dataclass
from typing import NamedTuple

from validator.app.carrier import SignatureBook
from validator.app.entries import Meter
from validator.app.geometry import Point, within
from validator.app.neighbours import Gap, fit
from validator.app.parameters import Parameters
from validator.app.records import (
    CONFLICT,
    MOST_SKEW_MS,
    STATUS_BITS,
    AcceptedReading,
    Conflict,
    key,
    lane,
)
from validator.app.registries import Registries
from validator.app.state import Overlay
from validator.app.terms import CarriedTerms, Terms
from wire.errors import Refused
from wire.keys import PublicKey
from wire.reading import ORIGIN_OWN_ELEMENT, Reading, SignedReading
from wire.results import ACCEPTED, ALREADY_ACCEPTED, LATE
from wire.witness import WitnessStatement

MALFORMED = 10
UNKNOWN_METER = 11
WRONG_ORIGIN = 12
UNKNOWN_KEY = 13
BAD_SIGNATURE = 14
EQUIVOCATION = 15
NOT_REGISTERED_THEN = 16
COMPROMISED_KEY = 17
MISALIGNED = 20
ENDED_AFTER_WITNESS = 21
WRONG_SEQUENCE = 22
WRONG_NODE = 30
WRONG_CONFIGURATION = 31
WRONG_SOFTWARE = 32
METER_MOVED = 35
OVER_RATING = 40
OVER_INSTALLED = 41
NO_SOURCE = 42
OVER_RATING_REACTIVE = 43


@dataclass(frozen=True, slots=True)
class Carriage:
    """How a reading came: the same for all readings of a batch."""

    registries: Registries
    """Who and what is registered, interval by interval."""

    terms: CarriedTerms
    """What of it holds for the readings that the gateway brings."""

    statement: WitnessStatement
    """The gateway's word, which stands."""

    height: int
    """Block height."""

    time_s: int
    """Block time, Unix seconds."""

    book: SignatureBook
    """Which signatures stand."""


class Admission(NamedTuple):
    """What was decided about one reading."""

    code: int
    """A key of REASONS."""

    thumbprint: bytes
    """Of the key whose signature stood, 32 bytes; empty when none did."""

    terms: Terms | None
    """What is registered for the meter's reading, None when the meter is not."""

    gaps: tuple[Gap, ...] = ()
    """Intervals beside an accepted one that have no reading."""

    row: bytes = b""
    """Key of an accepted one in the state's table of readings."""


def open_reading(encoded: bytes) -> SignedReading | None:
    """Decode a reading; None when it is malformed."""
    try:
        return SignedReading.open(encoded)
    except Refused:
        return None


def admit(carriage: Carriage, overlay: Overlay, signed: SignedReading, digest: bytes) -> Admission:
    """Decide about a well-formed reading; write it to the overlay when it is accepted.

    Args:
        carriage: how it came.
        overlay: the block's writes.
        signed: the reading.
        digest: SHA-256 of its bytes, 32 bytes.
    """
    reading, registries = signed.reading, carriage.registries
    terms = carriage.terms.of(reading.meter, reading.interval_start_s)
    if terms is None:
        known = registries.was_registered("meters", reading.meter)
        return Admission(NOT_REGISTERED_THEN if known else UNKNOWN_METER, b"", None)
    if (reading.origin == ORIGIN_OWN_ELEMENT) != terms.signs:
        return Admission(WRONG_ORIGIN, b"", terms)
    public, rank = _key_of(carriage, terms, signed)
    if public is None:
        return Admission(UNKNOWN_KEY, b"", terms)
    if registries.is_ended(public, carriage.height):
        return Admission(COMPROMISED_KEY, b"", terms)
    if not carriage.book.stands(public, signed.message, signed.signature):
        return Admission(BAD_SIGNATURE, b"", terms)
    parameters = registries.base.parameters
    place = terms.lane if terms.signs else lane(reading.meter, public.thumbprint)
    code = (
        _repetition(overlay, place, signed, digest)
        or _registered(terms.meter, reading)
        or _location(parameters, terms, reading)
        or _interval(parameters, carriage, terms, reading)
        or _capacity(terms, reading)
    )
    if code:
        return Admission(code, public.thumbprint, terms)
    oldest_s = carriage.time_s - parameters.acceptance_window_s
    record = _record(signed, digest, oldest_s, rank)
    fitting = fit(parameters, overlay, place, reading.sequence, record)
    if fitting.code:
        return Admission(fitting.code, public.thumbprint, terms)
    row = overlay.accept(place, reading.sequence, record)
    code = LATE if record.late else ACCEPTED
    return Admission(code, public.thumbprint, terms, fitting.gaps, row)


def _key_of(
    carriage: Carriage, terms: Terms, signed: SignedReading
) -> tuple[PublicKey | None, int]:
    """S: the registered key that should have signed, and how many readers come before it.

    A meter's key is one of its interval, a reader's also one of when the gateway saw the reading:
    what waits is signed late.
    """
    hint = signed.hint
    known = terms.keys.get(hint)
    if known is not None or terms.signs:
        return known, 0
    meter, start_s = terms.meter, signed.reading.interval_start_s
    for rank, reader in enumerate((meter.reader, *meter.also_read_by)):
        for at_s in (start_s, carriage.statement.witnessed_at_s):
            for public in carriage.registries.standing(reader, "reader", at_s):
                if public.hint == hint:
                    return public, rank
    return None, 0


def _repetition(overlay: Overlay, place: bytes, signed: SignedReading, digest: bytes) -> int:
    """S: the same content again is harmless; another under the same sequence is equivocation."""
    sequence = signed.reading.sequence
    accepted = overlay.reading(place, sequence)
    if accepted is None:
        return 0
    if accepted.sig_hash == signed.sig_hash:
        return ALREADY_ACCEPTED
    row = key(place, sequence)
    if overlay.get(CONFLICT, row) is None:
        overlay.put(CONFLICT, row, Conflict(signed.sig_hash, digest).packed())
    return EQUIVOCATION


def _registered(meter: Meter, reading: Reading) -> int:
    """S and L: node, commissioning record and software are the registered ones."""
    if reading.node != meter.node:
        return WRONG_NODE
    if reading.configuration_id != meter.configuration_id:
        return WRONG_CONFIGURATION
    # Fields 11, 12, 14, 16 and 18 of a meter that cannot sign describe its reader.
    if meter.key is not None and meter.software_id not in (None, reading.software_id):
        return WRONG_SOFTWARE
    return 0


def _location(parameters: Parameters, terms: Terms, reading: Reading) -> int:
    """L: the gateway serves the zone, a line reaches the meter, the meter is at its site."""
    position = reading.position
    if terms.unreached or position is None or position.age_s > parameters.position_max_age_s:
        return terms.unreached
    found = Point(position.lat_e7, position.lon_e7)
    at_site = within(found, terms.meter.site, terms.cos_ppm, terms.meter.radius_m)
    return 0 if at_site else METER_MOVED


def _interval(parameters: Parameters, carriage: Carriage, terms: Terms, reading: Reading) -> int:
    """T: an interval of the registered length that had ended when the gateway saw it."""
    length, start_s = parameters.interval_s, reading.interval_start_s
    if reading.interval_s != length or start_s % length:
        return MISALIGNED
    if start_s + length > carriage.statement.witnessed_at_s + parameters.witness_tolerance_s:
        return ENDED_AFTER_WITNESS
    if not terms.signs and reading.sequence != start_s // length:
        return WRONG_SEQUENCE
    return 0


def _capacity(terms: Terms, reading: Reading) -> int:
    """C: no more energy than the fuse and the installed power let through."""
    most = terms.most
    if reading.import_advance_wh > most.import_wh:
        return OVER_RATING
    if reading.export_advance_wh > most.export_wh:
        return OVER_INSTALLED if most.export_wh else NO_SOURCE
    reactive = reading.reactive
    if reactive is not None:
        varh = reactive.import_advance_varh + reactive.export_advance_varh
        return OVER_RATING_REACTIVE if varh > most.reactive_varh else 0
    return 0


def _record(signed: SignedReading, digest: bytes, oldest_s: int, rank: int) -> AcceptedReading:
    """What the state remembers of a reading.

    Args:
        signed: the reading.
        digest: SHA-256 of its bytes, 32 bytes.
        oldest_s: it is late when its interval ended before; Unix seconds.
        rank: how many readers come before the one that signed.
    """
    reading = signed.reading
    start_s, reactive = reading.interval_start_s, reading.reactive
    told = (0, 0, 0)
    if reactive is not None:
        told = (1, reactive.import_advance_varh, reactive.export_advance_varh)
    return AcceptedReading(
        start_s,
        reading.import_wh,
        reading.export_wh,
        reading.import_advance_wh,
        reading.export_advance_wh,
        reading.boots,
        reading.operating_s,
        _skew_ms(reading),
        reading.origin,
        int(start_s + reading.interval_s < oldest_s),
        int(rank > 0),
        reading.status & STATUS_BITS,
        *told,
        signed.sig_hash,
        reading.previous,
        digest,
    )


def _skew_ms(reading: Reading) -> int:
    """Clock error and the largest read offset, milliseconds."""
    source = reading.source
    offset = 0 if source is None else max(abs(source.start_offset_ms), abs(source.end_offset_ms))
    return min(reading.clock.error_s * 1000 + offset, MOST_SKEW_MS)
