"""A zone out of a pandapower network or a SimBench grid.

Decides which elements of a network belong to the zone behind one transformer, and which networks
cannot be a zone (rings, several transformers without a choice, elements whose losses no rule
knows). Needs pandapower, which only the `[sim]` extra installs; the figures themselves are made in
`hwsim.grid_zone`.
"""

import importlib.util
import math
import warnings
from pathlib import Path
from typing import Any

from hwsim.grid_zone import (
    HV,
    LV,
    GridBranch,
    GridZone,
    MeterPoint,
    join_series,
    line_branch,
    transformer_branch,
    tree_from,
    with_kappas,
)
from wire.errors import Malformed, Refused, Unavailable

IEEE_LV = "ieee-european-lv"
"""The IEEE European Low Voltage Test Feeder, as pandapower carries it."""

SINGLE_PHASE_W = 7_000
"""A smaller service of unknown phases is taken for a single-phase one: 32 A at 230 V."""

STEP_W = 1_000
"""Ratings are rounded up to whole kilowatts."""

_UNKNOWN_LOSSES = ("trafo3w", "impedance", "dcline", "ward", "xward", "shunt", "motor", "storage")


class UnknownGrid(Refused):
    """No network has that name."""

    code = "unknown-grid"


class UnfitGrid(Refused):
    """The network cannot be one zone."""

    code = "unfit-grid"


