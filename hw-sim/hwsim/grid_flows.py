"""What flows through a grid in a few thousand intervals: AC power flow, solved once and cached.

Decides which intervals, whose loads, and the file that keeps them. SimBench grids: one week each of
winter, spring and summer, of their own profiles. The IEEE European feeder: one week of households
of a SimBench grid, each on its house's one phase, in three steps of five minutes whose mean is the
profile's quarter of an hour; three-phase power flow. Meters are exact here; what real meters make
of these energies is decided by `hwsim.meter_errors`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from hwsim.grid_network import IEEE_LV, UnknownGrid, load_network, require_sim, zone_of
from hwsim.grid_zone import HOURS, HV, LV, GridBranch, GridZone, MeterPoint, with_kappas
from hwsim.simbench_day import cache_folder
from wire.errors import Malformed, Refused, Unavailable

VERSION = 1
"""Of what is computed here: part of the cached file's name."""

DAY = 96
WEEKS = (14 * DAY, 105 * DAY, 167 * DAY)
"""First step of each week in the profile year: 15 January, 16 April, 17 June."""

WEEK = 7 * DAY
SHAPE_STEPS = 3
"""Steps of an interval on the IEEE feeder."""

HOUSEHOLDS = "1-LV-semiurb5--0-sw"
"""Whose households live on the IEEE feeder."""

POWER_FACTOR_TAN = 0.3287
"""Reactive to active power there: power factor 0.95, as the feeder's authors take it."""

REFUSED_STATUS = 3
"""Exit status of the computing process when the grid is at fault."""

PROGRESS_STEPS = 100

Row = tuple[float, float, float]
"""Energy of a meter in an interval: import Wh, export Wh, reactive varh (positive: import)."""


@dataclass(frozen=True, slots=True)
class GridFlows:
    """A grid's zones and the exact energies of its meters, interval by interval."""

    zones: dict[str, GridZone]
    """By the boundary meter's side of the transformer."""

    intervals: int
    """How many."""

    values: "array[float]"
    """Import, export and reactive energy of each meter, interval after interval: the boundary of
    the low-voltage side, that of the upper side, then the zone's other points."""

    @property
    def columns(self) -> int:
        """Meters, the boundary counted twice."""
        return len(self.zones[LV].points) + 1

    def interval(self, index: int, side: str) -> list[Row]:
        """What each of a zone's points counts exactly, in their order."""
        width = 3 * self.columns
        row = self.values[index * width : (index + 1) * width]
        triples = [(row[at], row[at + 1], row[at + 2]) for at in range(0, width, 3)]
        return [triples[0 if side == LV else 1], *triples[2:]]

    def save(self, path: Path) -> None:
        """Write it: a line of JSON, then the values as they are in memory."""
        zones = {side: asdict(zone) for side, zone in self.zones.items()}
        head = json.dumps({"intervals": self.intervals, "zones": zones, "order": sys.byteorder})
        path.write_bytes(head.encode() + b"\n" + self.values.tobytes())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises Malformed when it is something else."""
        head, _, body = path.read_bytes().partition(b"\n")
        try:
            content = json.loads(head)
            values = array("f")
            values.frombytes(body)
            if content["order"] != sys.byteorder:
                values.byteswap()
            zones = {side: _zone(each) for side, each in content["zones"].items()}
            found = cls(zones, int(content["intervals"]), values)
            if len(values) != found.intervals * found.columns * 3:
                raise ValueError("cut off")
        except (KeyError, TypeError, ValueError) as reason:
            raise Malformed(f"{path} holds no grid's flows: {reason!r}") from None
        return found


def _zone(content: dict[str, Any]) -> GridZone:
    branches = tuple(GridBranch(**each) for each in content.pop("branches"))
    points = tuple(MeterPoint(**each) for each in content.pop("points"))
    # Kappa is decided anew: it is a rule of thumb, and no reason to solve the grid again.
    return GridZone(**content, branches=with_kappas(branches, points), points=points)


def grid_flows(grid: str, cache: Path | None = None) -> GridFlows:
    """The flows of a grid, from the cache or computed once in a process of their own.

    Raises:
        Unavailable: the `[sim]` extra is not installed, or the power flow failed.
        UnknownGrid: there is no such grid, or it cannot be one zone.
    """
    folder = cache or cache_folder()
    path = folder / f"flows-{grid.replace('/', '_')}-v{VERSION}.bin"
    if path.exists():
        try:
            return GridFlows.load(path)
        except Malformed:
            path.unlink()  # Damaged is as good as missing.
    require_sim()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as workshop:
        part = Path(workshop) / "flows.bin"
        command = [sys.executable, "-m", "hwsim.grid_flows", grid, str(part)]
        made = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
        )
        words = made.stdout.decode(errors="replace").strip()
        if made.returncode == REFUSED_STATUS:
            raise UnknownGrid(words)
        if made.returncode:
            raise Unavailable(f"power flow of {grid}: ended by {made.returncode}")
        part.replace(path)
    return GridFlows.load(path)


def compute(grid: str) -> GridFlows:
    """Solve a grid's intervals; needs the `[sim]` extra."""
    net = load_network(grid)
    zones = {side: zone_of(net, grid, side, join=grid == IEEE_LV) for side in (LV, HV)}
    solved = _three_phase(net) if grid == IEEE_LV else _balanced(net)
    values, intervals = array("f"), 0
    for energies in solved:
        names = [each.id for each in zones[LV].points[1:]]
        for name in ("boundary-lv", "boundary-hv", *names):
            values.extend(energies[name])
        intervals += 1
    return GridFlows(zones, intervals, values)


