"""docs/PROVISIONING.md shows what the tool prints, and every code that it has."""

import re
from pathlib import Path

import pytest

from device.provision.faults import TABLE
from gridwitness.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "PROVISIONING.md"
SHOWN = re.findall(
    r"<!-- run( on a blank board)?: (.*?) -->\n```\n\$ gridwitness .*?\n(.*?)```",
    PAGE.read_text(),
    re.S,
)


def plain(text: str) -> list[str]:
    """Lines without what differs from run to run: numbers, hashes, places, widths."""
    text = re.sub(r"\S*/(console|line)", "PORT", text)
    text = re.sub(r"application: \d+ files .*?\)\.", "application: FILES.", text)
    text = re.sub(r"\b[0-9a-f]{8,}\b", "HASH", text)
    text = re.sub(r"\d+(\.\d+)*", "N", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_page_shows_what_the_tool_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pins = tmp_path / "board" / "board" / "pins"
    pins.parent.mkdir(parents=True)
    pins.write_text("cover")  # As a technician works; it is closed when he has done.
    for blank, command, shown in SHOWN:
        main([*command.split(), "--folder", "blank" if blank else "board"])
        pins.unlink(missing_ok=True)
        assert plain(capsys.readouterr().out) == plain(shown), command


def test_the_page_shows_the_commands_of_a_visit() -> None:
    verbs = [command.split()[1] for _, command, _ in SHOWN]
    assert verbs == ["provision", "check", "acknowledge", "read"]


def test_the_table_on_the_page_is_the_table_of_the_tool() -> None:
    rows = re.findall(r"^\| (P-\d\d) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    table = [(row.code, str(row.step or "any"), row.what, row.remedy) for row in TABLE]
    assert rows == sorted(table)
