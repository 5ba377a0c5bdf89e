"""A meter as its RS-485 line shows it: for a technician beside the gateway, not the meter.

Decides what is asked for and how it is told. Modbus is the gateway's: `gridwitness.cli` gives
`read_line` by set_defaults, as this room speaks to consoles only.
"""

from dataclasses import dataclass
from typing import Any

from wire.event import time_words
from wire.keys import PublicKey
from wire.reading import SignedReading
from wire.record_rules import status_words

QUALITIES = ("unknown", "set", "synchronised within bounds", "disciplined")


@dataclass(frozen=True, slots=True)
class LineAddress:
    """Which meter on which line."""

    port: str
    """Of the RS-485 adapter."""

    unit: int
    """Modbus unit."""

    baudrate: int
    """Of the line."""

    key: PublicKey | None
    """The key that the meter must have; None when nobody said."""


@dataclass(frozen=True, slots=True)
class LineReading:
    """What the meter showed."""

    meter: str
    """Its id."""

    key: PublicKey
    """Its key, as it shows it."""

    registers_wh: tuple[int, int]
    """Import and export as SunSpec's registers show them, which nobody signed."""

    status: int
    """Status bits now."""

    clock_quality: int
    """Index in QUALITIES."""

    clock_error_s: int
    """What its clock may be wrong by."""

    boots: int
    """How often it was started."""

    time_s: int
    """Its time, Unix seconds; 0 for unknown."""

    records: int
    """How many records it ever made."""

    record: SignedReading | None
    """The newest, verified with the key; None when it has none."""


def lines(found: LineReading, address: LineAddress) -> list[str]:
    """For people."""
    whose = "as registered" if address.key else "compare it with the label"
    quality = QUALITIES[min(found.clock_quality, len(QUALITIES) - 1)]
    import_wh, export_wh = found.registers_wh
    told = [
        f"unit {address.unit} on {address.port}: meter {found.meter},"
        f" key kid {found.key.kid.hex()} ({whose})",
        f"registers  in {import_wh} Wh  out {export_wh} Wh  status: {status_words(found.status)}",
        f"clock      {time_words(found.time_s)}, {quality}, ±{found.clock_error_s} s;"
        f" started {found.boots} times",
    ]
    if found.record is None:
        return [*told, "no record yet"]
    reading = found.record.reading
    return [
        *told,
        f"record {reading.sequence}  {time_words(reading.interval_start_s)}"
        f"  in {reading.import_wh} Wh  out {reading.export_wh} Wh"
        f"  status: {status_words(reading.status)}",
        "           signed by this key, verified",
    ]


def plain(found: LineReading, address: LineAddress) -> dict[str, Any]:
    """For programs."""
    record = found.record
    return {
        "port": address.port,
        "unit": address.unit,
        "meter": found.meter,
        "key": found.key.text,
        "kid": found.key.kid.hex(),
        "registers_wh": list(found.registers_wh),
        "status": found.status,
        "clock": {
            "quality": found.clock_quality,
            "error_s": found.clock_error_s,
            "time_s": found.time_s,
        },
        "boots": found.boots,
        "records": found.records,
        "record": None
        if record is None
        else {
            "sequence": record.reading.sequence,
            "interval_start_s": record.reading.interval_start_s,
            "registers_wh": [record.reading.import_wh, record.reading.export_wh],
            "status": record.reading.status,
            "signed": record.encoded.hex(),
        },
    }
