"""`gridwitness verify` refuses one forged record for each field, and names the field.

The files under tests/data/forged/ are made by `tests.gridwitness.forger`; `--rewrite` writes them
anew.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridwitness.cli import main
from tests.gridwitness.forger import (
    FOLDER,
    FORGED,
    SIGNED,
    TAMPERED,
    UNSEEN,
    Forgery,
    chained,
    day,
    files,
    signed_file,
    tamper,
)
from wire import cbor
from wire.receipt import Receipt

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "wire" / "vectors"
METER_KEY, READER_KEY = str(FOLDER / "meter.key"), str(FOLDER / "reader.key")


def names(forgeries: list[Forgery]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("forgery", forgeries, ids=[each.name for each in forgeries])


def key_of(forgery: Forgery) -> str:
    return READER_KEY if forgery.reader else METER_KEY


def verify(
    capsys: pytest.CaptureFixture[str], path: Path, *options: str
) -> tuple[int, dict[str, Any], str]:
    """Run the command twice; returns exit status, outcome for scripts, words for people."""
    status = main(["verify", str(path), *options])
    words = capsys.readouterr().out
    assert main(["verify", str(path), *options, "--json"]) == status
    return status, json.loads(capsys.readouterr().out), words


def test_the_files_are_what_the_forger_makes(rewrite: bool) -> None:
    made = files()
    if rewrite:
        for name, data in made.items():
            (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_bytes(data)
    found = {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.is_file()}
    assert found.keys() == made.keys()
    assert [name for name, path in found.items() if path.read_bytes() != made[name]] == []


def test_each_field_from_1_to_22_is_forged() -> None:
    tampered = {int(each.name[:2]) for each in TAMPERED if each.name[0].isdigit()}
    assert tampered >= set(range(1, 23))
    signed = {int(each.name[:2]) for each in SIGNED}
    assert signed == set(range(2, 23)), "with format 2 it would be no reading any more"


def test_the_good_day_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    status, outcome, words = verify(capsys, FOLDER / "good.gwr", "--key", METER_KEY)
    assert (status, outcome["verified"], outcome["records"]) == (0, True, 96)
    assert outcome["faults"] == outcome["missing"] == outcome["outages"] == []
    assert (outcome["boots"], outcome["events"]) == (1, 3)
    for part in (
        "VERIFIED: 96 records of meter GW-000117 at LV1.101.Bus-7, sequence 0 to 95",
        "from 2025-11-20 00:00:00 UTC to 2025-11-21 00:00:00 UTC",
        "complete: each record carries the hash of the one before",
        "booted once, logged 3 events; status bits seen: 5 clock adjusted, 7 power down, 8 cover",
    ):
        assert part in words
    status, outcome, _ = verify(capsys, FOLDER / "good-reader.gwr", "--key", READER_KEY)
    assert (status, outcome["records"]) == (0, 96)


@names(TAMPERED)
def test_a_field_changed_without_the_key_is_named(
    forgery: Forgery, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FOLDER / "tampered" / f"{forgery.name}.gwr"
    status, outcome, words = verify(capsys, path, "--key", key_of(forgery))
    assert (status, outcome["verified"]) == (1, False)
    named = [fault["name"] for fault in outcome["faults"]]
    assert forgery.part in named
    assert f"{forgery.part} " in words
    assert words.startswith(f"NOT VERIFIED: record {outcome['faults'][0]['sequence']}: ")
    assert {fault["place"] for fault in outcome["faults"]} == {4}
    if forgery.found:
        assert named == [forgery.part], "and no other"
        assert outcome["records"] == 8, "the true record was found again"


@names([each for each in TAMPERED if each.found and each.part.startswith("field")])
def test_and_its_true_value_is_proved(forgery: Forgery, capsys: pytest.CaptureFixture[str]) -> None:
    path = FOLDER / "tampered" / f"{forgery.name}.gwr"
    _, outcome, words = verify(capsys, path, "--key", key_of(forgery))
    (fault,) = outcome["faults"]
    assert fault["proved"] is True
    assert fault["field"] == next(iter(forgery.changes["content"]))
    assert "the meter's signature holds" in words
    good = FOLDER / ("good-reader.gwr" if forgery.reader else "good.gwr")
    _, whole, _ = verify(capsys, good, "--key", key_of(forgery))
    assert outcome["key"] == whole["key"]
    assert fault["found"] != fault["expected"]


def test_the_true_value_is_that_of_the_good_day(capsys: pytest.CaptureFixture[str]) -> None:
    path = FOLDER / "tampered" / "06-import-register.gwr"
    _, outcome, words = verify(capsys, path, "--key", METER_KEY)
    true = day()[FORGED].import_wh
    assert outcome["faults"][0]["expected"] == str(true)
    said = f"field 6 (import register) was changed: it says {true - 10_000}, and with {true} the"
    assert said in words


@names(SIGNED)
def test_a_field_falsified_with_the_key_is_named(
    forgery: Forgery, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FOLDER / "signed" / f"{forgery.name}.gwr"
    status, outcome, words = verify(capsys, path, "--key", key_of(forgery))
    assert (status, outcome["verified"]) == (1, False)
    assert [fault["name"] for fault in outcome["faults"]] == [forgery.part]
    assert outcome["faults"][0]["place"] == 4
    assert f"{forgery.part} is false although it is signed" in words


@names(UNSEEN)
def test_what_no_rule_can_see_is_documented(
    forgery: Forgery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unseen.gwr"
    path.write_bytes(signed_file(forgery, registers_follow=forgery.name == "advance"))
    status, _, _ = verify(capsys, path, "--key", METER_KEY)
    assert status == 0
    documented = " ".join((ROOT / "docs" / "WIRE.md").read_text().split())
    assert forgery.part in documented


def test_the_command_itself_ends_with_status_1() -> None:
    path = FOLDER / "tampered" / "08-import-advance.gwr"
    command = [sys.executable, "-m", "gridwitness.cli", "verify", str(path), "--key", METER_KEY]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "NOT VERIFIED: record 40: field 8 (import advance) was changed" in ended.stdout


def test_a_register_changed_with_its_advance_is_named_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = chained(day())[30:50]
    changes = {6: lambda wh: wh - 30, 8: lambda wh: wh - 30}
    records[10] = tamper(records[10], content=changes)
    path = tmp_path / "two.gwr"
    path.write_bytes(b"".join(records))
    status, outcome, _ = verify(capsys, path, "--key", METER_KEY)
    assert status == 1
    assert [(fault["field"], fault["proved"]) for fault in outcome["faults"]] == [
        (6, True),
        (8, True),
    ]


def test_registers_lowered_from_a_day_on_are_named_record_by_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = chained(day())[20:40]
    lowered = [tamper(each, content={6: lambda wh: wh - 5_000}) for each in records[10:]]
    path = tmp_path / "lowered.gwr"
    path.write_bytes(b"".join(records[:10] + lowered))
    status, outcome, words = verify(capsys, path, "--key", METER_KEY)
    assert status == 1
    assert [fault["sequence"] for fault in outcome["faults"]] == list(range(30, 40))
    assert {fault["name"] for fault in outcome["faults"]} == {"field 6 (import register)"}
    assert all(fault["proved"] for fault in outcome["faults"])
    assert "With that put right: 20 records of meter GW-000117" in words


def test_a_lone_record_is_searched_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = chained(day())[FORGED]
    path = tmp_path / "lone.cbor"
    path.write_bytes(record)
    assert verify(capsys, path, "--key", METER_KEY)[0] == 0
    path.write_bytes(tamper(record, content={6: lambda wh: wh + 90_000}))
    status, outcome, _ = verify(capsys, path, "--key", METER_KEY)
    (fault,) = outcome["faults"]
    assert (status, fault["field"], fault["proved"]) == (1, 6, True)


# --- the same in a receipt, where the authorities' decision tells, without the meter's key --------

RECEIPT_FORGERIES = [
    *(each for each in TAMPERED if each.name[:2] <= "19" and each.part.startswith("field")),
    Forgery("30-unknown-key", "field 30 (carried along)", {"content": {30: 1}}),
    Forgery("header-content-type", "header 3 (content type)", {"headers": {3: 61}}),
]
OF_RECEIPT = {  # The receipt's reading is not the day's: what a forger would write there.
    2: "GW-3",
    3: "bus-8",
    6: lambda wh: wh - 300,
    7: 5,
    9: 7,
    11: 2,
    12: lambda s: s + 3600,
    13: 0,
    15: b"\x01" + bytes(31),
    16: b"\x00\x00\x01\x00",
    17: b"\x00" * 7 + b"\x09",
    18: 4,
}


@names(RECEIPT_FORGERIES)
def test_a_receipt_names_the_forged_field(
    forgery: Forgery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = cbor.decode((VECTORS / "receipt.cbor").read_bytes())
    changes = {
        part: {key: OF_RECEIPT.get(key, value) for key, value in edits.items()}
        for part, edits in forgery.changes.items()
    }
    content[1] = tamper(content[1], **changes)
    path = tmp_path / "receipt.cbor"
    path.write_bytes(cbor.encode(content))
    genesis = str(VECTORS / "genesis.json")
    status, outcome, words = verify(capsys, path, "--genesis", genesis)
    assert (status, outcome["failed_link"]) == (1, "reading")
    assert [fault["name"] for fault in outcome["faults"]] == [forgery.part]
    assert f"Forged: {forgery.part} was changed" in words
    assert "it is the reading that the authorities decided about" in words


def test_a_receipt_that_was_refused_is_not_called_forged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = Receipt.decode((VECTORS / "receipt.cbor").read_bytes())
    content = cbor.decode(receipt.encoded)
    content[10] = content[11]
    path = tmp_path / "receipt.cbor"
    path.write_bytes(cbor.encode(content))
    status, outcome, _ = verify(capsys, path, "--genesis", str(VECTORS / "genesis.json"))
    assert (status, outcome["failed_link"], outcome["faults"]) == (1, "reading", [])


def test_a_receipt_with_no_key_in_it_is_told_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = cbor.decode((VECTORS / "receipt.cbor").read_bytes())
    content[10] = {1: 2, -1: 1, -2: bytes(32), -3: bytes(32)}
    path = tmp_path / "receipt.cbor"
    path.write_bytes(cbor.encode(content))
    status, outcome, _ = verify(capsys, path, "--genesis", str(VECTORS / "genesis.json"))
    assert (status, outcome["failed_link"]) == (1, "reading")
