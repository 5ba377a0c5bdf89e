"""A node that no line of the registered grid reaches is refused before the board is touched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.provision import faults, registered
from device.provision.faults import RefusedFault
from device.provision.registered import Grid
from tests.app.registry_kinds import LOAD, zone_entry
from tests.app.village import branch, genesis_content
from tests.device.provisioned import NODE, Desk, check, fault_of
from tests.node.office import Bureau, served
from validator.app.entries import zone as read_zone
from validator.app.feeder import Feeder
from validator.app.parameters import Parameters
from validator.desk import Desk as ValidatorsDesk
from wire.errors import Malformed

BRANCHES = [branch("bus", "n1"), branch("n1", "n2")]
Z1 = zone_entry("z1", branches=BRANCHES, root="bus")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("device.provision.console._ANSWER_LIMIT_S", 2.5)
    made = Desk(tmp_path / "desk")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("entry", "why"), [(Z1, "its nodes are bus, n1, n2"), (None, "no zone of that name")]
)
def test_p19_a_node_that_no_line_reaches_leaves_the_board_as_it_was(
    desk: Desk, entry: dict[str, Any] | None, why: str
) -> None:
    fault = fault_of(desk, grid=Grid("z1", entry, "customer"))
    check(fault, faults.NOT_REACHED, 1)
    assert why in str(fault)
    assert NODE in str(fault)
    assert desk.files() == {}


@pytest.mark.parametrize(
    ("node", "role", "why"),
    [
        ("n2", "customer", ""),
        ("bus", "source", ""),
        ("bus", "boundary", ""),
        ("n9", "customer", "its nodes are bus, n1, n2"),
        ("n2", "boundary", "at its root bus"),
    ],
)
def test_it_is_the_validators_rule(node: str, role: str, why: str) -> None:
    found = ""
    try:
        Grid("z1", Z1, role).check(node)
    except RefusedFault as fault:
        found = str(fault)
    assert why in found if why else not found
    meters = [_Meter("m", node)]
    own, inner = (meters, []) if role == "boundary" else ([], meters)
    try:
        Feeder.of(read_zone(dict(Z1)), own, inner, Parameters(), b"")  # type: ignore[arg-type]
    except Malformed:
        assert why
    else:
        assert not why


class _Meter:
    """What a feeder asks of a meter."""

    def __init__(self, name: str, node: str) -> None:
        self.id, self.node, self.rating_w, self.installed_w = name, node, 1_000, 0
        self.class_ppm, self.ct_ppm, self.register_wh, self.dead_wh = ((0, 1_000),), 0, 1, 0
        self.role, self.phases = None, 1


def test_a_zone_without_lines_is_one_node() -> None:
    Grid("z2", zone_entry("z2"), "customer").check("anything")


def test_many_nodes_are_not_all_told() -> None:
    lines = [branch("bus", f"n{number:02}") for number in range(20)]
    with pytest.raises(RefusedFault, match="n06 and 13 more"):
        Grid("z1", zone_entry("z1", branches=lines, root="bus"), "customer").check("x")


def test_zones_are_known_from_the_genesis_file_and_from_a_validator(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(genesis_content()))
    known = registered.zone_from_genesis(path, "z1")
    assert known is not None
    assert known["root"] == "bus"
    assert registered.zone_from_genesis(path, "z9") is None
    bureau = Bureau(tmp_path, edit=lambda content: content["unmetered"].append(LOAD))
    bureau.grow(1)
    with served(bureau) as address:
        validator = ValidatorsDesk(f"http://{address}")
        assert registered.zone_from_validator(validator, "z1") == known
        assert registered.zone_from_validator(validator, "z9") is None
        validator.close()
    bureau.close()
