"""docs/ENERGY-RULES.md is held to the code: attacks to tests, codes and parameters to rules."""

import ast
import re
from pathlib import Path

from validator.app.parameters import Parameters
from wire.results import REASONS, Verdict

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ENERGY-RULES.md").read_text()
ATTACKS = (
    "forged export",
    "shaved import",
    "two meters in collusion",
    "swapped meters",
    "meter moved to another feeder",
    "replayed day",
    "shifted clock",
    "stolen witness key",
    "gateway that reports another place",
    "boundary meter lying",
)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def attack_rows() -> list[list[str]]:
    lines = [line for line in section("Attacks").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def attack_tests() -> list[str]:
    """Tests of attacks; this file is none."""
    paths = sorted(Path(__file__).parent.glob("test_attacks_on_*.py"))
    nodes = [node for path in paths for node in ast.parse(path.read_text()).body]
    found = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    return [name for name in found if name.startswith("test_")]


def test_every_attack_has_its_row_and_every_cell_says_something() -> None:
    rows = attack_rows()
    assert tuple(row[0] for row in rows) == ATTACKS
    assert all(len(row) == 6 and all(row) for row in rows)


def test_the_table_of_attacks_names_each_test_once_and_no_other() -> None:
    told = [name for row in attack_rows() for name in re.findall(r"`(test_\w+)`", row[5])]
    assert sorted(told) == sorted(attack_tests())


def test_codes_in_the_table_of_attacks_exist() -> None:
    names = {reason.name for reason in REASONS.values()} | {"compromise-key"}
    for row in attack_rows():
        assert set(re.findall(r"`([a-z][a-z-]+)`", " ".join(row[1:5]))) <= names


def test_every_reason_of_a_reading_or_carrier_is_on_the_page() -> None:
    table = section("One reading: rules S, T, L, C")
    for code, reason in REASONS.items():
        if 10 <= code < 60:
            assert f"`{reason.name}`" in table


def test_every_parameter_is_on_the_page_with_its_default() -> None:
    for name, default in Parameters().items().items():
        assert f"`{name}`" in PAGE
        assert f"{default:,}" in PAGE, name


def test_every_verdict_is_on_the_page() -> None:
    for verdict in Verdict:
        assert f"| `{verdict.name}` |" in section("The zone seal")
