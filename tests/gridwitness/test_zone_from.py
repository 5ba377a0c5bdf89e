"""`gridwitness network zone-from`: what it prints is what the registry reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from gridwitness.cli import main
from hwsim import grid_network
from hwsim.grid_zone import GridZone, MeterPoint, line_branch
from validator.app import entries


@pytest.fixture
def _street(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of two branches in place of a power-flow package."""
    branches = (
        line_branch(("bus-1", "bus-2"), "line-0", 0.2, 0.1, 1, 400.0, 270.0),
        line_branch(("bus-2", "bus-3"), "line-1", 0.2, 0.1, 1, 400.0, 270.0),
    )
    points = (
        MeterPoint("boundary", "bus-1", "boundary", 100_000, 0, 3),
        MeterPoint("load-0", "bus-3", "customer", 9_000, 0, 3),
    )
    zone = GridZone("street", "lv", "bus-1", 0, "no transformer", branches, points)
    monkeypatch.setattr(grid_network, "load_network", lambda _: None)
    monkeypatch.setattr(grid_network, "zone_of", lambda *_: zone)


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.usefixtures("_street")
def test_the_zone_is_read_by_the_registry_and_each_branch_is_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "zone.json"
    assert main(["network", "zone-from", "street", "--json", "--out", str(out)]) == 0
    found = last_json(capsys)
    assert json.loads(out.read_text()) == found["zone"]
    zone = entries.zone(found["zone"])
    assert [each.id for each in zone.branches] == [each["id"] for each in found["branches"]]
    for branch, told in zip(zone.branches, found["branches"], strict=True):
        assert str(branch.rho) in told["explanation"]
        assert str(branch.ampacity_w) in told["explanation"]
    assert found["meter_points"][1]["node"] == "bus-3"


@pytest.mark.usefixtures("_street")
def test_people_get_the_figures_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "zone-from", "street", "--zone", "z7"]) == 0
    told = capsys.readouterr().out
    assert "zone z7 of street: 2 branches from bus-1; customers: 1" in told
    assert "0.2 ohm/km x 0.1 km = 0.02 ohm" in told
    assert entries.zone(json.loads(told.splitlines()[-1])).id == "z7"


@pytest.mark.usefixtures("_street")
def test_an_unfit_zone_id_and_a_file_that_exists_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["network", "zone-from", "street", "--zone", "no zone"]) == 1
    out = tmp_path / "zone.json"
    out.write_text("mine")
    assert main(["network", "zone-from", "street", "--out", str(out)]) == 1
    assert out.read_text() == "mine"
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_a_simbench_grid_goes_through(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("simbench", reason="needs the [sim] extra: pip install -e '.[sim]'")
    command = ["network", "zone-from", "1-LV-rural1--0-sw", "--boundary", "hv", "--json"]
    assert main(command) == 0
    found = last_json(capsys)
    zone = entries.zone(found["zone"])
    assert zone.p0_mw > 0
    assert len(zone.branches) == 14
