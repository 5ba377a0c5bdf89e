"""A meter's records as a file: written in order, cut and joined anywhere, measured before read."""

from typing import Any

import pytest

from tests.gridwitness.forger import METER, chained, day, tamper
from wire import cbor
from wire.cose import HEADER_CONTENT_TYPE, Sign
from wire.errors import Malformed
from wire.forensics import Rebuild
from wire.guesses import ABSENT, content_of
from wire.history import History, item_end
from wire.reading import SignedReading

RECORDS = chained(day())[:6]
COMMISSIONING = (
    Sign(cbor.encode({HEADER_CONTENT_TYPE: "x"}), cbor.encode({"meter": "GW-000117"}))
    .signed_by(METER)
    .encoded
)


def test_what_is_written_is_read_again() -> None:
    history = History.of(RECORDS, COMMISSIONING)
    assert history.encoded == COMMISSIONING + b"".join(RECORDS)
    again = History.decode(history.encoded)
    assert again == history
    assert again.commissioning == COMMISSIONING
    entries = list(again.entries())
    assert [entry.encoded for entry in entries] == RECORDS
    assert entries[0].offset == len(COMMISSIONING)
    assert all(isinstance(entry.opened, SignedReading) for entry in entries)


def test_files_can_be_cut_and_joined_at_any_record() -> None:
    whole = History.of(RECORDS).encoded
    first, rest = History.of(RECORDS[:2]).encoded, History.of(RECORDS[2:]).encoded
    assert first + rest == whole


def test_a_writer_refuses_disorder_a_second_meter_and_what_is_no_record() -> None:
    with pytest.raises(Malformed, match="record 1 after record 2"):
        History.of([RECORDS[2], RECORDS[1]])
    with pytest.raises(Malformed, match="record 1 after record 1"):
        History.of([RECORDS[1], RECORDS[1]])
    with pytest.raises(Malformed, match="a record of meter GW-9 among those of GW-000117"):
        History.of([RECORDS[0], tamper(RECORDS[1], content={2: "GW-9"})])
    with pytest.raises(Malformed):
        History.of([b"hello"])
    with pytest.raises(Malformed, match="not one CBOR item"):
        History.of(RECORDS, COMMISSIONING + b"\x00")


def test_an_item_ends_where_its_cbor_ends() -> None:
    values: list[Any] = [0, -1, 23, 24, 255, 2**32, "text", b"bytes", [], {}, None, True]
    for value in (*values, [1, [2, {3: 4}]]):
        encoded = cbor.encode(value)
        assert item_end(b"\x00" + encoded + b"\x00", 1) == 1 + len(encoded)


def test_a_payload_is_rebuilt_as_it_is_encoded() -> None:
    reading = day()[3]
    content = dict(content_of(reading.payload()) or {})
    build = Rebuild(content)
    assert build({}) == reading.payload()
    assert build({6: 1, 70: "x"}) == cbor.encode(content | {6: 1, 70: "x"})
    del content[20]
    assert build({20: ABSENT}) == cbor.encode(content)
    many = {key: key for key in range(40)}
    assert Rebuild(many)({}) == cbor.encode(many)
    assert build({6: 2**80}) is None, "no integer of the wire"
