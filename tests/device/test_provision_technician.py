"""`gridwitness meter technician`: a key that is made once, and an entry that a registry takes."""

import json
from pathlib import Path

import pytest

from gridwitness.cli import main
from hsm import filekey
from validator.app import entries


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    (tmp_path / "phrase").write_text("long and secret\n")
    file, phrase = str(tmp_path / "technician.pem"), str(tmp_path / "phrase")
    who = ["--id", "t-somchai", "--operator", "pea", "--name", "Somchai"]
    return ["meter", "technician", file, *who, "--passphrase-file", phrase]


def test_a_technicians_key_is_made_once_and_its_entry_is_one_of_a_registry(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    first = capsys.readouterr().out
    technician = entries.technician(json.loads(first))
    signer = filekey.load(tmp_path / "technician.pem", b"long and secret")
    assert technician.key == signer.public
    assert (technician.id, technician.operator) == ("t-somchai", "pea")
    assert (tmp_path / "technician.pem").stat().st_mode & 0o077 == 0
    assert main(arguments) == 0
    assert capsys.readouterr().out == first


def test_a_wrong_passphrase_shows_and_replaces_nothing(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    kept = (tmp_path / "technician.pem").read_bytes()
    (tmp_path / "phrase").write_text("another")
    capsys.readouterr()
    assert main(arguments) == 1
    assert capsys.readouterr().out == ""
    assert (tmp_path / "technician.pem").read_bytes() == kept
