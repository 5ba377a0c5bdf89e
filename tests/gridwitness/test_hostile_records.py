"""Files made to hurt a verifier end in a line about where and why, soon and in little memory."""

from pathlib import Path
from typing import Any

import pytest

from gridwitness.cli import main
from tests.gridwitness.forger import FORGED, METER, chained, day, tamper
from wire import cbor
from wire.cose import open_sign1
from wire.forensics import QUICK, Search
from wire.guesses import content_of
from wire.history import MAX_FILE, BrokenFile, History
from wire.record_rules import Registered
from wire.series import MOST_FAULTS, Findings, examine

KEY = METER.public.text
RECORDS = chained(day())[FORGED - 1 : FORGED + 2]
SIZE = len(RECORDS[1])


def findings(data: bytes) -> Findings:
    return examine(History.decode(data), Registered(METER.public, {}))


def verdict(capsys: pytest.CaptureFixture[str], path: Path, data: bytes) -> str:
    path.write_bytes(data)
    assert main(["verify", str(path), "--key", KEY]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    assert all(line.isprintable() for line in told.out.splitlines())
    return told.out


@pytest.mark.parametrize("cut", range(1, SIZE, 9))
def test_a_file_cut_anywhere_says_where(
    cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = RECORDS[0] + RECORDS[1][:cut]
    words = verdict(capsys, tmp_path / "cut.gwr", data)
    first = words.splitlines()[0]
    assert first.startswith(f"NOT VERIFIED: the file breaks off: at byte {len(RECORDS[0])}: the ")
    assert f"({cut} bytes of it are left)" in first
    assert "1 record of meter GW-000117" in words


def field_at(place: int) -> int | None:
    """Which field's value has this byte of the forged record; None outside of the payload."""
    payload = open_sign1(RECORDS[1]).payload
    offset = RECORDS[1].index(payload) + 1
    for key, value in (content_of(payload) or {}).items():
        begin = offset + len(cbor.encode(key))
        offset = begin + len(cbor.encode(value))
        if begin <= place < offset:
            return key if isinstance(key, int) else None
    return None


@pytest.mark.parametrize("place", range(0, SIZE, 2))
def test_a_flipped_bit_is_named_with_its_field(place: int) -> None:
    bit = place // 2 % 8
    record = bytearray(RECORDS[1])
    record[place] ^= 1 << bit
    found = findings(RECORDS[0] + bytes(record) + RECORDS[2])
    assert found.faults
    number = field_at(place)
    if number is not None:
        assert [(fault.part, fault.key) for fault in found.faults] == [("payload", number)]
        assert found.faults[0].proved
        assert found.records == 3


HUGE = bytes.fromhex("ffffffffffffffff")
HEAD = RECORDS[0][:4]


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"\xd2\x9b" + HUGE, "the file ends within a record"),
        (b"\xd2\x84\x5b" + HUGE + bytes(2000), "an item of more than 1024 bytes"),
        (b"\xd2\xbb" + HUGE + bytes(2000), "an item of more than 1024 bytes"),
        (b"\xd2" + b"\x81" * 2000, "an item nested too deeply"),
        (b"\xd2" + b"\xc1" * 2000, "an item nested too deeply"),
        (b"\xd2\x9f\xff", "an item of indefinite length, or a float"),
        (b"\xd2\xfb" + bytes(8), "an item of indefinite length, or a float"),
        (b"\x00" * 1_000_000, "not a signed record"),
        (b"\xf6" * 1_000_000, "not a signed record"),
        (b"\xd8\x62\x80", "not a signed record"),
        (b"\xd2\x00" * 1_000_000, "an item of 2 bytes is no record"),
        (bytes.fromhex("d28440a04040") * 500_000, "an item of 6 bytes is no record"),
        (b"\xd2\x58\xc8" + bytes(200), "it is no record: not a COSE_Sign1"),
        (bytes.fromhex("d28440a058c8") + bytes(200) + b"\x40", "signature has 0 bytes, not 64"),
    ],
)
def test_what_is_no_record_ends_the_file(
    tail: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = verdict(capsys, tmp_path / "bad.gwr", RECORDS[0] + tail)
    assert reason in words.splitlines()[0]
    assert len(words.splitlines()) < 25


def test_a_file_of_nothing_and_one_too_large_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "an empty file" in verdict(capsys, tmp_path / "none.gwr", b"")
    large = tmp_path / "large.gwr"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    assert main(["verify", str(large), "--key", KEY]) == 1
    assert f"at most {MAX_FILE}" in capsys.readouterr().out


def test_text_of_a_forger_does_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tamper(RECORDS[1], content={2: "\x1b[2J\nVERIFIED: all is well", 30: "\x1b[31m"})
    words = verdict(capsys, tmp_path / "evil.gwr", RECORDS[0] + evil + RECORDS[2])
    assert "\nVERIFIED" not in words


def test_maps_with_keys_of_text_and_great_numbers_are_only_refused() -> None:
    contents: list[dict[Any, Any]] = [
        {"x": 1},
        {2**64 - 1: 0},
        {-1: [[[]]]},
        {6: 2**64 - 1},
        {6: -(2**64)},
        {14: []},
    ]
    for content in contents:
        found = findings(RECORDS[0] + tamper(RECORDS[1], content=content) + RECORDS[2])
        assert found.faults


def test_the_search_is_bounded_over_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0
    verify = type(METER.public).verify

    def counted(self: object, message: bytes, signature: bytes) -> None:
        nonlocal tries
        tries += 1
        verify(METER.public, message, signature)

    monkeypatch.setattr(type(METER.public), "verify", counted)
    monkeypatch.setattr("wire.series.Search", lambda: Search(left=5_000))
    noise = [
        tamper(RECORDS[1], content={6: 1, 7: number, 12: 3}, signature=b"\x11" * 64)
        for number in range(MOST_FAULTS)
    ]
    found = findings(b"".join(noise))
    assert len(found.faults) >= MOST_FAULTS
    assert not found.complete
    assert 5_000 < tries <= 5_000 + MOST_FAULTS * (QUICK + 2)


def test_an_item_is_measured_before_it_is_read() -> None:
    with pytest.raises(BrokenFile, match="at byte 0: neither"):
        History.decode(b"hello")
    with pytest.raises(BrokenFile, match="at byte 0: an item of more than 6144 bytes"):
        History.decode(b"\xd8\x62\x84\x5a\x00\x01\x00\x00" + bytes(70_000))
