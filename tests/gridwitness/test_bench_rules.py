"""`gridwitness bench rules` on a small street whose flows are exact: no power flow is needed."""

import importlib.util
import json
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gridwitness import bench_rules, rules_cost
from gridwitness.cli import main
from gridwitness.rules_evaluation import MAIN, METERINGS, GridTrial, Tally, day
from hwsim import grid_flows, grid_network
from hwsim.grid_flows import GridFlows, Row
from hwsim.grid_zone import HOURS, GridZone, MeterPoint, line_branch, with_kappas
from hwsim.meter_errors import MeterErrors, Metering
from wire.errors import Malformed

HOUSES = 8
INTERVALS = 200
OHMS = 0.01


def street() -> GridZone:
    """Eight houses in a row; the last has a plant."""
    points = [MeterPoint("boundary", "n0", "boundary", 100_000, 0, 3)]
    branches = []
    for number in range(1, HOUSES + 1):
        ends = (f"n{number - 1}", f"n{number}")
        branches.append(line_branch(ends, f"line-{number}", OHMS, 1, 1, 400.0, 200.0))
        points.append(MeterPoint(f"c{number}", ends[1], "customer", 10_000, 0, 3))
    points.append(MeterPoint("pv", f"n{HOUSES}", "source", 9_000, 9_000, 3))
    return GridZone("street", "lv", "n0", 0, "", with_kappas(branches, points), tuple(points))


def rows(index: int) -> Iterator[Row]:
    """The boundary on both sides of no transformer, the houses, the plant."""
    loads = [1_500 + 1_000 * math.sin(index / 9 + house) for house in range(HOUSES)]
    sun = max(0.0, 7_000 * math.sin(index / 15))
    behind, lost = -sun, 0.0
    for watts in reversed(loads):
        behind += watts
        lost += OHMS * (behind / 400) ** 2
    head = (behind + lost) * HOURS
    boundary = (max(0.0, head), max(0.0, -head), 0.1 * head)
    yield from (boundary, boundary)
    yield from ((watts * HOURS, 0.0, 0.1 * watts * HOURS) for watts in loads)
    yield 0.0, sun * HOURS, 0.0


@pytest.fixture(scope="module")
def flows() -> GridFlows:
    values = array("f")
    for index in range(INTERVALS):
        for row in rows(index):
            values.extend(row)
    return GridFlows({"lv": street(), "hv": street()}, INTERVALS, values)


@pytest.fixture(scope="module")
def tallies(flows: GridFlows) -> list[Tally]:
    trial = GridTrial(flows, "lv")
    trial.run(60, 6, 1, lambda _: None)
    return trial.tallies


def test_the_flows_are_kept_as_they_are(flows: GridFlows, tmp_path: Path) -> None:
    path = tmp_path / "flows.bin"
    flows.save(path)
    assert GridFlows.load(path) == flows
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Malformed, match="cut off"):
        GridFlows.load(path)


def test_honest_windows_are_balanced_under_every_metering(tallies: list[Tally]) -> None:
    assert [each.metering for each in tallies] == list(METERINGS)
    assert {each.windows for each in tallies} == {60}
    assert [each.false_alarms for each in tallies] == [0] * len(tallies)
    assert [each.loss_outside for each in tallies if each.metering.step_wh == 1] == [0] * 5


def test_what_is_larger_than_the_band_is_always_found(tallies: list[Tally]) -> None:
    for tally in tallies:
        assert all(windows == found for windows, found in tally.allowed.values())
        assert tally.forged_beyond_band_settled == 0
    fine = tallies[0]
    assert fine.detection(2_000) == 1.0
    assert fine.smallest_theft_w is not None
    assert fine.smallest_theft_w < 1_000


def test_coarse_registers_see_less(tallies: list[Tally]) -> None:
    of = {each.metering: each.detection(500) for each in tallies}
    assert of[Metering(100, 10, 1)] < of[Metering(10, 10, 1)] < of[Metering(1, 10, 1)]


def test_a_better_boundary_meter_sees_more(tallies: list[Tally]) -> None:
    fine = next(each for each in tallies if each.metering.fine_boundary)
    main = next(each for each in tallies if each.metering == MAIN)
    assert sum(fine.bands_wh) < sum(main.bands_wh)