def _profiles(net: Any) -> dict[Any, Any]:
    import simbench

    if "profiles" not in net:
        raise UnknownGrid(
            f"the network {net.name or 'of that name'} has no load profiles: SimBench grids and"
            f" {IEEE_LV} have"
        )
    found = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    return {key: table for key, table in found.items() if not table.empty}


def _say(done: int, whole: int) -> None:
    if done % PROGRESS_STEPS == 0 or done == whole:
        print(f"power flow {done} of {whole}", file=sys.stderr, flush=True)


def _energies(active_mw: float, reactive_mvar: float, steps: int = 1) -> Row:
    """Energy of one step of an interval, by power into the customer or into the zone."""
    wh, varh = (each * 1e6 * HOURS / steps for each in (active_mw, reactive_mvar))
    return max(0.0, wh), max(0.0, -wh), varh


def _balanced(net: Any) -> Iterator[dict[str, Row]]:
    """A SimBench grid's intervals."""
    import pandapower

    profiles = _profiles(net)
    steps = [first + step for first in WEEKS for step in range(WEEK)]
    for done, step in enumerate(steps, 1):
        for (element, column), table in profiles.items():
            net[element].loc[table.columns, column] = table.loc[step].to_numpy()
        pandapower.runpp(net, numba=False)
        _say(done, len(steps))
        lv, hv = net.res_trafo.iloc[0], net.res_trafo.iloc[0]
        found = {
            "boundary-lv": _energies(-float(lv.p_lv_mw), -float(lv.q_lv_mvar)),
            "boundary-hv": _energies(float(hv.p_hv_mw), float(hv.q_hv_mvar)),
        }
        for index, p_mw, q_mvar in zip(
            net.load.index, net.res_load.p_mw, net.res_load.q_mvar, strict=True
        ):
            found[f"load-{int(index)}"] = _energies(float(p_mw), float(q_mvar))
        for index, p_mw, q_mvar in zip(
            net.sgen.index, net.res_sgen.p_mw, net.res_sgen.q_mvar, strict=True
        ):
            found[f"plant-{int(index)}"] = _energies(-float(p_mw), -float(q_mvar))
        yield found


def _three_phase(net: Any) -> Iterator[dict[str, Row]]:
    """The IEEE feeder's intervals, each of several steps."""
    import random

    import pandapower

    houses = [int(each) for each in net.asymmetric_load.index]
    phases = {
        each: next(p for p in "abc" if float(net.asymmetric_load.at[each, f"p_{p}_mw"]) > 0)
        for each in houses
    }
    table = _profiles(load_network(HOUSEHOLDS))[("load", "p_mw")]
    chance = random.Random(IEEE_LV)
    for done in range(WEEK):
        means = table.loc[WEEKS[0] + done].to_numpy()[: len(houses)]
        shapes = [_shape(chance) for _ in houses]
        sums: dict[str, list[float]] = {}
        for step in range(SHAPE_STEPS):
            for house, mean, shape in zip(houses, means, shapes, strict=True):
                active = float(mean) * shape[step]
                net.asymmetric_load.at[house, f"p_{phases[house]}_mw"] = active
                net.asymmetric_load.at[house, f"q_{phases[house]}_mvar"] = active * POWER_FACTOR_TAN
            pandapower.runpp_3ph(net, numba=False)
            for name, row in _three_phase_step(net, houses, phases).items():
                total = sums.setdefault(name, [0.0, 0.0, 0.0])
                for place, value in enumerate(row):
                    total[place] += value
        _say(done + 1, WEEK)
        yield {name: (total[0], total[1], total[2]) for name, total in sums.items()}


def _shape(chance: Any) -> list[float]:
    """How a household's power runs within an interval: steps whose mean is 1."""
    drawn: Sequence[float] = [chance.expovariate(1.0) for _ in range(SHAPE_STEPS)]
    return [SHAPE_STEPS * each / sum(drawn) for each in drawn]


def _three_phase_step(net: Any, houses: list[int], phases: dict[int, str]) -> dict[str, Row]:
    lv, hv, loads = (
        net.res_trafo_3ph.iloc[0],
        net.res_trafo_3ph.iloc[0],
        net.res_asymmetric_load_3ph,
    )

    def all_phases(row: Any, quantity: str, side: str, unit: str) -> float:
        return sum(float(row[f"{quantity}_{phase}_{side}_{unit}"]) for phase in "abc")

    found = {
        "boundary-lv": _energies(
            -all_phases(lv, "p", "lv", "mw"), -all_phases(lv, "q", "lv", "mvar"), SHAPE_STEPS
        ),
        "boundary-hv": _energies(
            all_phases(hv, "p", "hv", "mw"), all_phases(hv, "q", "hv", "mvar"), SHAPE_STEPS
        ),
    }
    for house in houses:
        active = float(loads.at[house, f"p_{phases[house]}_mw"])
        reactive = float(loads.at[house, f"q_{phases[house]}_mvar"])
        found[f"house-{house}"] = _energies(active, reactive, SHAPE_STEPS)
    return found


def main() -> int:
    """Compute one grid into a file: `python -m hwsim.grid_flows GRID FILE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("grid")
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    try:
        compute(args.grid).save(args.file)
    except Refused as reason:
        print(reason)
        return REFUSED_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
