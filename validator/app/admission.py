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

from validator.app.capacity import capacity
from validator.app.carrier import Carrier, SignatureBook
from validator.app.entries import Meter
from validator.app.geometry import Point, within
from validator.app.neighbours import Gap, fit
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
ZONE_NOT_SERVED = 33
OUT_OF_REACH = 34
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

    carrier: Carrier
    """The gateway that witnessed, and by which key."""

    statement: WitnessStatement
    """Its word, which stands."""

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

    meter: Meter | None
    """The registered meter, None when there is none."""

    gaps: tuple[Gap, ...] = ()
    """Intervals beside an accepted one that have no reading."""


def open_reading(encoded: bytes) -> SignedReading | None:
    """Decode a reading; None when it is malformed."""
    try:
        signed = SignedReading.open(encoded)
        _ = signed.cose.hint  # Raises when it names no key.
    except Refused:
        return None
    return signed


def admit(carriage: Carriage, overlay: Overlay, signed: SignedReading, digest: bytes) -> Admission:
    """Decide about a well-formed reading; write it to the overlay when it is accepted.

    Args:
        carriage: how it came.
        overlay: the block's writes.
        signed: the reading.
        digest: SHA-256 of its bytes, 32 bytes.
    """
    reading = signed.reading
    registries = carriage.registries
    meter = registries.meter(reading.meter, reading.interval_start_s)
    if meter is None:
        known = registries.was_registered("meters", reading.meter)
        return Admission(NOT_REGISTERED_THEN if known else UNKNOWN_METER, b"", None)
    if (reading.origin == ORIGIN_OWN_ELEMENT) != (meter.key is not None):
        return Admission(WRONG_ORIGIN, b"", meter)
    public, secondary = _key_of(carriage, meter, signed)
    if public is None:
        return Admission(UNKNOWN_KEY, b"", meter)
    if registries.is_ended(public, carriage.height):
        return Admission(COMPROMISED_KEY, b"", meter)
    cose = signed.cose
    if not carriage.book.stands(public, cose.sig_structure, cose.signature):
        return Admission(BAD_SIGNATURE, b"", meter)
    place = lane(meter.id, b"" if meter.key is not None else public.thumbprint)
    code = (
        _repetition(overlay, place, signed, digest)
        or _registered(meter, reading)
        or _location(carriage, meter, reading)
        or _interval(carriage, meter, reading)
        or _capacity(carriage, meter, reading)
    )
    if code:
        return Admission(code, public.thumbprint, meter)
    fitting = fit(registries.base.parameters, overlay, place, signed)
    if fitting.code:
        return Admission(fitting.code, public.thumbprint, meter)
    code = _accept(carriage, overlay, place, signed, secondary, digest)
    return Admission(code, public.thumbprint, meter, fitting.gaps)


def _key_of(
    carriage: Carriage, meter: Meter, signed: SignedReading
) -> tuple[PublicKey | None, int]:
    """S: the registered key that should have signed, and how many readers come before it.

    A meter's key is one of its interval, a reader's also one of when the gateway saw the reading:
    what waits is signed late.
    """
    registries, start_s = carriage.registries, signed.reading.interval_start_s
    if meter.key is not None:
        standing = registries.standing(meter.id, "meter", start_s)
        return next((each for each in standing if _names(signed, each)), None), 0
    for rank, reader in enumerate((meter.reader, *meter.also_read_by)):
        for at_s in (start_s, carriage.statement.witnessed_at_s):
            for public in registries.standing(reader, "reader", at_s):
                if _names(signed, public):
                    return public, rank
    return None, 0


def _names(signed: SignedReading, public: PublicKey) -> bool:
    return signed.cose.hint == public.hint


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


def _location(carriage: Carriage, meter: Meter, reading: Reading) -> int:
    """L: the gateway serves the zone, a line reaches the meter, the meter is at its site.

    The gateway is taken as it was registered when it witnessed, or for the reading's interval: one
    that has moved since, or serves another zone, brings what it had read before.
    """
    registries, parameters = carriage.registries, carriage.registries.base.parameters
    then = registries.gateway(carriage.carrier.gateway.id, reading.interval_start_s)
    now = carriage.carrier.gateway
    gateways = (now,) if then is None or then is now else (now, then)
    serving = [each for each in gateways if meter.zone in each.zones]
    if not serving:
        return ZONE_NOT_SERVED
    near = [
        each
        for each in serving
        if within(each.site, meter.site, each.site_cos_ppm, parameters.reach_m)
    ]
    if not near:
        return OUT_OF_REACH
    position = reading.position
    if position is None or position.age_s > parameters.position_max_age_s:
        return 0
    found = Point(position.lat_e7, position.lon_e7)
    at_site = within(found, meter.site, near[0].site_cos_ppm, meter.radius_m)
    return 0 if at_site else METER_MOVED


def _interval(carriage: Carriage, meter: Meter, reading: Reading) -> int:
    """T: an interval of the registered length that had ended when the gateway saw it."""
    parameters = carriage.registries.base.parameters
    length = parameters.interval_s
    if reading.interval_s != length or reading.interval_start_s % length:
        return MISALIGNED
    end_s = reading.interval_start_s + length
    if end_s > carriage.statement.witnessed_at_s + parameters.witness_tolerance_s:
        return ENDED_AFTER_WITNESS
    if meter.key is None and reading.sequence != reading.interval_start_s // length:
        return WRONG_SEQUENCE
    return 0


def _capacity(carriage: Carriage, meter: Meter, reading: Reading) -> int:
    """C: no more energy than the fuse and the installed power let through."""
    most = capacity(meter, carriage.registries.base.parameters)
    if reading.import_advance_wh > most.import_wh:
        return OVER_RATING
    if reading.export_advance_wh > most.export_wh:
        return OVER_INSTALLED if most.export_wh else NO_SOURCE
    reactive = reading.reactive
    if reactive is not None:
        varh = reactive.import_advance_varh + reactive.export_advance_varh
        return OVER_RATING_REACTIVE if varh > most.reactive_varh else 0
    return 0


def _accept(
    carriage: Carriage,
    overlay: Overlay,
    place: bytes,
    signed: SignedReading,
    rank: int,
    digest: bytes,
) -> int:
    reading, reactive = signed.reading, signed.reading.reactive
    window_s = carriage.registries.base.parameters.acceptance_window_s
    late = reading.interval_start_s + reading.interval_s + window_s < carriage.time_s
    record = AcceptedReading(
        start_s=reading.interval_start_s,
        import_wh=reading.import_wh,
        export_wh=reading.export_wh,
        import_advance_wh=reading.import_advance_wh,
        export_advance_wh=reading.export_advance_wh,
        boots=reading.boots,
        operating_s=reading.operating_s,
        skew_ms=_skew_ms(reading),
        origin=reading.origin,
        late=int(late),
        secondary=int(rank > 0),
        status=reading.status & STATUS_BITS,
        tells_reactive=int(reactive is not None),
        import_varh=0 if reactive is None else reactive.import_advance_varh,
        export_varh=0 if reactive is None else reactive.export_advance_varh,
        sig_hash=signed.sig_hash,
        previous=reading.previous,
        reading_hash=digest,
    )
    overlay.accept(place, reading.sequence, record)
    return LATE if late else ACCEPTED


def _skew_ms(reading: Reading) -> int:
    """Clock error and the largest read offset, milliseconds."""
    source = reading.source
    offset = 0 if source is None else max(abs(source.start_offset_ms), abs(source.end_offset_ms))
    return min(reading.clock.error_s * 1000 + offset, MOST_SKEW_MS)
