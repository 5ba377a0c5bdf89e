"""From register words to watt-hours, and whether to believe them at once.

Decides exact integer arithmetic (a float register is a fraction, rounded once), which words mean
"no value", and when a value is doubtful enough to be read again. What is confirmed by a second
read is a fact, however odd: the validators' rules judge it, the gateway does not.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.templates import Template
from wire.errors import Refused

_SECOND_LOOK_FACTOR_NUM, _SECOND_LOOK_FACTOR_DEN = 5, 4
"""A value is read again when it advanced by more than 5/4 of what the rating allows."""


class NoValue(Refused):
    """The registers hold a sentinel, not an energy."""

    code = "no-value"


@dataclass(frozen=True, slots=True)
class Registers:
    """A meter's two energy registers at one moment."""

    import_wh: int
    """Import, Wh."""

    export_wh: int
    """Export, Wh."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a meter can plausibly count."""

    power_w: int
    """The larger of its service rating and the installed generation, W."""

    resolution_wh: int
    """Step of its registers, Wh."""


def decode(template: Template, words: Sequence[int]) -> Registers:
    """Turn the words of the template's energy block into watt-hours; raises NoValue."""
    return Registers(
        _energy_wh(template, words, template.import_at),
        _energy_wh(template, words, template.export_at),
    )


def _energy_wh(template: Template, words: Sequence[int], place: int) -> int:
    (kwh,) = struct.unpack(">f", struct.pack(">HH", *words[place : place + 2]))
    if not math.isfinite(kwh) or kwh < 0:
        raise NoValue(f"{template.name}: a register says {kwh}")
    numerator, denominator = float(kwh).as_integer_ratio()
    return (2_000 * numerator + denominator) // (2 * denominator)


def words_bytes(words: Sequence[int]) -> bytes:
    """The words as they came over the wire, big-endian."""
    return struct.pack(f">{len(words)}H", *words)


def doubt(before: Registers | None, now: Registers, elapsed_ms: int, limits: Limits) -> str:
    """Say why a value should be read again; empty when there is no reason.

    Args:
        before: the last value that was believed; None when there is none.
        now: the value just read.
        elapsed_ms: network time between the two.
        limits: what the meter can count.
    """
    if before is None:
        return ""
    if runs_backwards(before, now):
        return "a register runs backwards"
    most_wh = (
        limits.power_w
        * max(elapsed_ms, 0)
        * _SECOND_LOOK_FACTOR_NUM
        // (_SECOND_LOOK_FACTOR_DEN * 3_600_000)
    ) + 2 * limits.resolution_wh
    if max(now.import_wh - before.import_wh, now.export_wh - before.export_wh) > most_wh:
        return f"a register jumped by more than {most_wh} Wh"
    return ""


def runs_backwards(before: Registers, now: Registers) -> bool:
    """Whether a register is smaller than it was: a glitch, or a meter that was reset."""
    return now.import_wh < before.import_wh or now.export_wh < before.export_wh


def confirms(first: Registers, second: Registers, elapsed_ms: int, limits: Limits) -> bool:
    """Whether a second read, shortly after, says the same as the first."""
    return not doubt(first, second, elapsed_ms, limits)