def require_sim() -> None:
    """Raise Unavailable where the grids' packages are not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("pandapower", "simbench")):
        raise Unavailable(
            "pandapower and SimBench are not installed: .venv/bin/pip install -c constraints.txt"
            " -e '.[sim]' (about 800 MB)"
        )


def load_network(name: str) -> Any:
    """The network of a SimBench code, of a name in pandapower.networks, or of a pandapower file.

    Raises:
        Unavailable: the `[sim]` extra is not installed.
        UnknownGrid: nothing has that name.
        Malformed: the file holds no network.
    """
    require_sim()
    import pandapower.networks
    import simbench

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of pandas, about how the two packages use it.
        if name == IEEE_LV:
            return pandapower.networks.ieee_european_lv_asymmetric("on_peak_566")
        if name.endswith(".json"):
            return _from_file(Path(name))
        if name in simbench.collect_all_simbench_codes():
            return simbench.get_simbench_net(name)
        made = _made(name)
    if made is None:
        raise UnknownGrid(
            f"no grid {name}: give a SimBench code (1-LV-rural2--0-sw), {IEEE_LV}, a function"
            " of pandapower.networks that needs no arguments, or a pandapower .json file"
        )
    return made


def _from_file(path: Path) -> Any:
    import pandapower

    text = path.read_text()
    try:
        net = pandapower.from_json_string(text)
    except Exception as reason:  # What a stranger's file makes pandapower say has no one type.
        raise Malformed(f"{path} holds no pandapower network: {reason!r}") from None
    if not isinstance(net, pandapower.pandapowerNet):
        raise Malformed(f"{path} holds no pandapower network")
    return net


def _made(name: str) -> Any:
    """What the function of that name makes; None when it is no network."""
    import pandapower

    make = getattr(pandapower.networks, name, None) if name.isidentifier() else None
    if not callable(make) or name.startswith("_"):
        return None
    try:
        net = make()
    except TypeError:  # It needs arguments.
        return None
    return net if isinstance(net, pandapower.pandapowerNet) else None


def zone_of(
    net: Any, grid: str, side: str = LV, transformer: int | None = None, join: bool = False
) -> GridZone:
    """Make the zone behind one transformer.

    Args:
        net: a pandapower network.
        grid: its name.
        side: where the boundary meter sits: at the transformer's low-voltage side, or at its
            upper side, so that the transformer's losses are inside.
        transformer: its index; None where there is only one, or none.
        join: make one branch of branches in series.

    Raises:
        UnfitGrid: it cannot be one zone.
    """
    nodes = _nodes(net)
    chosen = _transformer(net, transformer)
    low, top = _ends(net, nodes, chosen, side)
    edges, unfinished = {}, {}
    for index in net.line.index:
        if _line_connects(net, int(index)):
            one, other = (nodes[int(net.line.at[index, c])] for c in ("from_bus", "to_bus"))
            name = f"line-{int(index)}"
            edges[name] = (name, one, other)
            unfinished[name] = int(index)
    tree, ring = tree_from(low, list(edges.values()))
    if ring is not None:
        raise UnfitGrid(f"{ring} closes a ring: a zone is a tree; open a switch of the ring")
    branches = [_line(net, unfinished[name], (up, down)) for name, up, down in tree]
    p0_mw, p0_words = 0, "no transformer behind the boundary meter"
    if chosen is not None and side == HV:
        branches.insert(0, _transformer_branch(net, chosen, (top, low)))
        iron_w = float(net.trafo.at[chosen, "pfe_kw"]) * 1000 * _units(net, chosen)
        p0_mw = round(iron_w * 1000)
        p0_words = f"no-load loss of transformer {chosen} by its nameplate: {iron_w:g} W"
    reached = {low, top} | {branch.downstream for branch in branches}
    points = _points(net, nodes, reached, top, chosen)
    _check_losses(net, nodes, reached)
    with_kappa = with_kappas(branches, points)
    joined = join_series(with_kappa, points) if join else with_kappa
    return GridZone(grid, side, top, p0_mw, p0_words, joined, points)


def _nodes(net: Any) -> dict[int, str]:
    """Node of each bus: buses that a closed switch joins are one, by their smallest number."""
    first = {int(bus): int(bus) for bus in net.bus.index}

    def find(bus: int) -> int:
        while first[bus] != bus:
            bus = first[bus]
        return bus

    for index in net.switch.index:
        if net.switch.at[index, "et"] == "b" and bool(net.switch.at[index, "closed"]):
            one = find(int(net.switch.at[index, "bus"]))
            other = find(int(net.switch.at[index, "element"]))
            first[max(one, other)] = min(one, other)
    return {bus: f"bus-{find(bus)}" for bus in first}


def _open_at(net: Any, kind: str, index: int) -> bool:
    """Tell whether an open switch disconnects an element."""
    return any(
        net.switch.at[each, "et"] == kind
        and int(net.switch.at[each, "element"]) == index
        and not bool(net.switch.at[each, "closed"])
        for each in net.switch.index
    )


def _line_connects(net: Any, index: int) -> bool:
    return bool(net.line.at[index, "in_service"]) and not _open_at(net, "l", index)


def _transformer(net: Any, asked: int | None) -> int | None:
    fit = [
        int(each)
        for each in net.trafo.index
        if bool(net.trafo.at[each, "in_service"]) and not _open_at(net, "t", int(each))
    ]
    if asked is not None:
        if asked not in fit:
            raise UnfitGrid(f"no transformer {asked} in service; there are: {fit}")
        return asked
    if len(fit) > 1:
        raise UnfitGrid(f"several transformers, each with its zone: choose one of {fit}")
    return fit[0] if fit else None


def _ends(net: Any, nodes: dict[int, str], chosen: int | None, side: str) -> tuple[str, str]:
    """Node from which the lines spread, and node of the boundary meter."""
    if chosen is None:
        if net.ext_grid.empty:
            raise UnfitGrid("neither a transformer nor a feeding grid: no boundary")
        bus = nodes[int(net.ext_grid.bus.iloc[0])]
        return bus, bus
    low = nodes[int(net.trafo.at[chosen, "lv_bus"])]
    return low, low if side == LV else nodes[int(net.trafo.at[chosen, "hv_bus"])]


def _units(net: Any, index: int) -> int:
    return int(net.trafo.at[index, "parallel"])


def _line(net: Any, index: int, ends: tuple[str, str]) -> GridBranch:
    line = net.line.loc[index]
    circuits = int(line.parallel)
    volts = float(net.bus.at[int(line.from_bus), "vn_kv"]) * 1000
    return line_branch(
        ends,
        f"line-{index}",
        float(line.r_ohm_per_km),
        float(line.length_km),
        circuits,
        volts,
        float(line.max_i_ka) * 1000 * float(line.df) * circuits,
    )


def _transformer_branch(net: Any, index: int, ends: tuple[str, str]) -> GridBranch:
    rating_va = float(net.trafo.at[index, "sn_mva"]) * 1e6 * _units(net, index)
    percent = float(net.trafo.at[index, "vkr_percent"])
    return transformer_branch(ends, f"transformer-{index}", rating_va, percent)


def _whole_kw(watts: float) -> int:
    return max(1, math.ceil(round(watts) / STEP_W)) * STEP_W


def _points(
    net: Any, nodes: dict[int, str], reached: set[str], top: str, chosen: int | None
) -> tuple[MeterPoint, ...]:
    """The boundary, and a meter for every load and plant inside."""
    found = []
    for index in net.load.index:
        node = nodes[int(net.load.at[index, "bus"])]
        if node in reached and bool(net.load.at[index, "in_service"]):
            watts = _whole_kw(_apparent_w(net.load, int(index)))
            phases = 1 if watts <= SINGLE_PHASE_W else 3
            found.append(MeterPoint(f"load-{int(index)}", node, "customer", watts, 0, phases))
    for index in net.asymmetric_load.index:
        node = nodes[int(net.asymmetric_load.at[index, "bus"])]
        if node in reached and bool(net.asymmetric_load.at[index, "in_service"]):
            name = f"house-{int(index)}"
            found.append(MeterPoint(name, node, "customer", 15_000, 0, 1))
    for index in net.sgen.index:
        node = nodes[int(net.sgen.at[index, "bus"])]
        if node in reached and bool(net.sgen.at[index, "in_service"]):
            watts = _whole_kw(_apparent_w(net.sgen, int(index)))
            found.append(MeterPoint(f"plant-{int(index)}", node, "source", watts, watts, 3))
    if chosen is not None:
        most_w = float(net.trafo.at[chosen, "sn_mva"]) * 1e6 * _units(net, chosen)
    else:
        most_w = sum(each.rating_w for each in found)
    return (MeterPoint("boundary", top, "boundary", _whole_kw(most_w), 0, 3), *found)


def _apparent_w(table: Any, index: int) -> float:
    """Rating of a load or plant: its own, or what it draws where it has none."""
    rated = float(table.at[index, "sn_mva"])
    active, reactive = float(table.at[index, "p_mw"]), float(table.at[index, "q_mvar"])
    drawn = math.hypot(active, reactive)
    return (drawn if math.isnan(rated) else max(rated, drawn)) * 1e6


def _check_losses(net: Any, nodes: dict[int, str], reached: set[str]) -> None:
    """Refuse what takes energy inside the zone and is neither a branch nor metered."""
    for kind in _UNKNOWN_LOSSES:
        table = getattr(net, kind, None)
        if table is None or table.empty:
            continue
        for column in ("bus", "from_bus", "lv_bus"):
            if column in table and any(nodes[int(bus)] in reached for bus in table[column]):
                raise UnfitGrid(f"a {kind} lies in the zone, and no rule knows what it takes")
