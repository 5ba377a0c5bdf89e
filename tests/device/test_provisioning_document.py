"""docs/PROVISIONING.md shows what the tool prints, and every code that it has."""

import re
from pathlib import Path

import pytest

from device.provision.faults import TABLE
from gridwitness.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "PROVISIONING.md"
SHOWN = re.findall(
    r"<!-- run: (.*?) -->\n```\n\$ gridwitness .*?\n(.*?)```", PAGE.read_text(), re.S
)


def plain(text: str) -> list[str]:
    """Lines without what differs from run to run: numbers, hashes, places, widths."""
    text = re.sub(r"\S*/console", "PORT", text)
    text = re.sub(r"\b[0-9a-f]{8,}\b", "HASH", text)
    text = re.sub(r"\d+(\.\d+)*", "N", text)
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_the_page_shows_what_the_tool_prints(
    command: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    main([*command.split(), "--folder", str(tmp_path / "board")])
    assert plain(capsys.readouterr().out) == plain(shown)


def test_the_page_shows_two_runs() -> None:
    assert [command.split()[1] for command, _ in SHOWN] == ["provision", "check"]


def test_the_table_on_the_page_is_the_table_of_the_tool() -> None:
    rows = re.findall(r"^\| (P-\d\d) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    table = [(row.code, str(row.step or "any"), row.what, row.remedy) for row in TABLE]
    assert rows == sorted(table)
