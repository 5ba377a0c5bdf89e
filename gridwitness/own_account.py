"""What a meter says of its own reading: status bits and clock, in words.

Decides which of it makes a reading doubtful, and what is not worth a word. Leaves to
`gridwitness.verify` whether the reading is what the meter signed.
"""

from typing import Any

from wire.reading import ClockEvidence, Reading
from wire.record_rules import KEY_IN_FLASH, STATUS_BITS

CLOCKS = ("unknown", "set once", "synchronised", "disciplined against a reference")
DOUBTFUL = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 16 | 1 << 18
"""Bits with which a meter takes back what it measured, or when."""

CLOCK_ERROR_S = 60
"""A bound of the clock's error above this is worth a word, seconds."""

_SYNCHRONISED = 2


def words_of(status: int) -> list[str]:
    """The status bits that are set, each in words."""
    bits = [bit for bit in range(status.bit_length()) if status >> bit & 1]
    return [STATUS_BITS.get(bit, f"bit {bit}, which has no meaning") for bit in bits]


def clock_fields(clock: ClockEvidence) -> dict[str, Any]:
    """The clock for scripts."""
    return {
        "quality": clock.quality,
        "quality_words": _quality(clock),
        "error_s": clock.error_s,
        "times_set": clock.times_set,
        "set_at_operating_s": clock.set_at_operating_s,
    }


def doubts(reading: Reading) -> str:
    """What belongs into the headline of a verdict: nothing for a reading without a doubt."""
    words = words_of(reading.status & DOUBTFUL)
    return f", but the meter says: {', '.join(words)}" if words else ""


def own_account(reading: Reading) -> list[str]:
    """The line of a verdict about it; none when all is well."""
    told = words_of(reading.status & ~KEY_IN_FLASH)
    if reading.status & KEY_IN_FLASH:
        told.append("its key lies in plain flash")
    clock = reading.clock
    if clock.quality < _SYNCHRONISED or clock.error_s > CLOCK_ERROR_S:
        told.append(f"clock {_quality(clock)}, off by up to {clock.error_s} s")
    return [f"  it says   {'; '.join(told)}"] if told else []


def _quality(clock: ClockEvidence) -> str:
    known = 0 <= clock.quality < len(CLOCKS)
    return CLOCKS[clock.quality] if known else f"quality {clock.quality}"
