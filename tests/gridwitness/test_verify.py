"""`gridwitness verify` says in words, and to scripts, what holds and what does not."""

import argparse
import json
from pathlib import Path

import pytest

from gridwitness import verify
from gridwitness.verify import Outcome
from tests.wire import test_receipt
from wire.keys import Signer
from wire.reading import ClockEvidence, Reading, sign_reading

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
    assert "more than they are built for went through bus-n1" in words
    assert "1 meter reports a fault" in words


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


def _receipt_of(status: int, clock: ClockEvidence, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """The verdict on a receipt whose meter says this of its own reading."""

    def signed(reading: Reading, key: Signer) -> bytes:
        return sign_reading(reading._replace(status=status, clock=clock), key)

    monkeypatch.setattr(test_receipt, "sign_reading", signed)
    return verify.examine(test_receipt.build()[0].encoded, test_receipt.GENESIS)


def test_what_a_meter_doubts_of_its_reading_stands_in_the_headline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 10 | 1 << 16 | 1 << 18 | 1 << 19
    outcome = _receipt_of(status, ClockEvidence(0, 1, 0, 65535), monkeypatch)
    headline = outcome.words.splitlines()[0]
    assert headline.startswith(
        "VERIFIED, but the meter says: error, clock invalid, data not valid, interval incomplete,"
        " value held: meter "
    )
    line = next(each for each in outcome.words.splitlines() if each.startswith("  it says"))
    for part in ("cover open", "magnetic field", "its key lies in plain flash"):
        assert part in line
    assert line.endswith("clock unknown, off by up to 65535 s")
    fields = outcome.fields
    assert (fields["verified"], fields["status"]) == (True, status)
    assert fields["status_words"][0] == "error"
    assert (fields["clock"]["quality"], fields["clock"]["error_s"]) == (0, 65535)


@pytest.mark.parametrize(
    ("status", "told"), [(0, []), (1 << 19, ["  it says   its key lies in plain flash"])]
)
def test_of_a_reading_without_trouble_only_a_key_in_flash_is_told(
    status: int, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = _receipt_of(status, ClockEvidence(2, 1, 0, 1), monkeypatch).words.splitlines()
    assert lines[0].startswith("VERIFIED: meter ")
    assert [each for each in lines if each.startswith("  it says")] == told
