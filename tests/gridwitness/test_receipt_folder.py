"""A folder of receipts is verified as a whole, and filled from a validator that nobody trusts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridwitness.cli import main
from gridwitness.progress import Bar
from gridwitness.receipt_folder import verify_folder
from gridwitness.which_meter import Sources
from tests.explorer.served import Served
from wire import cbor
from wire.genesis import Genesis

SLOTS = 6


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("ledger"), open_readings=1) as served:
        served.do(lambda bureau: bureau.grow(SLOTS))
        yield served


@pytest.fixture(scope="module")
def genesis(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genesis") / "genesis.json"
    path.write_bytes(served.do(lambda bureau: bureau.sources.genesis_file))
    return path


@pytest.fixture(scope="module")
def fetched(
    served: Served, genesis: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Receipts of two meters by file name."""
    folder = tmp_path_factory.mktemp("fetched")
    for meter in ("c1", "c2"):
        asked = ["receipts", meter, "--genesis", str(genesis), "--at", served.address]
        assert main([*asked, "--dir", str(folder)]) == 0
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def verified(folder: Path, genesis: Path) -> dict[str, Any]:
    found = verify_folder(folder, Genesis.load(genesis), Sources(), None, lambda *_: None)
    return found[0] | {"words": found[1]}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_meters_receipts_hold_together(
    tmp_path: Path, fetched: dict[str, bytes], genesis: Path
) -> None:
    found = verified(fill(tmp_path, fetched), genesis)
    assert (found["verified"], found["receipts"], found["faults"]) == (True, 2 * SLOTS, [])
    first, second = found["meters"]
    assert (first["meter"], first["records"], first["missing"]) == ("c1", SLOTS, [])
    assert first["import_advance_wh"] == SLOTS * 500
    assert first["verdicts"] == {"BALANCED": SLOTS}
    assert second["meter"] == "c2"


def test_a_missing_receipt_is_told_and_no_fault_of_the_others(
    tmp_path: Path, fetched: dict[str, bytes], genesis: Path
) -> None:
    kept = {name: data for name, data in fetched.items() if name != "c1-3.receipt"}
    found = verified(fill(tmp_path, kept), genesis)
    assert found["verified"]
    assert found["meters"][0]["missing"] == [[3, 3]]
    assert "missing   record 3" in found["words"]


def test_a_changed_receipt_is_named_with_its_link(
    tmp_path: Path, fetched: dict[str, bytes], genesis: Path
) -> None:
    content = cbor.decode(fetched["c1-2.receipt"])
    content[6][2][0][1] = bytes(64)
    changed = {"c1-2.receipt": cbor.encode(content), "junk.receipt": b"\x00"}
    found = verified(fill(tmp_path, fetched | changed), genesis)
    assert not found["verified"]
    faults = [(each["file"], each["failed_link"]) for each in found["faults"]]
    assert faults == [("c1-2.receipt", "seals"), ("junk.receipt", None)]
    assert f"{2 * SLOTS - 1} of {2 * SLOTS + 1} receipts hold" in found["words"]


def test_the_same_receipt_twice_counts_once(
    tmp_path: Path, fetched: dict[str, bytes], genesis: Path
) -> None:
    again = {"copy.receipt": fetched["c1-0.receipt"]}
    found = verified(fill(tmp_path, fetched | again), genesis)
    assert (found["verified"], found["duplicates"]) == (True, 1)


def test_the_command_ends_with_what_scripts_need(
    tmp_path: Path,
    fetched: dict[str, bytes],
    genesis: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(tmp_path, fetched)
    assert main(["verify", str(tmp_path), "--genesis", str(genesis), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["receipts"] == 2 * SLOTS
    assert "12 of 12 receipts" in said.err
    assert main(["verify", str(tmp_path)]) == 2
    assert "with --genesis" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty"), "--genesis", str(genesis)]) == 2
    assert "has no receipt" in capsys.readouterr().err


def test_what_is_there_is_not_fetched_again(
    served: Served,
    tmp_path: Path,
    fetched: dict[str, bytes],
    genesis: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(tmp_path, {"c1-0.receipt": fetched["c1-0.receipt"]})
    asked = ["receipts", "c1", "--genesis", str(genesis), "--at", served.address, "--json"]
    assert main([*asked, "--dir", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fetched"], found["already_there"]) == (SLOTS - 1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say which METER"),
        (["c1"], "say which METER"),
        (["nobody", "--at", "HERE"], "no meter nobody is registered"),
        (["c1", "--at", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["c1", "--at", "HERE", "--since", "2030-01-01"], "no accepted reading of that time"),
        (["--link", "https://nowhere"], "not a holder's link"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_line(
    served: Served,
    genesis: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    named = [served.address if each == "HERE" else each for each in arguments]
    status = main(["receipts", *named, "--genesis", str(genesis), "--dir", str(tmp_path)])
    said = capsys.readouterr().err
    assert status != 0
    assert words in said
    assert len(said.strip().splitlines()) == 1


def test_progress_in_a_file_is_some_lines_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "said"
    with path.open("w") as stream, Bar("receipts", 5_000, stream) as bar:
        for number in range(5_001):
            bar.show(number)
    lines = path.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("0 of 5000 receipts", "5000 of 5000 receipts")
    assert len(lines) == 11
