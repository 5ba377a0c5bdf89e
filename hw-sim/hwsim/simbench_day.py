"""A day of a SimBench low-voltage grid: what each meter counts, lines' losses included.

Decides which day (one in June whose sun feeds back into the transformer), where the boundary meter
sits (the transformer's low-voltage side) and how a line becomes a branch of the zone. The power
flow is pandapower's AC solution for each quarter of an hour; energies are its powers for 900 s. It
needs some 600 MB for a few seconds, so it runs in a process of its own, once, and is cached.

SimBench: S. Meinecke et al., "SimBench - A Benchmark Dataset of Electric Power Systems", Energies
2020, 13(12), 3290; data under the ODbL, taken from the package and not kept in this repository.
"""

import argparse
import contextlib
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwsim.feeder import (
    DAY_START_S,
    INTERVAL_S,
    INTERVALS,
    FeederBranch,
    FeederDay,
    FeederMeter,
    rho,
    synthetic_day,
)
from wire.errors import Malformed, Refused, Unavailable

VERSION = 3
"""Of what is computed here: part of the cached file's name."""

FIRST_STEP = 167 * 96
"""16 June of the profile year, which starts on 1 January."""

ORIGIN_LAT, ORIGIN_LON = 18.7883, 98.9853
"""The grid's own coordinates are moved to Chiang Mai."""

IMPORT_START_WH, EXPORT_START_WH = 1_200_000, 300_000
MARGIN = 1.5

SINGLE_PHASE_W = 7_000
"""Smaller services get a single-phase meter, as 32 A at 230 V would carry them."""

UNBALANCED_KAPPA = 6
"""Of lines that feed single-phase services: the load's shape and its unbalance together."""
EXAMPLE = "1-LV-rural1--0-sw"


NO_SUCH_GRID = 3
"""Exit status of the computing process."""


class UnknownGrid(Refused):
    """No SimBench grid has that code."""

    code = "unknown-grid"


def feeder_day(grid: str) -> FeederDay:
    """The day of a SimBench code, or the synthetic one."""
    return synthetic_day() if grid == "synthetic" else simbench_day(grid)


def cache_folder() -> Path:
    """Where days are kept: `$XDG_CACHE_HOME/gridwitness`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gridwitness"


def simbench_day(grid: str, cache: Path | None = None) -> FeederDay:
    """The day of a SimBench grid, from the cache or computed once.

    Raises:
        Unavailable: SimBench is not installed, or the power flow failed.
        UnknownGrid: SimBench has no such grid.
    """
    folder = cache or cache_folder()
    path = folder / f"{grid}-v{VERSION}.json"
    with contextlib.suppress(FileNotFoundError, Malformed):  # Damaged is as good as missing.
        return FeederDay.load(path)
    if importlib.util.find_spec("simbench") is None:
        raise Unavailable(f"SimBench is not installed, so no {grid}: pip install -e '.[sim]'")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as workshop:
        part = Path(workshop) / "day.json"
        _compute_apart(grid, part)
        part.replace(path)
    return FeederDay.load(path)


def _compute_apart(grid: str, file: Path) -> None:
    """Compute in a process of its own, whose memory is free again when it ends."""
    print(f"computing a day of {grid} (AC power flow, once, a few seconds)", file=sys.stderr)
    command = [sys.executable, "-m", "hwsim.simbench_day", grid, str(file)]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    last = "".join(made.stderr.decode(errors="replace").strip().splitlines()[-1:])
    if made.returncode == NO_SUCH_GRID:
        raise UnknownGrid(last)
    if made.returncode:
        raise Unavailable(f"SimBench grid {grid}: {last or f'ended by {made.returncode}'}")


@dataclass
class _Counter:
    """Registers of one meter: exact energy, and whole Wh at each boundary."""

    exact_wh: list[float] = field(default_factory=lambda: [0.0, 0.0])
    import_wh: list[int] = field(default_factory=lambda: [IMPORT_START_WH])
    export_wh: list[int] = field(default_factory=lambda: [EXPORT_START_WH])
    most_w: float = 0.0

    def count(self, power_w: float) -> None:
        """Add an interval of mean power; negative is export."""
        self.most_w = max(self.most_w, abs(power_w))
        self.exact_wh[power_w < 0] += abs(power_w) * INTERVAL_S / 3600
        self.import_wh.append(IMPORT_START_WH + math.floor(self.exact_wh[0]))
        self.export_wh.append(EXPORT_START_WH + math.floor(self.exact_wh[1]))


def compute(grid: str) -> FeederDay:
    """Solve the day; needs pandapower and simbench."""
    import pandapower
    import simbench

    net = simbench.get_simbench_net(grid)
    profiles = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    counters: dict[str, _Counter] = {}
    for step in range(FIRST_STEP, FIRST_STEP + INTERVALS):
        for (element, column), table in profiles.items():
            if element in ("load", "sgen") and not table.empty:
                net[element].loc[table.columns, column] = table.loc[step].to_numpy()
        pandapower.runpp(net, numba=False)
        for name, power_w in _powers(net).items():
            counters.setdefault(name, _Counter()).count(power_w)
    return _day(net, grid, counters)


def _powers(net: Any) -> dict[str, float]:
    """Mean power of each meter in W, positive into the customer or into the zone."""
    found = {"boundary": -float(net.res_trafo.p_lv_mw.sum()) * 1e6}
    for index in net.load.index:
        found[f"load-{index}"] = float(net.res_load.p_mw[index]) * 1e6
    for index in net.sgen.index:
        found[f"plant-{index}"] = -float(net.res_sgen.p_mw[index]) * 1e6
    return found


def _day(net: Any, grid: str, counters: dict[str, _Counter]) -> FeederDay:
    root = int(net.trafo.lv_bus.iloc[0])
    buses = {"boundary": root}
    buses |= {f"load-{index}": int(net.load.bus[index]) for index in net.load.index}
    buses |= {f"plant-{index}": int(net.sgen.bus[index]) for index in net.sgen.index}
    places = _places(net)
    installed_w = {f"plant-{n}": round(net.sgen.sn_mva[n] * 1e6) for n in net.sgen.index}
    meters = tuple(
        _meter(name, bus, places[bus], counters[name], installed_w.get(name, 0))
        for name, bus in buses.items()
    )
    return FeederDay(grid, DAY_START_S, f"bus-{root}", meters, tuple(_branches(net, root)))


def _places(net: Any) -> dict[int, tuple[int, int]]:
    """Latitude and longitude of each bus, 1e-7 degrees; the grid's shape, moved."""
    import json

    found = {}
    for bus in net.bus.index:
        lon, lat = json.loads(net.bus.geo[bus])["coordinates"][:2]
        found[int(bus)] = (float(lat), float(lon))
    mean_lat = sum(lat for lat, _ in found.values()) / len(found)
    mean_lon = sum(lon for _, lon in found.values()) / len(found)
    return {
        bus: (
            round((ORIGIN_LAT + lat - mean_lat) * 1e7),
            round((ORIGIN_LON + lon - mean_lon) * 1e7),
        )
        for bus, (lat, lon) in found.items()
    }


