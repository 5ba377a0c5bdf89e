"""From register words to watt-hours, and whether to believe them at once.

Decides exact integer arithmetic (`meters.words`; rounded once, to whole watt-hours), which words
mean "no value", and when a value is doubtful enough to be read again. What is confirmed by a second
read is a fact, however odd: the validators' rules judge it, the gateway does not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from gateway.meters.template import MOST_EVIDENCE, SIZES, Energy, Number, Template
from gateway.meters.words import number_of, words_bytes
from wire.errors import Refused

_SECOND_LOOK_FACTOR_NUM, _SECOND_LOOK_FACTOR_DEN = 5, 4
"""A value is read again when it advanced by more than 5/4 of what the rating allows."""

_MOST_WH = 10**15
"""A petawatt-hour: no meter has counted more, whatever its registers say."""

_SCALE = Number("s16", "high-first")
_SCALES = range(-10, 11)
"""Powers of ten that SunSpec allows; its "not implemented" is far outside."""


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

    rollover_wh: int = 0
    """Where its registers start again from 0, Wh; 0 when nobody says."""


def decode(template: Template, words: Sequence[int], before: Registers | None = None) -> Registers:
    """Turn the words of the template's energy request into watt-hours.

    Args:
        template: how to read the meter.
        words: the words of all its energy blocks, joined.
        before: the last value that was believed; None when there is none.

    Raises:
        NoValue: a register says that it has none.
    """
    energy = template.energy_registers
    if energy.model and words[0] != energy.model:
        raise NoValue(f"{template.name}: SunSpec model {words[0]} stands where it was expected")
    if energy.number.kind == "obis":
        _see_directions(template, words, before)
    unit_wh = energy.unit_wh * _scale(template, words)
    found = Registers(
        _energy_wh(template, words, energy.import_at, unit_wh),
        _energy_wh(template, words, energy.export_at, unit_wh),
    )
    if energy.zero_is_asleep and _asleep(found, before):
        raise NoValue(f"{template.name}: a register says 0: the device has not woken up")
    return found


def _scale(template: Template, words: Sequence[int]) -> Fraction:
    place = template.energy_registers.scale_at
    if place is None:
        return Fraction(1)
    power = number_of(_SCALE, words[place : place + 1])
    if power is None or power not in _SCALES:
        raise NoValue(f"{template.name}: a scale factor of {power}")
    return Fraction(10) ** int(power)


def _energy_wh(
    template: Template, words: Sequence[int], place: int | None, unit_wh: Fraction
) -> int:
    if place is None:
        return 0
    energy = template.energy_registers
    raw = words[place : place + SIZES[energy.number.kind]]
    spelled = words_bytes(raw).hex()
    if any(re.fullmatch(each, spelled) for each in energy.no_value):
        raise NoValue(f"{template.name}: a register says that it has no value")
    counts = number_of(energy.number, raw)
    if counts is None or not 0 <= counts * unit_wh <= _MOST_WH:
        raise NoValue(f"{template.name}: {words_bytes(raw).hex(' ', 2)} is no energy")
    value_wh = counts * unit_wh
    return (2 * value_wh.numerator + value_wh.denominator) // (2 * value_wh.denominator)


def _see_directions(template: Template, words: Sequence[int], before: Registers | None) -> None:
    """A readout without a line that the meter had before says nothing of that energy."""
    energy = template.energy_registers
    size = SIZES[energy.number.kind]
    places = (energy.import_at, energy.export_at)
    there = [place is not None and any(words[place : place + size]) for place in places]
    had = (before.import_wh > 0, before.export_wh > 0) if before else (False, False)
    if not any(there) or any(was and not now for was, now in zip(had, there, strict=True)):
        raise NoValue(f"{template.name}: a readout without its energy lines")


def _asleep(found: Registers, before: Registers | None) -> bool:
    if found.import_wh == found.export_wh == 0:
        return True
    return before is not None and (
        (found.import_wh == 0 < before.import_wh) or (found.export_wh == 0 < before.export_wh)
    )


def evidence(template: Template, words: Sequence[int]) -> bytes:
    """The raw words that a reading carries (EMR-1, field 22).

    All that were read when they fit, else those that the values come from, in their order.
    """
    if len(words) <= MOST_EVIDENCE:
        return words_bytes(words)
    return b"".join(
        words_bytes(words[at : at + size]) for at, size in template.energy_registers.used
    )


def energies(energy: Energy) -> tuple[str, ...]:
    """Which directions a template reads, in words."""
    directions = (("import", energy.import_at), ("export", energy.export_at))
    return tuple(name for name, place in directions if place is not None)


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
    most_wh = (
        limits.power_w
        * max(elapsed_ms, 0)
        * _SECOND_LOOK_FACTOR_NUM
        // (_SECOND_LOOK_FACTOR_DEN * 3_600_000)
    ) + 2 * limits.resolution_wh
    advances = (now.import_wh - before.import_wh, now.export_wh - before.export_wh)
    if runs_backwards(before, now):
        again_wh = limits.rollover_wh
        if again_wh and all(each % again_wh <= most_wh for each in advances):
            return f"a register runs backwards: it began again at {again_wh} Wh"
        return "a register runs backwards"
    if max(advances) > most_wh:
        return f"a register jumped by more than {most_wh} Wh"
    return ""


def runs_backwards(before: Registers, now: Registers) -> bool:
    """Whether a register is smaller than it was: a glitch, or a meter that was reset."""
    return now.import_wh < before.import_wh or now.export_wh < before.export_wh


def confirms(first: Registers, second: Registers, elapsed_ms: int, limits: Limits) -> bool:
    """Whether a second read, shortly after, says the same as the first."""
    return not doubt(first, second, elapsed_ms, limits)
