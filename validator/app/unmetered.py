"""Unmetered loads: what burns by the clock and has no meter, such as street lights.

Decides what such a load is registered as, and how much it takes in a window: its power is a step
function of the time of day in UTC. How far the schedule may be wrong is registered with it, and
widens the zone's tolerance as a meter's class does.
"""

from dataclasses import dataclass
from typing import Any

from wire.errors import Malformed
from wire.fields import identifier, items, uint

_DAY_S = 86_400
_S_PER_H = 3600
_LARGEST_W = 10**9
_PPM = 1_000_000
_MOST_STEPS = 96
_KEYS = {"id", "zone", "node", "schedule", "limit_ppm"}


@dataclass(frozen=True, slots=True)
class UnmeteredLoad:
    """A load that is reckoned, not measured."""

    id: str
    """Load id."""

    zone: str
    """Zone whose balance it is part of."""

    node: str
    """Grid node that it hangs on."""

    schedule: tuple[tuple[int, int], ...]
    """Power from a second of the day on: (second, watts), ascending from 0."""

    limit_ppm: int
    """How far its energy may be from the schedule's, parts per million."""

    def energy_wh(self, start_s: int, seconds: int) -> int:
        """Energy that the schedule says of a window, Wh, rounded down."""
        return (self._until(start_s + seconds) - self._until(start_s)) // _S_PER_H

    @property
    def most_w(self) -> int:
        """Largest power of the schedule, watts."""
        return max(power_w for _, power_w in self.schedule)

    def _until(self, time_s: int) -> int:
        """Energy from Unix second 0 on, watt seconds."""
        days, second = divmod(time_s, _DAY_S)
        ends = [start for start, _ in self.schedule[1:]] + [_DAY_S]
        total = 0
        for (start, power_w), end in zip(self.schedule, ends, strict=True):
            total += power_w * (days * (end - start) + max(0, min(second, end) - start))
        return total


def unmetered_load(value: Any) -> UnmeteredLoad:
    """Read an unmetered load's entry; raises Refused."""
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise Malformed("an unmetered load has " + ", ".join(sorted(_KEYS)))
    return UnmeteredLoad(
        identifier(value["id"], "id"),
        identifier(value["zone"], "zone"),
        identifier(value["node"], "node"),
        _schedule(value["schedule"]),
        uint(value["limit_ppm"], "limit_ppm", _PPM),
    )


def _schedule(value: Any) -> tuple[tuple[int, int], ...]:
    steps = []
    for step in items(value, "schedule"):
        second, power_w = items(step, "schedule", 2)
        steps.append((uint(second, "second", _DAY_S - 1), uint(power_w, "power", _LARGEST_W)))
    seconds = [second for second, _ in steps]
    if len(steps) > _MOST_STEPS or seconds[:1] != [0] or seconds != sorted(set(seconds)):
        raise Malformed(f"schedule: at most {_MOST_STEPS} steps that ascend from second 0")
    return tuple(steps)
