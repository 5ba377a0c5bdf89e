"""Rules about what is installed: a room declares what it imports, every version is pinned."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
DEV: list[str] = PROJECT["dependency-groups"]["dev"]
BASE: list[str] = PROJECT["project"]["dependencies"]
OURS = {"wire", "device", "hsm", "gateway", "validator", "hwsim", "gridwitness", "meter"}
BOARD_MODULES = {"machine", "micropython", "vfs"}  # Only inside MicroPython.

# Which extras a room may count on. `hsm` comes with each program that signs.
ROOM_EXTRAS = {
    "wire": [],
    "hsm": ["gateway"],
    "gateway": ["gateway"],
    "validator": ["validator"],
    "device/provision": ["provision"],
    "hw-sim/hwsim": ["sim"],
}


def distribution(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: Path) -> set[str]:
    """Distributions that the modules of a folder import."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
    installed = packages_distributions()
    third_party = names - OURS - BOARD_MODULES - sys.stdlib_module_names
    return {distribution(installed.get(name, [name])[0]) for name in third_party}


@pytest.mark.parametrize("room", ROOM_EXTRAS)
def test_a_room_imports_only_what_its_extra_installs(room: str) -> None:
    declared = {distribution(each) for extra in ROOM_EXTRAS[room] for each in EXTRAS[extra]}
    assert imported(ROOT / room) <= declared | {distribution(each) for each in BASE}


def test_every_requirement_has_one_exact_version() -> None:
    constrained = {
        distribution(line) for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    requirements = [*BASE, *DEV, *(each for extra in EXTRAS.values() for each in extra)]
    loose = [each for each in requirements if "==" not in each]
    assert [each for each in loose if distribution(each) not in constrained] == []


def test_every_program_that_signs_has_what_tokens_need() -> None:
    needed = imported(ROOT / "hsm") - {distribution(each) for each in BASE}
    for extra in ("gateway", "validator", "provision"):
        assert needed <= {distribution(each) for each in EXTRAS[extra]}
