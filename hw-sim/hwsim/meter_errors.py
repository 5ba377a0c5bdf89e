"""What real meters make of exact energies: class errors, a common error, register steps, skew.

Decides the error model that the balance rule is measured with. Each meter has one gain for a whole
run, drawn evenly within its class limit, and all share one more; transformers of a boundary meter
add theirs. Registers step; where a register stands within its step at the window's start is drawn
anew for each window. Each end of a window is read late or early by up to the skew, and the energy
of the wrong side comes along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from hwsim.feeder import CLASS_05_PPM, CLASS_1_PPM, CURRENT_TRANSFORMER_PPM, INTERVAL_S
from hwsim.grid_flows import Row
from hwsim.grid_zone import HOURS, MeterPoint

CLASS_02S_PPM = [[0, 4_000], [10, 2_000]]
FINE_TRANSFORMER_PPM = 2_000
"""Class 0.2S, of IEC 62053-22 and IEC 61869-2."""

_PPM = 1_000_000
_PERMILLE = 1_000


class Counted(NamedTuple):
    """What a meter's registers advance by in a window."""

    import_wh: int
    """Import, Wh."""

    export_wh: int
    """Export, Wh."""

    import_varh: int
    """Reactive import, varh."""

    export_varh: int
    """Reactive export, varh."""


class Chance(NamedTuple):
    """What is drawn for one meter and window."""

    late: tuple[float, float]
    """Start and end: how late each is read, parts of the skew, -1 to 1."""

    stand: tuple[float, float, float, float]
    """Where each register stands within its step at the start, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Metering:
    """How a grid is metered."""

    step_wh: int
    """Step of all registers, Wh and varh."""

    skew_s: int
    """How badly the ends of intervals are known, seconds; as the readings say."""

    boundary_skew_s: int
    """The same of the boundary meter."""

    reactive: bool = False
    """Whether meters count reactive energy and the rule sees it."""

    fine_boundary: bool = False
    """Whether the boundary meter and its transformers are of class 0.2S instead of 0.5."""

    def class_of(self, point: MeterPoint) -> list[list[int]]:
        """Class limits of a meter: load in permille of its rating, limit in ppm."""
        if point.role != "boundary":
            return CLASS_1_PPM
        return CLASS_02S_PPM if self.fine_boundary else CLASS_05_PPM

    def transformer_ppm_of(self, point: MeterPoint) -> int:
        """Limit of a meter's current and voltage transformers, ppm."""
        if point.role != "boundary":
            return 0
        return FINE_TRANSFORMER_PPM if self.fine_boundary else CURRENT_TRANSFORMER_PPM

    def skew_of(self, point: MeterPoint) -> int:
        """How badly this meter's intervals are known, seconds."""
        return self.boundary_skew_s if point.role == "boundary" else self.skew_s


class MeterErrors:
    """The meters of one grid with the errors of one seed."""

    def __init__(self, points: Sequence[MeterPoint], seed: int, common_ppm: int) -> None:
        """Draw each meter's gain.

        Args:
            points: meters.
            seed: of all draws.
            common_ppm: limit of the error that all meters share.
        """
        self._chance = Random(seed)
        even = self._chance.uniform
        self._common = even(-1, 1) * common_ppm / _PPM
        self._gains = [even(-1, 1) for _ in points]
        self._transformers = [even(-1, 1) if each.role == "boundary" else 0.0 for each in points]
        self._points = points

    def draw(self) -> list[Chance]:
        """Draw what one window needs, meter by meter."""
        one, even = self._chance.random, self._chance.uniform
        return [
            Chance((even(-1, 1), even(-1, 1)), (one(), one(), one(), one())) for _ in self._gains
        ]

    def counted(
        self, place: int, rows: tuple[Row, Row, Row], chance: Chance, metering: Metering
    ) -> Counted:
        """What one meter counts.

        Args:
            place: which of the points.
            rows: exact energies of the interval before, of this one and of the next.
            chance: as drawn for it.
            metering: step and skew.
        """
        now, point = rows[1], self._points[place]
        limit = _limit(metering.class_of(point), point, now[0] + now[1])
        transformers = self._transformers[place] * metering.transformer_ppm_of(point)
        gain = 1 + (self._gains[place] * limit + transformers) / _PPM + self._common
        skew = metering.skew_of(point) / INTERVAL_S
        late_start, late_end = chance.late[0] * skew, chance.late[1] * skew
        first = rows[1] if late_start > 0 else rows[0]
        last = rows[2] if late_end > 0 else rows[1]
        energies = [
            max(0.0, now[kind] + late_end * last[kind] - late_start * first[kind]) * gain
            for kind in (0, 1)
        ]
        varh = now[2] * gain
        energies += [max(0.0, varh), max(0.0, -varh)]
        step = metering.step_wh
        advances = [
            int(energy / step + stand) * step if energy else 0
            for energy, stand in zip(energies, chance.stand, strict=True)
        ]
        return Counted(*advances)


def _limit(table: list[list[int]], point: MeterPoint, energy_wh: float) -> int:
    """Class limit at the mean load of an interval, ppm."""
    load = energy_wh / (point.rating_w * HOURS) * _PERMILLE
    return next(ppm for from_load, ppm in reversed(table) if load >= from_load)
