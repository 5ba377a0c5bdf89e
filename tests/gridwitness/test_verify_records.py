"""`gridwitness verify` tells what a file of records proves, and what the verdict rests on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gridwitness.cli import main
from tests.app.village import CONFIGURATION, Register, genesis_content
from tests.gridwitness.forger import (
    COVER_OPEN,
    FORGED,
    METER,
    OTHER,
    READER,
    chained,
    day,
    reader_day,
    tamper,
)
from wire import cbor
from wire.commissioning import CommissioningRecord, sign_record
from wire.reading import Position, Reading, sign_reading

KEY = METER.public.text
RECORDS = chained(day())


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Returns (status, outcome for scripts, words) of a file with these records."""

    def run(records: list[bytes], *options: str) -> tuple[int, dict[str, Any], str]:
        path = tmp_path / "records.gwr"
        path.write_bytes(b"".join(records))
        status = main(["verify", str(path), *options])
        told = capsys.readouterr()
        main(["verify", str(path), *options, "--json"])
        outcome = capsys.readouterr().out
        return status, json.loads(outcome) if outcome else {}, told.out + told.err

    return run


def test_missing_and_repeated_records_are_told_and_no_faults(verify: Callable[..., Any]) -> None:
    kept = RECORDS[5:20] + RECORDS[20:21] * 3 + RECORDS[24:30] + RECORDS[31:]
    status, outcome, words = verify(kept, "--key", KEY)
    assert status == 0
    assert outcome["missing"] == [[21, 23], [30, 30]]
    assert outcome["duplicates"] == 2
    assert "missing   3 records, 21 to 23; record 30" in words
    assert "the file repeats records, byte for byte, 2 times" in words


def test_files_that_overlap_can_be_joined(verify: Callable[..., Any]) -> None:
    status, outcome, words = verify([*RECORDS[:30], *RECORDS[20:40]], "--key", KEY)
    assert (status, outcome["records"], outcome["duplicates"]) == (0, 40, 10)
    assert "the file repeats records, byte for byte, 10 times" in words


def test_an_outage_is_told_with_its_time(verify: Callable[..., Any]) -> None:
    readings = day()[:20]
    later = [
        each._replace(interval_start_s=each.interval_start_s + 7200, boots=4, status=each.status)
        for each in readings[10:]
    ]
    status, outcome, words = verify(chained(readings[:10] + later), "--key", KEY)
    assert status == 0
    start_s = readings[9].interval_start_s + 900
    assert outcome["outages"] == [[start_s, start_s + 7200]]
    assert "nothing was recorded from 2025-11-20 02:30:00 UTC to 2025-11-20 04:30:00 UTC" in words


def test_a_sticky_bit_that_was_cleared_is_told(verify: Callable[..., Any]) -> None:
    assert verify(RECORDS[:80], "--key", KEY)[1]["cleared"] == []
    readings = day()[:85]
    readings[80:] = [
        each._replace(status=each.status & ~COVER_OPEN, events=each.events + 1)
        for each in readings[80:]
    ]
    status, outcome, words = verify(chained(readings), "--key", KEY)
    assert (status, outcome["cleared"]) == (0, [[COVER_OPEN, 79, 80]])
    assert "bit 8 cover open was cleared between record 79 and 80: who acknowledged it" in words
    assert "stands in the meter's event log only" in words


def test_two_records_of_one_number_and_disorder_are_refused(verify: Callable[..., Any]) -> None:
    again = sign_reading(day()[3]._replace(events=8, previous=bytes(31) + b"\x01"), METER)
    for records in ([*RECORDS[:4], again], [*RECORDS[:2], *RECORDS[3:5], RECORDS[2]]):
        status, outcome, _ = verify(records, "--key", KEY)
        assert status == 1
        assert 10 in [fault["field"] for fault in outcome["faults"]]


def test_a_record_taken_out_and_the_rest_renumbered_is_seen(verify: Callable[..., Any]) -> None:
    readings = day()[:20]
    readings[10:] = [each._replace(sequence=each.sequence - 1) for each in readings[11:]]
    status, outcome, _ = verify(chained(readings), "--key", KEY)
    assert status == 0, "signed by the meter's key, an interval without a record is an outage"
    assert len(outcome["outages"]) == 1
    shifted = [*RECORDS[:10], *(tamper(each, content={10: 10}) for each in RECORDS[11:12])]
    status, outcome, _ = verify([*shifted, *RECORDS[12:20]], "--key", KEY)
    assert (status, outcome["faults"][0]["field"]) == (1, 10)


def test_a_key_is_read_as_text_pem_der_and_cose(verify: Callable[..., Any], tmp_path: Path) -> None:
    public = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), b"\x04" + METER.public.raw
    )
    form = PublicFormat.SubjectPublicKeyInfo
    for name, data in {
        "text": KEY.encode() + b"\n",
        "pem": public.public_bytes(Encoding.PEM, form),
        "der": public.public_bytes(Encoding.DER, form),
        "cose": cbor.encode(METER.public.to_cose()),
    }.items():
        file = tmp_path / name
        file.write_bytes(data)
        assert verify(RECORDS[:2], "--key", str(file))[0] == 0


