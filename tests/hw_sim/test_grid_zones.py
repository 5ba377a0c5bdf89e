"""How a grid's lines and transformers become the branches of a zone, and what is refused."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from hwsim import grid_network
from hwsim.grid_zone import (
    GridBranch,
    MeterPoint,
    join_series,
    line_branch,
    transformer_branch,
    tree_from,
    with_kappas,
)
from validator.app import entries
from wire.errors import Malformed, Unavailable


def line(name: str, upstream: str, downstream: str, km: float = 0.1) -> GridBranch:
    return line_branch((upstream, downstream), name, 0.2, km, 1, 400.0, 270.0)


def customer(node: str, phases: int = 3) -> MeterPoint:
    return MeterPoint(f"c-{node}", node, "customer", 9_000, 0, phases)


def test_a_lines_coefficient_is_resistance_over_voltage_squared_and_time() -> None:
    found = line_branch(("a", "b"), "line-1", 0.4, 0.25, 2, 400.0, 540.0)
    assert found.rho == round(0.4 * 0.25 / 2 / (400**2 * 0.25) * 1e12)
    assert found.ampacity_w == round(math.sqrt(3) * 400 * 540)
    # 20 kW for a quarter of an hour in 0.05 ohm: 28.87 A in each of three conductors.
    watts = 3 * 0.05 * (20_000 / (math.sqrt(3) * 400)) ** 2
    assert found.rho * 5_000**2 / 1e12 == pytest.approx(watts * 0.25, rel=1e-6)


def test_the_words_hold_the_figures() -> None:
    found = line_branch(("a", "b"), "line-1", 0.4, 0.25, 2, 400.0, 540.0)
    for part in ("0.4 ohm/km x 0.25 km / 2 circuits = 0.05 ohm", str(found.rho), "400^2"):
        assert part in found.words


def test_a_transformers_coefficient_gives_its_load_loss_at_its_rating() -> None:
    found = transformer_branch(("mv", "lv"), "transformer-0", 250_000.0, 1.32)
    assert found.full_load_loss_wh == pytest.approx(3_300 / 4, rel=1e-5)
    assert "3300 W" in found.words
    with pytest.raises(Malformed, match="no rating"):
        transformer_branch(("mv", "lv"), "transformer-0", 0.0, 1.32)


def test_kappa_is_six_for_one_single_phase_service_and_two_without() -> None:
    branches = [line("1", "r", "a"), line("2", "a", "b"), line("3", "a", "c")]
    found = with_kappas(branches, [customer("b", 1), customer("c", 3)])
    assert [each.kappa for each in found] == [6, 6, 2]
    assert "1 single-phase services" in found[0].kappa_words


@pytest.mark.parametrize(("services", "kappa"), [(1, 6), (4, 6), (5, 5), (7, 4), (10, 3), (99, 3)])
def test_many_single_phase_services_fill_up_each_others_phases(services: int, kappa: int) -> None:
    found = with_kappas([line("1", "r", "a")], [customer("a", 1)] * services)
    assert found[0].kappa == kappa


def test_lines_in_series_lose_together_what_they_lost_apart() -> None:
    branches = [line("line-1", "r", "a"), line("line-2", "a", "b", 0.3), line("line-3", "b", "c")]
    joined = join_series(branches, [customer("b"), customer("c")])
    ends = [(each.upstream, each.downstream) for each in joined]
    assert ends == [("r", "b"), ("b", "c")]
    assert joined[0].rho == branches[0].rho + branches[1].rho
    assert "2 lines in series, line-1 to line-2" in joined[0].words


def test_a_fork_and_a_transformer_are_never_joined() -> None:
    fork = [line("line-1", "r", "a"), line("line-2", "a", "b"), line("line-3", "a", "c")]
    assert join_series(fork, []) == tuple(fork)
    top = transformer_branch(("mv", "r"), "transformer-0", 1e5, 1.0)
    behind = line("line-1", "r", "a")
    assert join_series([top, behind], []) == (top, behind)


def test_a_ring_is_named_and_what_is_not_reached_is_left() -> None:
    edges = [("1", "r", "a"), ("2", "b", "a"), ("9", "x", "y")]
    assert tree_from("r", edges) == ([("1", "r", "a"), ("2", "a", "b")], None)
    assert tree_from("r", [*edges, ("3", "r", "b")])[1] in {"1", "2", "3"}


def test_two_lines_between_the_same_nodes_are_a_ring() -> None:
    assert tree_from("r", [("1", "r", "a"), ("2", "a", "r")])[1] == "2"


def test_without_the_extra_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match=r"-e '\.\[sim\]'") as told:
        grid_network.load_network("1-LV-rural1--0-sw")
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def pandapower() -> Any:
    return pytest.importorskip(
        "pandapower", reason="needs the [sim] extra: pip install -e '.[sim]'"
    )


def street(pandapower: Any) -> Any:
    """Medium voltage, a 100 kVA transformer, two lines, one of them with two circuits."""
    net = pandapower.create_empty_network()
    top = pandapower.create_bus(net, 20.0)
    buses = [top, *(pandapower.create_bus(net, 0.4) for _ in range(3))]
    pandapower.create_ext_grid(net, top)
    pandapower.create_transformer_from_parameters(
        net, top, buses[1], 0.1, 20.0, 0.4, 1.5, 4.0, 0.3, 0.2
    )
    for start, end, circuits in ((1, 2, 1), (2, 3, 2)):
        pandapower.create_line_from_parameters(
            net, buses[start], buses[end], 0.1, 0.2, 0.08, 0.0, 0.27, parallel=circuits
        )
    pandapower.create_load(net, buses[2], 0.02)
    pandapower.create_load(net, buses[3], 0.003)
    pandapower.create_sgen(net, buses[3], 0.005, sn_mva=0.006)
    return net


def test_the_zone_behind_a_transformer_is_what_the_power_flow_loses(pandapower: Any) -> None:
    net = street(pandapower)
    pandapower.runpp(net, numba=False)
    found = grid_network.zone_of(net, "street", "hv")
    entries.zone(found.entry("z1", "PEA"))
    assert [each.id for each in found.branches] == ["transformer-0", "line-0", "line-1"]
    assert found.p0_mw == 300_000
    flows = {
        "transformer-0": net.res_trafo.p_lv_mw[0],
        "line-0": net.res_line.p_from_mw[0],
        "line-1": net.res_line.p_from_mw[1],
    }
    model_w = sum(each.rho * (flows[each.id] * 1e6) ** 2 * 0.25 for each in found.branches) / 1e12
    lost_w = float(net.res_trafo.pl_mw.sum() + net.res_line.pl_mw.sum()) * 1e6 - 300
    assert model_w == pytest.approx(lost_w, rel=0.05)


def test_on_the_low_voltage_side_the_transformer_is_outside(pandapower: Any) -> None:
    found = grid_network.zone_of(street(pandapower), "street", "lv")
    assert (found.root, found.p0_mw, len(found.branches)) == ("bus-1", 0, 2)
    roles = [(each.id, each.role, each.phases) for each in found.points]
    assert roles == [
        ("boundary", "boundary", 3),
        ("load-0", "customer", 3),
        ("load-1", "customer", 1),
        ("plant-0", "source", 3),
    ]
    assert [each.kappa for each in found.branches] == [6, 6]


def test_an_open_switch_takes_a_line_and_its_meters_out(pandapower: Any) -> None:
    net = street(pandapower)
    pandapower.create_switch(net, 2, 1, et="l", closed=False)
    found = grid_network.zone_of(net, "street")
    assert [each.id for each in found.branches] == ["line-0"]
    assert [each.id for each in found.points] == ["boundary", "load-0"]


def test_buses_that_a_closed_switch_joins_are_one_node(pandapower: Any) -> None:
    net = street(pandapower)
    extra = pandapower.create_bus(net, 0.4)
    pandapower.create_load(net, extra, 0.01)
    pandapower.create_switch(net, 3, extra, et="b", closed=True)
    assert grid_network.zone_of(net, "street").points[3].node == "bus-3"


def test_what_cannot_be_a_zone_is_refused_in_words(pandapower: Any) -> None:
    ring = street(pandapower)
    pandapower.create_line_from_parameters(ring, 1, 3, 0.1, 0.2, 0.08, 0.0, 0.27)
    with pytest.raises(grid_network.UnfitGrid, match="closes a ring"):
        grid_network.zone_of(ring, "ring")
    two = street(pandapower)
    pandapower.create_transformer_from_parameters(two, 0, 1, 0.1, 20.0, 0.4, 1.5, 4.0, 0.3, 0.2)
    with pytest.raises(grid_network.UnfitGrid, match="choose one of"):
        grid_network.zone_of(two, "two")
    with pytest.raises(grid_network.UnfitGrid, match="no transformer 7"):
        grid_network.zone_of(two, "two", transformer=7)
    shunted = street(pandapower)
    pandapower.create_shunt(shunted, 2, 0.001)
    with pytest.raises(grid_network.UnfitGrid, match="a shunt lies in the zone"):
        grid_network.zone_of(shunted, "shunted")


def test_a_file_that_holds_no_network_is_refused(pandapower: Any, tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    path.write_text('{"a": 1}')
    with pytest.raises(Malformed, match="no pandapower network"):
        grid_network.load_network(str(path))


@pytest.mark.parametrize("name", ["nonsense", "create_nxm_grid", "__doc__", "os"])
def test_a_name_that_makes_no_network_is_refused(pandapower: Any, name: str) -> None:
    with pytest.raises(grid_network.UnknownGrid, match=f"no grid {name}: give a SimBench code"):
        grid_network.load_network(name)