def test_a_missing_meter_is_neither_balanced_nor_an_accusation(tallies: list[Tally]) -> None:
    for tally in tallies:
        assert [each[:2] for each in tally.missing.values()] == [[60, 0]] * 3


def test_an_export_above_what_is_installed_never_reaches_the_sum(tallies: list[Tally]) -> None:
    refused, settled, withheld = tallies[0].forged[5_000]
    assert refused > 0
    assert (settled, refused + withheld) == (0, 60)


def test_the_same_seed_makes_the_same_figures(flows: GridFlows) -> None:
    def once() -> dict[str, Any]:
        trial = GridTrial(flows, "lv", [MAIN])
        trial.run(10, 2, 7, lambda _: None)
        return trial.tallies[0].content | {"seal_us": 0}

    assert once() == once()


def test_gains_stay_within_the_class_and_steps_are_whole(flows: GridFlows) -> None:
    points = flows.zones["lv"].points
    exact: Row = (2_000.0, 0.0, 200.0)
    for seed in range(20):
        errors = MeterErrors(points, seed, 1_000)
        chances = errors.draw()
        counted = [
            errors.counted(place, (exact, exact, exact), chances[place], Metering(10, 0, 0))
            for place in range(len(points))
        ]
        assert all(value % 10 == 0 for each in counted for value in each)
        # 1 % and the transformers' 0.5 % at the boundary, 1 % elsewhere, 0.1 % for all, one step.
        assert all(abs(each.import_wh - 2_000) <= 2_000 * 0.016 + 10 for each in counted)


def test_a_day_lies_in_its_band_until_somebody_steals(flows: GridFlows) -> None:
    points = day(flows, "lv", 1, 96, 3)
    assert all(each.low_wh <= each.residual_wh <= each.high_wh for each in points)
    assert all(each.stolen_wh > each.high_wh for each in points)


@pytest.fixture
def _measured(monkeypatch: pytest.MonkeyPatch, flows: GridFlows) -> None:
    cost = rules_cost.Cost({10: 9.0}, {10: 12.0}, 1_000, 2_000)
    monkeypatch.setattr(grid_flows, "grid_flows", lambda _: flows)
    monkeypatch.setattr(rules_cost, "measure", lambda _: cost)


@pytest.mark.usefixtures("_measured")
def test_the_command_gives_the_agreed_keys_and_the_plots(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["bench", "rules", "--grid", "street", "--windows", "24", "--seeds", "2"]
    assert main([*asked, "--plots", str(tmp_path / "plots"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    (grid,) = found["grids"]
    assert grid.keys() >= {
        *("grid", "intervals", "false_alarm_rate", "naive_false_alarm_rate", "detection_1kw"),
        *("detection_2kw", "naive_detection_1kw", "seal_us"),
    }
    assert (grid["grid"], grid["intervals"], len(grid["meterings"])) == ("street", 24, 9)
    assert found["cost"]["readings_per_s_per_core"] == 1_000
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"detection.svg", "residual-street.svg"}
    for path in (tmp_path / "plots").iterdir():
        assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")


@pytest.mark.usefixtures("_measured")
def test_the_table_names_every_metering_and_the_naive_rule(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "rules", "--grid", "street", "--windows", "6", "--seeds", "2"]) == 0
    told = capsys.readouterr().out
    for words in ("1 Wh, 10 s (10 s)", "10 Wh, 10 s (1 s), kvarh", "naive: 5 %", "meters missing"):
        assert words in told


def test_fewer_windows_than_seeds_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "rules", "--windows", "1", "--seeds", "2"]) == 2
    assert "--windows" in capsys.readouterr().err


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["bench", "rules", "--grid", "1-LV-rural2--0-sw"]) == 75
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "-e '.[sim]'" in told[0]


def test_a_seal_costs_in_proportion_to_its_meters() -> None:
    zone = rules_cost.street(20)
    assert len(zone.points) == 21
    assert rules_cost.seal_us(20, reactive=True) > 0


def test_the_defaults_are_what_the_design_asks() -> None:
    simbench = [grid for grid in bench_rules.GRIDS if grid.startswith("1-LV-")]
    assert len(simbench) >= 4
    assert grid_network.IEEE_LV in bench_rules.GRIDS
    assert bench_rules.WINDOWS >= 6_000
    assert bench_rules.SEEDS > 1