@pytest.mark.parametrize("data", [b"", b"-----BEGIN PUBLIC KEY-----\n", b"0\x03\x02\x01\x01", b"x"])
def test_what_is_no_key_is_one_line(
    data: bytes, verify: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "bad.key"
    file.write_bytes(data)
    status, _, words = verify(RECORDS[:2], "--key", str(file))
    assert status == 2
    assert len(words.splitlines()) == 1
    assert "public key" in words


def test_records_without_a_key_and_a_receipt_without_genesis_ask_for_them(
    verify: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, words = verify(RECORDS[:2])
    assert status == 2
    assert "--key" in words
    receipt = Path(__file__).parents[2] / "wire" / "vectors" / "receipt.cbor"
    assert main(["verify", str(receipt)]) == 2
    assert "a receipt is checked with --genesis" in capsys.readouterr().err


def test_another_key_is_named_once(verify: Callable[..., Any]) -> None:
    status, outcome, words = verify(RECORDS, "--key", OTHER.public.text)
    assert status == 1
    assert [fault["name"] for fault in outcome["faults"]] == ["header 4 (key id)"]
    assert METER.public.kid.hex() in words.splitlines()[0]
    assert "Nothing holds" in words


def test_a_genesis_file_gives_key_and_registration(
    verify: Callable[..., Any], tmp_path: Path
) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(genesis_content()))
    entries = {entry["id"]: entry for entry in genesis_content()["meters"]}
    for name in ("c1", "c3"):
        meter = Register(entries[name])
        records = [meter.close(slot, 500, 0) for slot in range(6)]
        status, _, words = verify(records, "--genesis", str(genesis))
        assert status == 0, words
        assert f"the genesis file ({name}, {entries[name]['node']}, 900, {CONFIGURATION})" in words
    moved = Register(entries["c1"])
    records = [moved.close(slot, 500, 0, node="n2") for slot in range(6)]
    status, outcome, words = verify(records, "--genesis", str(genesis))
    assert (status, outcome["faults"][0]["field"]) == (1, 3)
    assert "expected n1: the genesis file says so" in words
    status, _, words = verify(RECORDS[:3], "--genesis", str(genesis))
    assert status == 2
    assert "registers no meter of these records (GW-000117)" in words


COMMISSIONED = {
    "meter": "GW-000117",
    "node": "LV1.101.Bus-7",
    "zone": "z1",
    "unit": 1,
    "element": {"kind": "simulated"},
    "interval_s": 900,
    "site": [137_563_000, 1_005_018_000],
}


def configured(configuration_id: bytes, **changes: Any) -> list[bytes]:
    def set_up(reading: Reading) -> Reading:
        return reading._replace(configuration_id=configuration_id, **changes)

    return chained([set_up(reading) for reading in day()[:8]])


def test_the_commissioning_record_binds_what_follows(verify: Callable[..., Any]) -> None:
    record = sign_record(COMMISSIONED, METER, OTHER)
    number = CommissioningRecord.open(record).configuration_id
    status, _, words = verify([record, *configured(number)], "--key", KEY)
    assert status == 0, words
    kid = OTHER.public.kid.hex()
    told = f"which the meter signed; its technician's key {kid} is not known here: --technician ("
    assert f"the commissioning record, {told}GW-000117," in words
    known = verify([record, *configured(number)], "--key", KEY, "--technician", OTHER.public.text)
    assert f"the commissioning record, which technician {kid} signed (GW-000117," in known[2]
    for records, field in (
        (RECORDS[:8], 17),
        (configured(number, node="LV1.101.Bus-9"), 3),
        (configured(number, interval_s=450), 5),
        (configured(number, position=Position(0, 0, 10, 0)), 21),
    ):
        status, outcome, _ = verify([record, *records], "--key", KEY)
        assert status == 1
        assert field in [fault["field"] for fault in outcome["faults"]]


def test_a_commissioning_record_of_other_keys_or_none_is_refused(
    verify: Callable[..., Any],
) -> None:
    record = sign_record(COMMISSIONED, METER, OTHER)
    number = CommissioningRecord.open(record).configuration_id
    records = [record, *configured(number)]
    technician = OTHER.public.text
    assert verify(records, "--key", KEY, "--technician", technician)[0] == 0
    status, _, words = verify(records, "--key", KEY, "--technician", READER.public.text)
    assert status == 1
    assert "the commissioning record: the technician's key" in words
    status, _, words = verify(records, "--key", READER.public.text)
    assert status == 1
    assert "the commissioning record: the meter's key" in words
    status, _, words = verify([b"\xd8\x62\x80", *RECORDS], "--key", KEY)
    assert status == 1
    assert "the commissioning record: not a COSE_Sign" in words
    status, _, words = verify([record], "--key", KEY)
    assert status == 1
    assert "no record follows the commissioning record" in words


def test_a_manipulated_reader_is_named_too(verify: Callable[..., Any]) -> None:
    readings = reader_day()[:20]
    readings[10] = readings[10]._replace(sequence=readings[10].sequence + 1)
    status, outcome, _ = verify(chained(readings, OTHER), "--key", OTHER.public.text)
    assert (status, outcome["faults"][0]["field"]) == (1, 10)


def test_the_record_before_is_blamed_when_only_it_explains(verify: Callable[..., Any]) -> None:
    readings = day()[:50]
    true = readings[FORGED]
    readings[FORGED] = true._replace(events=true.events + 5)
    status, outcome, words = verify(chained(readings), "--key", KEY)
    (fault,) = outcome["faults"]
    assert (status, fault["sequence"], fault["field"]) == (1, FORGED, 18)
    assert f"record {FORGED + 1} says otherwise" in words
