"""Giving the time to signing meters, and asking what their clocks are worth.

Decides when a gateway may give the time: when something disciplines its own clock and the bound of
its error is small. The meter decides what it makes of it, counts every setting and signs that
count (docs/METER-REGISTERS.md, "Time"); so a gateway can give a wrong time, but never unseen.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.lines.frames import READ_HOLDING, WRITE_MULTIPLE, Request
from gateway.timing import SYNCHRONISED, ClockQuality, NetworkClock

GIVE_EVERY_S = 3_600.0
"""Real time after which a meter is given the time again: 0.2 s of drift at 50 ppm."""

AGAIN_S = 60.0
"""Real time after which a gateway that had no good time looks again."""

MOST_ERROR_MS = 5_000
"""A gateway whose clock is worse than this gives no time."""

_TRANSIT_MS = 500
"""From reading the clock until the meter has the last byte: silence and frame at 2,400 baud."""

_STATE, _STATE_WORDS = 0xF058, 12
_TIME = 0xF064

Ask = Callable[[Request], Awaitable[tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class MeterState:
    """What a signing meter says of itself, unsigned: for the status page."""

    status_bits: int
    """As in a record's field 12."""

    clock_quality: int
    """0 unknown, 1 set, 2 synchronised, 3 disciplined."""

    clock_error_s: int
    """Bound of its clock's error, seconds."""

    times_set: int
    """How often its clock was set."""

    boots: int
    """Starts."""

    operating_s: int
    """Time in operation, seconds."""

    time_s: int
    """What it holds for network time, Unix seconds; 0 is unknown."""


def may_give(quality: ClockQuality) -> bool:
    """Whether a clock of this quality may be given to a meter."""
    return quality.quality >= SYNCHRONISED and quality.error_ms <= MOST_ERROR_MS


async def give(ask: Ask, unit: int, clock: NetworkClock, quality: ClockQuality) -> None:
    """Give a meter the time; raises what `ask` raises, DeviceRefused when it will not have it."""
    now_ms = clock.now_ms()
    error_s = -(-(quality.error_ms + _TRANSIT_MS) // 1000)
    seconds, milliseconds = divmod(now_ms, 1000)
    words = (seconds >> 16, seconds & 0xFFFF, milliseconds, error_s)
    await ask(Request(unit, WRITE_MULTIPLE, _TIME, len(words), words))


async def state(ask: Ask, unit: int) -> MeterState:
    """Ask a meter how it is; raises what `ask` raises."""
    words = await ask(Request(unit, READ_HOLDING, _STATE, _STATE_WORDS))
    longs = [words[place] << 16 | words[place + 1] for place in (0, 4, 6, 8, 10)]
    return MeterState(
        status_bits=longs[0],
        clock_quality=words[2],
        clock_error_s=words[3],
        times_set=longs[1],
        boots=longs[2],
        operating_s=longs[3],
        time_s=longs[4],
    )
