"""docs/PROVISIONING.md shows what the tool prints, and every code that it has."""

import contextlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from device.provision.faults import TABLE
from gridwitness.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "PROVISIONING.md"
BLOCKS = re.findall(r"<!-- run -->\n```\n(.*?)```", PAGE.read_text(), re.S)
SHOWN = [
    (lines.split("\n", 1)[0], lines.split("\n", 1)[1])
    for block in BLOCKS
    for lines in re.split(r"^\$ ", block, flags=re.M)[1:]
]
"""(command, what the page says that it prints), in order."""


def plain(text: str) -> list[str]:
    """Lines without what differs from run to run: numbers, hashes, places, widths."""
    text = re.sub(r"\S*/(console|line)", "PORT", text)
    text = re.sub(r"application: \d+ files .*?\)\.", "application: FILES.", text)
    text = re.sub(r"^event +\d+  .*$", "EVENT", text, flags=re.M)  # The newest is a race.
    text = re.sub(r"\b[0-9a-f]{8,}\b", "HASH", text)
    text = re.sub(r"\d+(\.\d+)*", "N", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def run(command: str) -> None:
    """As a person types it, with `gridwitness` in this process."""
    program, *arguments = shlex.split(command)
    if program != "gridwitness":
        subprocess.run(command, shell=True, check=True)
    elif ">" not in arguments:
        main(arguments)
    else:
        *arguments, _, name = arguments
        with Path(name).open("w") as file, contextlib.redirect_stdout(file):
            main(arguments)


def test_the_page_shows_what_the_tool_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, shown in SHOWN:
        run(command)
        told = capsys.readouterr()
        beside = plain(told.err)
        assert plain(told.out) == [line for line in plain(shown) if line not in beside], command
    assert (tmp_path / "records.ocmf").read_text().startswith('OCMF|{"FV":"1.4",')


def test_the_page_shows_the_commands_of_a_visit() -> None:
    verbs = [command.split()[2] for command, _ in SHOWN if command.startswith("gridwitness ")]
    expected = ["provision", "check", "read", "acknowledge", "read", "technician", "export"]
    assert verbs == expected


def test_the_table_on_the_page_is_the_table_of_the_tool() -> None:
    rows = re.findall(r"^\| (P-\d\d) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    table = [(row.code, str(row.step or "any"), row.what, row.remedy) for row in TABLE]
    assert rows == sorted(table)
