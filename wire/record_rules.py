"""What two records of one meter say about each other, field by field.

Decides which fields of a record contradict the registry, the record itself or the record before it.
The rules are those that validators apply between neighbours, and what an auditor can ask beyond
them because he has every record: nothing changes without the event log. Signatures are not looked
at, so the rules also speak about a meter that was manipulated and signs what is false. Which of two
contradicting records is at fault is decided by `wire.series`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from wire.keys import PublicKey
from wire.reading import ORIGIN_OWN_ELEMENT, Position, Reading

NAMES = {
    1: "format",
    2: "meter",
    3: "node",
    4: "interval start",
    5: "interval length",
    6: "import register",
    7: "export register",
    8: "import advance",
    9: "export advance",
    10: "sequence",
    11: "boot counter",
    12: "operating seconds",
    13: "status bits",
    14: "clock evidence",
    15: "hash of the previous record",
    16: "software id",
    17: "configuration id",
    18: "event counter",
    19: "origin",
    20: "reactive energy",
    21: "position",
    22: "read source",
}

STATUS_BITS = {
    0: "error",
    1: "clock invalid",
    2: "data not valid",
    5: "clock adjusted",
    7: "power down",
    8: "cover open",
    9: "terminal cover open",
    10: "magnetic field",
    11: "phase missing",
    12: "phase sequence",
    13: "configuration changed",
    14: "firmware changed",
    15: "register near its wrap",
    16: "interval incomplete",
    17: "log degraded",
    18: "value held",
    19: "key in plain flash",
}
POWER_DOWN = 1 << 7
KEY_IN_FLASH = 1 << 19
STICKY = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 13 | 1 << 14
"""Bits that are set with an event and stay until an event acknowledges them."""

_KNOWN_BITS = sum(1 << bit for bit in STATUS_BITS)

ZEROS = bytes(32)
OPERATING_TOLERANCE_S = 300
"""How far operating seconds may disagree with interval starts within one boot, seconds."""

OPERATING_DRIFT_PPM = 500
"""And how far they may drift apart over time, parts per million."""

POSITION_ROOM_M = 500
"""How far a receiver may err beyond three times the accuracy that it states, metres."""

_DM_PER_DEGREE = 1_113_200  # Of latitude, WGS 84; of longitude at most as much.


class Clash(NamedTuple):
    """A field that contradicts something."""

    field: int
    """Its number."""

    expected: str
    """What would agree, in words."""

    words: str
    """What it contradicts."""


class Step(NamedTuple):
    """A record in its series."""

    reading: Reading
    """Its content."""

    sig_hash: bytes
    """SHA-256 of its signed bytes, which the next record carries."""

    first_of_boot: bool = False
    """True for the first record that is known of its boot."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What is known of a meter beforehand: from its commissioning record or the registry.

    None or an empty map where nothing is known.
    """

    key: PublicKey
    """Signs its records."""

    fields: dict[int, Any]
    """Values that fields 2, 3, 5, 16 and 17 must have, by number."""

    site: Position | None = None
    """Where it hangs; `accuracy_dm` is the radius in which its receiver may say it is."""

    source: str = "the registry"
    """Who says so, in words."""

    known_from: str = ""
    """From where the key is known, in words; empty when it was given."""


def alone(reading: Reading, registered: Registered) -> Iterator[Clash]:
    """What one record contradicts by itself, or in what is registered."""
    content = {2: reading.meter, 3: reading.node, 5: reading.interval_s}
    content |= {16: reading.software_id, 17: reading.configuration_id}
    for field, value in registered.fields.items():
        if content[field] != value:
            yield Clash(field, shown(value), f"{registered.source} says so")
    yield from _times(reading)
    if reading.import_advance_wh > reading.import_wh:
        yield Clash(8, f"at most {reading.import_wh}", "more than the register (6) ever counted")
    if reading.export_advance_wh > reading.export_wh:
        yield Clash(9, f"at most {reading.export_wh}", "more than the register (7) ever counted")
    if reading.status & ~_KNOWN_BITS:
        yield Clash(13, "known bits only", "bits are set that have no meaning")
    yield from _place(reading, registered)


def _times(reading: Reading) -> Iterator[Clash]:
    start_s, length_s = reading.interval_start_s, reading.interval_s
    if not length_s or 3600 % length_s:
        yield Clash(5, "a part of an hour", "intervals divide an hour")
        return
    if start_s % length_s:
        words = f"intervals start every {length_s} s"
        yield Clash(4, f"{start_s // length_s * length_s}, for instance", words)
    if reading.clock.set_at_operating_s > reading.operating_s:
        yield Clash(14, f"set at {reading.operating_s} or before", "set after this record was made")
    if reading.origin == ORIGIN_OWN_ELEMENT:
        if (reading.sequence == 0) != (reading.previous == ZEROS):
            yield Clash(15, "zeros at sequence 0, and only there", "a chain begins at sequence 0")
    elif reading.sequence != start_s // length_s:
        yield Clash(10, str(start_s // length_s), "a reader numbers by interval start ÷ length")


def _place(reading: Reading, registered: Registered) -> Iterator[Clash]:
    position = reading.position
    if position is not None:
        if abs(position.lat_e7) > 900_000_000 or abs(position.lon_e7) > 1_800_000_000:
            yield Clash(21, "degrees", "no place on earth")
        elif registered.site is not None and not near(position, registered.site):
            yield Clash(21, f"near {shown(registered.site.items())}", f"{registered.source} says")
    source = reading.source
    if source is not None and max(map(abs, source.items()[2:])) > reading.interval_s * 1000:
        yield Clash(22, "offsets within an interval", "read further away than an interval is long")


def between(earlier: Step, later: Step) -> Iterator[Clash]:
    """What a record contradicts in an earlier one of the same meter."""
    before, after = earlier.reading, later.reading
    own_element = after.origin == ORIGIN_OWN_ELEMENT
    chained = after.previous == earlier.sig_hash
    follows = after.sequence == before.sequence + 1
    if after.sequence == before.sequence:
        yield Clash(10, str(before.sequence + 1), "two records were signed under one number")
    elif after.sequence < before.sequence or (chained and not follows):
        yield Clash(10, str(before.sequence + 1), f"record {before.sequence} is before it")
    if follows and not chained and (own_element or after.previous != ZEROS):
        yield Clash(15, earlier.sig_hash.hex(), f"this is the hash of record {before.sequence}")
    yield from _constant(before, after)
    yield from _energy(before, after)
    end_s = before.interval_start_s + before.interval_s
    if after.interval_start_s < end_s:
        yield Clash(4, f"{end_s} or later", f"record {before.sequence} covers time up to {end_s}")
    if own_element:
        yield from _counters(before, after)
        yield from _operating_time(earlier, after)
        yield from _status(before, after)


def _constant(before: Reading, after: Reading) -> Iterator[Clash]:
    """A changed configuration or software is an event; what a configuration fixes changes with it.

    The fields of a reader may be another gateway's from one record to the next.
    """
    if after.meter != before.meter:
        yield Clash(2, before.meter, "another meter than before")
    own_element = after.origin == ORIGIN_OWN_ELEMENT
    eventless = after.events <= before.events or not own_element
    if eventless and after.configuration_id != before.configuration_id:
        yield Clash(17, before.configuration_id.hex(), "it changed without an event")
    if own_element and eventless and after.software_id != before.software_id:
        yield Clash(16, before.software_id.hex(), "it changed without an event")
    if after.configuration_id == before.configuration_id:
        for field, was, now in (
            (3, before.node, after.node),
            (5, before.interval_s, after.interval_s),
            (19, before.origin, after.origin),
        ):
            if was != now:
                yield Clash(field, shown(was), "it changed and the configuration (17) did not")
    yield from _surroundings(before, after)


def _surroundings(before: Reading, after: Reading) -> Iterator[Clash]:
    if before.source and after.source and before.source.template != after.source.template:
        yield Clash(22, before.source.template.hex(), "another template than before")
    if before.position and after.position and not near(before.position, after.position):
        yield Clash(21, f"near {shown(before.position.items())}", "a meter does not travel")


def _energy(before: Reading, after: Reading) -> Iterator[Clash]:
    """Registers never run backwards; in the next interval they grow by exactly its advance."""
    adjacent = after.interval_start_s == before.interval_start_s + before.interval_s
    adjacent = adjacent and after.sequence == before.sequence + 1
    pairs = [
        (6, 8, before.import_wh, after.import_wh, after.import_advance_wh),
        (7, 9, before.export_wh, after.export_wh, after.export_advance_wh),
    ]
    if before.reactive and after.reactive:
        was, now = before.reactive.items(), after.reactive.items()
        pairs += [(20, 20, was[i], now[i], now[i + 2]) for i in (0, 1)]
    for register, advance, was_wh, now_wh, advance_wh in pairs:
        least = was_wh + advance_wh
        if now_wh < least or (adjacent and now_wh != least):
            words = f"record {before.sequence} ends at {was_wh}, and {advance_wh} came in"
            yield Clash(register, str(least) if adjacent else f"{least} or more", words)
            if advance != register and now_wh >= was_wh:
                words = f"the register grew by {now_wh - was_wh}"
                yield Clash(advance, str(now_wh - was_wh), words)


def _counters(before: Reading, after: Reading) -> Iterator[Clash]:
    for field, was, now in (
        (11, before.boots, after.boots),
        (18, before.events, after.events),
    ):
        if now < was:
            yield Clash(field, f"{was} or more", "a counter does not run backwards")
    clock, clock_before = after.clock, before.clock
    if clock.times_set < clock_before.times_set or (
        clock.set_at_operating_s < clock_before.set_at_operating_s
    ):
        yield Clash(14, f"like {shown(clock_before.items())}", "the clock is set less often")
    elif clock.times_set == clock_before.times_set and (
        clock.set_at_operating_s != clock_before.set_at_operating_s
    ):
        expected = f"set at {clock_before.set_at_operating_s}"
        yield Clash(14, expected, "it says another moment for the same setting")


def _operating_time(earlier: Step, after: Reading) -> Iterator[Clash]:
    """Operating seconds keep step with interval starts in one boot, and only lag across boots.

    The first record of a boot may close an interval of long before the outage.
    """
    before = earlier.reading
    elapsed_s = after.interval_start_s - before.interval_start_s
    ran_s = after.operating_s - before.operating_s
    if ran_s < 0:
        yield Clash(12, f"{before.operating_s} or more", "a counter does not run backwards")
        return
    if after.clock.times_set != before.clock.times_set:
        return  # The clock was set in between: the starts are not of one clock.
    slack_s = OPERATING_TOLERANCE_S + max(elapsed_s, 0) * OPERATING_DRIFT_PPM // 1_000_000
    lagging = after.boots == before.boots and ran_s < elapsed_s - slack_s
    lagging = lagging and not earlier.first_of_boot
    if ran_s > elapsed_s + slack_s or lagging:
        expected = f"{before.operating_s + elapsed_s}, give or take {slack_s}"
        words = f"{elapsed_s} s passed since record {before.sequence} and the meter ran {ran_s} s"
        yield Clash(12, expected, words)
        yield Clash(4, f"about {before.interval_start_s + ran_s}", words)


def _status(before: Reading, after: Reading) -> Iterator[Clash]:
    changed = before.status ^ after.status
    if changed & KEY_IN_FLASH:
        yield Clash(13, "bit 19 as before", "a key does not move into or out of flash")
    if changed & STICKY and after.events <= before.events:
        bits = status_words(changed & STICKY)
        yield Clash(13, "bits as before", f"without an event these bits do not change: {bits}")
    if after.interval_start_s == before.interval_start_s + before.interval_s:
        booted = after.boots > before.boots
        if booted and not after.status & POWER_DOWN:
            words = "the meter booted within this interval (11)"
            yield Clash(13, "bit 7 (power down) set", words)
            yield Clash(11, str(before.boots), "no power down (13) in this interval")


def near(one: Position, other: Position) -> bool:
    """Whether two positions can be of one place, by the accuracies that they state."""
    apart = max(abs(one.lat_e7 - other.lat_e7), abs(one.lon_e7 - other.lon_e7))
    room_dm = 3 * (one.accuracy_dm + other.accuracy_dm) + POSITION_ROOM_M * 10
    return apart * _DM_PER_DEGREE <= room_dm * 10_000_000


def shown(value: Any) -> str:
    """A field's value for people: numbers and text as they are, bytes in hex."""
    if isinstance(value, bytes):
        return value.hex() or "nothing"
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value[:8]) + "]"
    words = str(value)
    if not words.isprintable():
        words = ascii(words)
    return words if len(words) <= 64 else words[:60] + " …"


def status_words(status: int) -> str:
    """The status bits that are set, in words."""
    bits = [bit for bit in range(status.bit_length()) if status >> bit & 1]
    return ", ".join(f"{bit} {STATUS_BITS.get(bit, 'unknown')}" for bit in bits) or "none"
