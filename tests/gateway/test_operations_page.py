"""docs/OPERATIONS.md names commands, metrics, files and findings: each of them exists."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from gateway.operation import doctor, metrics, symptoms
from gridwitness.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/OPERATIONS.md").read_text()
COMMANDS = sorted(set(re.findall(r"gridwitness (gateway|hsm) ([a-z-]+)", PAGE)))


def strings(module: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_exists(command: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert f"gridwitness {' '.join(command)}" in capsys.readouterr().out


def test_each_option_of_the_configuration_example_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"\$ (gridwitness gateway init(?:.*\\\n)*.*)\n", PAGE)
    with pytest.raises(SystemExit):
        main(["gateway", "init", "--help"])
    known = capsys.readouterr().out
    options = [each for each in shlex.split(example.replace("\\\n", " ")) if each[:2] == "--"]
    assert len(options) >= 8
    assert [option for option in options if option not in known] == []


def test_each_metric_exists() -> None:
    names = set(re.findall(r"gridwitness_gateway_([a-z_]+)", PAGE))
    assert len(names) >= 6
    assert names <= strings(Path(metrics.__file__))


def test_each_finding_that_the_table_explains_exists() -> None:
    table = PAGE.partition("| doctor says |")[2].partition("\n\n")[0]
    first = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    names = {name for cell in first for name in cell.partition(":")[0].split(", ")}
    known = strings(Path(doctor.__file__)) | strings(Path(symptoms.__file__)) | {"bus"}
    assert len(names) >= 15
    assert names <= known


def test_each_file_of_the_house_that_it_names_exists() -> None:
    named = set(re.findall(r"\]\(([^)#]+)\)", PAGE)) | {
        "../gateway/systemd/gridwitness-gateway.service"
    }
    assert [name for name in named if not (ROOT / "docs" / name).exists()] == []