def _meter(
    name: str, bus: int, place: tuple[int, int], counter: _Counter, installed_w: int
) -> FeederMeter:
    """A meter; SimBench names no fuses, so a service is rated by its highest load of the day."""
    role = {"boundary": "boundary", "load": "customer", "plant": "source"}[name.split("-")[0]]
    most_w = math.ceil(counter.most_w * MARGIN / 1000 + 1) * 1000
    return FeederMeter(
        id=name,
        node=f"bus-{bus}",
        role=role,
        rating_w=max(most_w, installed_w),
        installed_w=installed_w,
        phases=1 if role == "customer" and most_w <= SINGLE_PHASE_W else 3,
        lat_e7=place[0],
        lon_e7=place[1],
        import_wh=tuple(counter.import_wh),
        export_wh=tuple(counter.export_wh),
    )


def _branches(net: Any, root: int) -> list[FeederBranch]:
    """Lines as a tree from the transformer's low-voltage bus, upstream end first."""
    left = {
        int(index): (int(net.line.from_bus[index]), int(net.line.to_bus[index]))
        for index in net.line.index
        if net.line.in_service[index]
    }
    reached, found, grew = {root}, [], True
    while grew:
        grew = False
        for index, (one, other) in list(left.items()):
            if (one in reached) != (other in reached):
                up, down = (one, other) if one in reached else (other, one)
                reached.add(down)
                found.append(_branch(net, index, up, down))
                del left[index]
                grew = True
    return found


def _branch(net: Any, index: int, up: int, down: int) -> FeederBranch:
    line = net.line.loc[index]
    volts = float(net.bus.vn_kv[up]) * 1000
    ohms = float(line.r_ohm_per_km * line.length_km / line.parallel)
    carries_w = round(float(line.max_i_ka) * 1000 * math.sqrt(3) * volts)
    ends = (f"bus-{up}", f"bus-{down}")
    return FeederBranch(f"line-{index}", *ends, rho(ohms, volts), UNBALANCED_KAPPA, carries_w)


def main() -> int:
    """Compute one grid into a file: `python -m hwsim.simbench_day GRID FILE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("grid")
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    import simbench

    if args.grid not in simbench.collect_all_simbench_codes():
        print(f"SimBench has no grid {args.grid}; one it has: {EXAMPLE}", file=sys.stderr)
        return NO_SUCH_GRID
    compute(args.grid).save(args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
