"""`gridwitness verify` says in words, and to scripts, what holds and what does not."""

import argparse
import json
from pathlib import Path

import pytest

from gridwitness import verify

VECTORS = Path(__file__).parents[2] / "wire" / "vectors"


def run(receipt: Path, genesis: Path, *, as_json: bool) -> int:
    parser = argparse.ArgumentParser()
    verify.add_commands(parser.add_subparsers())
    options = ["--json"] if as_json else []
    args = parser.parse_args(["verify", str(receipt), "--genesis", str(genesis), *options])
    status: int = args.run(args)
    return status


def test_a_good_receipt_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(VECTORS / "receipt.cbor", VECTORS / "genesis.json", as_json=False) == 0
    words = capsys.readouterr().out
    for part in ("VERIFIED: meter GW-2", "witnessed by gw-1", "by a, b, c (3 of 4)", "BALANCED"):
        assert part in words


def test_a_changed_receipt_fails_with_its_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((VECTORS / "receipt.cbor").read_bytes())
    data[data.index(b"GW-2") + 3] = ord("3")
    changed = tmp_path / "changed.cbor"
    changed.write_bytes(data)
    assert run(changed, VECTORS / "genesis.json", as_json=True) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["verified"], outcome["failed_link"]) == (False, "reading")
    assert run(changed, VECTORS / "genesis.json", as_json=False) == 1
    assert "NOT VERIFIED: the meter's reading" in capsys.readouterr().out


def test_what_is_no_receipt_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"hello")
    assert run(other, VECTORS / "genesis.json", as_json=True) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["verified"] is False
    assert outcome["failed_link"] is None


def test_a_missing_or_wrong_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "none", VECTORS / "genesis.json", as_json=False) == 2
    assert "No such file" in capsys.readouterr().err
    assert run(VECTORS / "receipt.cbor", VECTORS / "receipt.cbor", as_json=False) == 2
    assert "genesis" in capsys.readouterr().err
