"""What the energy rules cost: time of a seal by zone size, readings through a block.

Decides the zones of the measurement (a street of so many meters, one to a node) and what is put
beside what. Times are of one core; the shortest of a few runs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gridwitness.judged_zone import JudgedZone
from hwsim.grid_zone import GridZone, MeterPoint, line_branch, with_kappas
from hwsim.meter_errors import Counted, Metering

SIZES = (10, 30, 100, 110, 300, 1_000)
REPEATS = 5
JUDGEMENTS = 20_000
"""Meters judged in each run, all seals together."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured."""

    seal_us: dict[int, float]
    """By meters of a zone: microseconds of one seal's verdict."""

    seal_with_reactive_us: dict[int, float]
    """The same when every meter tells its reactive energy."""

    readings_per_s: int
    """Readings decided in a block by one core, every signature checked."""

    verify_per_s: int
    """Bare signature checks by the same core."""

    @property
    def content(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seal_us": {str(size): us for size, us in self.seal_us.items()},
            "seal_with_reactive_us": {
                str(size): us for size, us in self.seal_with_reactive_us.items()
            },
            "readings_per_s_per_core": self.readings_per_s,
            "verify_per_s_per_core": self.verify_per_s,
        }

    @property
    def words(self) -> str:
        """For people."""
        lines = ["\none zone seal, by meters:"]
        for size, us in self.seal_us.items():
            reactive = self.seal_with_reactive_us[size]
            lines.append(f"  {size:5} meters {us:8.0f} us, with reactive energy {reactive:8.0f} us")
        lines.append(
            f"readings through a block, one core: {self.readings_per_s}/s of"
            f" {self.verify_per_s}/s bare signature checks"
        )
        return "\n".join(lines)


def street(meters: int) -> GridZone:
    """A row of that many customers, one to a node, behind a boundary meter."""
    points = [MeterPoint("boundary", "n0", "boundary", 1_000_000, 0, 3)]
    branches = []
    for number in range(1, meters + 1):
        ends = (f"n{number - 1}", f"n{number}")
        branches.append(line_branch(ends, f"line-{number}", 0.2, 0.01, 1, 400.0, 1_500.0))
        points.append(MeterPoint(f"c{number}", ends[1], "customer", 15_000, 0, 3))
    return GridZone("street", "lv", "n0", 0, "", with_kappas(branches, points), tuple(points))


def seal_us(meters: int, reactive: bool) -> float:
    """Microseconds of one verdict over a street."""
    zone = JudgedZone.of(street(meters), Metering(1, 1, 1, reactive))
    measured = {
        member.id: zone.measured(place, Counted(100 * meters if place == 0 else 100, 0, 20, 0))
        for place, member in enumerate(zone.members)
    }
    rounds = max(1, JUDGEMENTS // (REPEATS * meters))
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(rounds):
            zone.judge(measured)
        best = min(best, (time.perf_counter() - started) / rounds)
    return round(best * 1e6, 1)


def measure(say: Callable[[str], None]) -> Cost:
    """Measure all of it; takes some twenty seconds."""
    from gridwitness import bench_figures

    say("zone seals")
    plain = {size: seal_us(size, reactive=False) for size in SIZES}
    reactive = {size: seal_us(size, reactive=True) for size in SIZES}
    block = bench_figures.block_execution()
    return Cost(plain, reactive, block["readings_per_s"], block["verify_per_s_per_core"])
