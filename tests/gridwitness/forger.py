"""One good day of a meter, and a forger's hand on each part of one of its records.

Makes the files under tests/data/forged/: `tampered/` by someone without the key, who changes bytes;
`signed/` by someone with the key, a manipulated meter, who signs what is false and goes on with an
intact chain. Keys are fixed and public, nonces follow RFC 6979, so the same bytes come out always.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wire import cbor
from wire.cose import Sign1, open_sign1
from wire.history import History
from wire.keys import ES256, SoftSigner
from wire.reading import (
    ClockEvidence,
    Position,
    ReactiveEnergy,
    Reading,
    ReadSource,
    SignedReading,
    sign_reading,
)

FOLDER = Path(__file__).parents[1] / "data" / "forged"
METER = SoftSigner.from_private(ES256, bytes(30) + b"\x09\x01")
READER = SoftSigner.from_private(ES256, bytes(30) + b"\x09\x02")
OTHER = SoftSigner.from_private(ES256, bytes(30) + b"\x09\x03")
START_S = 1_763_596_800  # 2025-11-20 00:00:00 UTC.
LENGTH_S = 900
FORGED = 40
"""Place and sequence of the record that is forged."""

REBOOT, SET_CLOCK, COVER = 25, 60, 70
"""Records in which the meter booted, its clock was set anew, its cover was opened."""

IN_FLASH, POWER_DOWN, ADJUSTED, COVER_OPEN = 1 << 19, 1 << 7, 1 << 5, 1 << 8
SITE = Position(137_563_000, 1_005_018_000, 45, 2)


def advance_wh(place: int) -> tuple[int, int]:
    """A household with a roof: import by night, export at noon."""
    sun = max(0, 600 - abs(place - 48) * 30)
    load = 90 + place * 37 % 61
    return max(load // 3, load - sun), max(sun // 4, sun - load)


def day() -> list[Reading]:
    """A day's 96 readings of a meter with its own element, still without their chain."""
    import_wh, export_wh, reactive_wh = 20_411_730, 3_107_442, 512_300
    readings = []
    for place in range(96):
        in_wh, out_wh = advance_wh(place)
        import_wh, export_wh = import_wh + in_wh, export_wh + out_wh
        reactive_wh += in_wh // 5
        booted, is_set, opened = place >= REBOOT, place >= SET_CLOCK, place >= COVER
        marks = (POWER_DOWN if place == REBOOT else 0) | (COVER_OPEN if opened else 0)
        operating_s = 41_000 + place * LENGTH_S - (40 if booted else 0)
        readings.append(
            Reading(
                meter="GW-000117",
                node="LV1.101.Bus-7",
                interval_start_s=START_S + place * LENGTH_S,
                interval_s=LENGTH_S,
                import_wh=import_wh,
                export_wh=export_wh,
                import_advance_wh=in_wh,
                export_advance_wh=out_wh,
                sequence=place,
                boots=4 if booted else 3,
                operating_s=operating_s,
                status=IN_FLASH | marks | (ADJUSTED if place == SET_CLOCK else 0),
                clock=ClockEvidence(2, 3, 94_700, 2) if is_set else ClockEvidence(2, 2, 40_100, 1),
                previous=bytes(32),
                software_id=bytes.fromhex("5ac1f00d"),
                configuration_id=bytes.fromhex("0badcafe01234567"),
                events=7 + booted + is_set + opened,
                origin=0,
                reactive=ReactiveEnergy(reactive_wh, 8_000, in_wh // 5, 0),
                position=SITE._replace(lat_e7=SITE.lat_e7 + place % 7, age_s=place % 4),
                extra={64: "carried", 65: [1, 2]},
            )
        )
    return readings


def reader_day() -> list[Reading]:
    """The same day of a meter that cannot sign, as its gateway reads it."""
    readings = []
    for reading in day():
        words = reading.import_wh.to_bytes(4, "big") + reading.export_wh.to_bytes(4, "big")
        source = ReadSource(bytes.fromhex("7e3a11c0ffee0001"), words, -120, 340)
        sequence = reading.interval_start_s // LENGTH_S
        readings.append(
            reading._replace(
                origin=1, sequence=sequence, source=source, reactive=None, position=None
            )
        )
    return readings


def chained(readings: list[Reading], signer: SoftSigner = METER) -> list[bytes]:
    """Sign readings in order, each with the hash of the one before where it has none yet."""
    records: list[bytes] = []
    previous = bytes(32)
    for reading in readings:
        if reading.previous == bytes(32):
            reading = reading._replace(previous=previous)
        records.append(sign_reading(reading, signer))
        previous = SignedReading.open(records[-1]).sig_hash
    return records


def tamper(record: bytes, **parts: Any) -> bytes:
    """Change a record without its key: `content` (fields), `headers`, `signature`."""
    message = open_sign1(record)
    content = _edited(cbor.decode(message.payload), parts.get("content", {}))
    headers = _edited(message.headers, parts.get("headers", {}))
    signature = parts.get("signature", message.signature)
    return Sign1(cbor.encode(headers), cbor.encode(content), signature).encoded


def _edited(content: Mapping[Any, Any], changes: Mapping[Any, Any]) -> dict[Any, Any]:
    """With these values instead; None takes a key away, a function is applied."""
    edited = dict(content)
    for key, value in changes.items():
        if value is None:
            del edited[key]
        else:
            edited[key] = value(edited[key]) if callable(value) else value
    return edited


@dataclass(frozen=True)
class Forgery:
    """One changed part of one record."""

    name: str
    """Name of the file, without suffix."""

    part: str
    """What the verdict must name: `field 6 (import register)`; of what nobody sees, what it is."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """What `tamper` is given."""

    reader: bool = False
    """True for the record of a meter that a gateway reads."""

    found: bool = True
    """True when the true value can be found and proved, not only the contradiction shown."""


def _plus(delta: int) -> Callable[[int], int]:
    return lambda value: value + delta


def _item(place: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda items: [*items[:place], value, *items[place + 1 :]]


def _content(name: str, part: str, key: int, value: Any, **more: Any) -> Forgery:
    return Forgery(name, part, {"content": {key: value}}, **more)


TAMPERED = [
    _content("01-format", "field 1 (format)", 1, 2),
    _content("02-meter", "field 2 (meter)", 2, "GW-000118"),
    _content("03-node", "field 3 (node)", 3, "LV1.101.Bus-9"),
    _content("04-interval-start", "field 4 (interval start)", 4, _plus(-7 * LENGTH_S)),
    _content("05-interval-length", "field 5 (interval length)", 5, 1800),
    _content("06-import-register", "field 6 (import register)", 6, _plus(-10_000)),
    _content("07-export-register", "field 7 (export register)", 7, _plus(5_555)),
    _content("08-import-advance", "field 8 (import advance)", 8, _plus(77)),
    _content("09-export-advance", "field 9 (export advance)", 9, _plus(1_234)),
    _content("10-sequence", "field 10 (sequence)", 10, _plus(1000)),
    _content("11-boot-counter", "field 11 (boot counter)", 11, 2),
    _content("12-operating-seconds", "field 12 (operating seconds)", 12, _plus(-18_000)),
    _content("13-status-bits", "field 13 (status bits)", 13, _plus(-IN_FLASH)),
    _content("14-clock-evidence", "field 14 (clock evidence)", 14, _item(0, 3)),
    _content("15-previous", "field 15 (hash of the previous record)", 15, b"\xab" * 32),
    _content("16-software", "field 16 (software id)", 16, b"\xde\xad\xbe\xef"),
    _content("17-configuration", "field 17 (configuration id)", 17, b"\x01" * 8),
    _content("18-event-counter", "field 18 (event counter)", 18, 0),
    _content("19-origin", "field 19 (origin)", 19, 3),
    _content("20-reactive", "field 20 (reactive energy)", 20, _item(0, 1)),
    _content("20-reactive-removed", "field 20 (reactive energy)", 20, None),
    _content("21-position", "field 21 (position)", 21, _item(0, 188_000_000)),
    _content("21-position-removed", "field 21 (position)", 21, None, found=False),
    _content("22-source", "field 22 (read source)", 22, _item(0, b"\x00" * 8), reader=True),
    _content("22-source-added", "field 22 (read source)", 22, [bytes(8), b"", 0, 0]),
    _content("64-carried", "field 64 (carried along)", 64, "other"),
    _content("30-unknown-key", "field 30 (carried along)", 30, 1),
    Forgery("header-algorithm", "header 1 (algorithm)", {"headers": {1: -8}}),
    Forgery("header-content-type", "header 3 (content type)", {"headers": {3: 61}}),
    Forgery("header-key-id", "header 4 (key id)", {"headers": {4: OTHER.public.kid}}),
    Forgery("signature", "signature", {"signature": b"\x11" * 64}),
]
"""By someone without the key."""

EXCERPT = slice(FORGED - 4, FORGED + 4)
"""Records that a forged file has: four before the forged one, three after it."""


def tampered_file(forgery: Forgery) -> bytes:
    """A part of the good day with one record changed."""
    records = chained(reader_day(), READER) if forgery.reader else chained(day())
    records[FORGED] = tamper(records[FORGED], **forgery.changes)
    return b"".join(records[EXCERPT])


def _signed(name: str, part: str, **changes: Any) -> Forgery:
    return Forgery(name, part, changes)


def _clock(**changes: int) -> Callable[[ClockEvidence], ClockEvidence]:
    return lambda clock: clock._replace(**changes)


SIGNED = [
    _signed("02-meter", "field 2 (meter)", meter="GW-000118"),
    _signed("03-node", "field 3 (node)", node="LV1.101.Bus-9"),
    _signed("04-interval-start", "field 4 (interval start)", interval_start_s=_plus(-LENGTH_S)),
    _signed("05-interval-length", "field 5 (interval length)", interval_s=600),
    _signed("06-import-register", "field 6 (import register)", import_wh=_plus(-10_000)),
    _signed("07-export-register", "field 7 (export register)", export_wh=_plus(5_555)),
    _signed("08-import-advance", "field 8 (import advance)", import_advance_wh=_plus(77)),
    _signed("09-export-advance", "field 9 (export advance)", export_advance_wh=_plus(1_234)),
    _signed("10-sequence", "field 10 (sequence)", sequence=_plus(1000)),
    _signed("11-boot-counter", "field 11 (boot counter)", boots=_plus(2)),
    _signed("12-operating-seconds", "field 12 (operating seconds)", operating_s=_plus(-18_000)),
    _signed("13-key-in-flash", "field 13 (status bits)", status=0),
    _signed("13-cover-closed", "field 13 (status bits)", status=_plus(COVER_OPEN)),
    _signed("14-clock-evidence", "field 14 (clock evidence)", clock=_clock(times_set=0)),
    _signed("15-previous", "field 15 (hash of the previous record)", previous=b"\xab" * 32),
    _signed("16-software", "field 16 (software id)", software_id=b"\xde\xad\xbe\xef"),
    _signed("17-configuration", "field 17 (configuration id)", configuration_id=b"\x01" * 8),
    _signed("18-event-counter", "field 18 (event counter)", events=0),
    _signed("19-origin", "field 19 (origin)", origin=3),
    _signed("20-reactive", "field 20 (reactive energy)", reactive=ReactiveEnergy(1, 8_000, 5, 0)),
    _signed("21-position", "field 21 (position)", position=SITE._replace(lat_e7=188_000_000)),
    Forgery(
        "22-source",
        "field 22 (read source)",
        {"source": ReadSource(bytes(8), b"", -120, 340)},
        reader=True,
    ),
]
"""By someone with the key, in a chain that is intact."""

UNSEEN = [
    _signed(
        "advance",
        "a lower advance (8, 9) when all later registers (6, 7) follow",
        import_advance_wh=_plus(-20),
    ),
    _signed(
        "operating-seconds",
        "operating seconds (12) within their tolerance",
        operating_s=_plus(120),
    ),
    _signed("status", "status bits (13) that come and go without an event", status=_plus(1 << 11)),
    _signed("clock", "quality and error bound of the clock (14)", clock=_clock(error_s=9)),
    _signed(
        "position",
        "a position (21) near the true one",
        position=SITE._replace(lat_e7=SITE.lat_e7 + 900),
    ),
    _signed("carried", "keys from 64 on", extra={64: "other"}),
]
"""By someone with the key, and no rule can see it: docs/WIRE.md says so in these words."""


def signed_file(forgery: Forgery, *, registers_follow: bool = False) -> bytes:
    """A part of the day of a meter whose software makes one record false, and signs on."""
    readings = reader_day() if forgery.reader else day()
    true = readings[FORGED]
    changes = {
        name: value(getattr(true, name)) if callable(value) else value
        for name, value in forgery.changes.items()
    }
    readings[FORGED] = true._replace(**changes)
    if registers_follow:
        lost_wh = true.import_advance_wh - readings[FORGED].import_advance_wh
        readings[FORGED:] = [
            reading._replace(import_wh=reading.import_wh - lost_wh) for reading in readings[FORGED:]
        ]
    return b"".join(chained(readings, READER if forgery.reader else METER)[EXCERPT])


def files() -> dict[str, bytes]:
    """Every file of the folder, by its path there."""
    made = {
        "good.gwr": History.of(chained(day())).encoded,
        "good-reader.gwr": History.of(chained(reader_day(), READER)).encoded,
        "meter.key": METER.public.text.encode() + b"\n",
        "reader.key": READER.public.text.encode() + b"\n",
    }
    made |= {f"tampered/{each.name}.gwr": tampered_file(each) for each in TAMPERED}
    made |= {f"signed/{each.name}.gwr": signed_file(each) for each in SIGNED}
    return made
