"""The commissioning record: two signatures in their places, over what JSON and CBOR say alike."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import cbor
from wire.commissioning import (
    MOST_BYTES,
    PROTECTED,
    CommissioningRecord,
    check_content,
    sign_record,
    unsigned,
)
from wire.cose import Sign
from wire.errors import BadSignature, Malformed, Refused
from wire.keys import EDDSA, ES256, SoftSigner

VECTORS = Path(__file__).parents[2] / "wire" / "vectors" / "commissioning.json"
METER = SoftSigner.from_private(
    ES256, bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
)
TECHNICIAN = SoftSigner.from_private(EDDSA, bytes(range(32)))
CONTENT: dict[str, Any] = {
    "meter": "GW-000001",
    "node": "LV1.101.Bus-7",
    "zone": "LV1.101",
    "unit": 7,
    "element": {"kind": "pzem004t", "address": 1, "ct": [100, 5]},
    "locked": 1,
    "site": [137_563_000, -1_005_018_000],
    "commissioning": {
        "technician": "tech-1",
        "commissioned_at_s": 1_795_251_600,
        "seals": ["A-1007", "A-1008"],
        "old_meter": {"id": "ป-99", "import_wh": 12_345_678},
    },
}


def test_a_record_has_its_golden_bytes(rewrite: bool) -> None:
    record = CommissioningRecord.open(sign_record(CONTENT, METER, TECHNICIAN))
    made = {
        "content": CONTENT,
        "meter": METER.public.text,
        "technician": TECHNICIAN.public.text,
        "payload": record.sign.payload.hex(),
        "meter_signs": record.sign.to_sign(METER.public).hex(),
        "meter_signature": record.sign.signatures[0][1].hex(),
        "signed": record.encoded.hex(),
        "configuration_id": record.configuration_id.hex(),
    }
    text = json.dumps(made, indent=1) + "\n"
    if rewrite:
        VECTORS.write_text(text)
    assert VECTORS.read_text() == text, "the format has changed; golden bytes never may"


def test_it_says_what_was_commissioned_and_by_whom() -> None:
    record = CommissioningRecord.open(sign_record(CONTENT, METER, TECHNICIAN))
    record.verify(METER.public, TECHNICIAN.public)
    assert record.content == CONTENT
    assert record.meter_kid == METER.public.kid
    assert record.technician_kid == TECHNICIAN.public.kid
    assert record.configuration_id == hashlib.sha256(cbor.encode(CONTENT)).digest()[:8]


def test_each_signature_has_its_place_and_its_key() -> None:
    record = CommissioningRecord.open(sign_record(CONTENT, METER, TECHNICIAN))
    stranger = SoftSigner.generate(ES256).public
    with pytest.raises(BadSignature, match="technician's key"):
        record.verify(METER.public, stranger)
    with pytest.raises(BadSignature, match="meter's key"):
        record.verify(stranger, TECHNICIAN.public)
    both = sign_record(CONTENT, METER, SoftSigner.from_private(ES256, bytes([9]) * 32))
    swapped = CommissioningRecord.open(both)
    with pytest.raises(BadSignature):
        swapped.verify(SoftSigner.from_private(ES256, bytes([9]) * 32).public, METER.public)


@pytest.mark.parametrize("place", [0, 1])
def test_a_forged_signature_is_named(place: int) -> None:
    good = CommissioningRecord.open(sign_record(CONTENT, METER, TECHNICIAN)).sign
    signatures = list(good.signatures)
    protected, signature = signatures[place]
    signatures[place] = (protected, signature[:-1] + bytes([signature[-1] ^ 1]))
    forged = Sign(good.protected, good.payload, tuple(signatures)).encoded
    with pytest.raises(BadSignature, match=("meter's", "technician's")[place]):
        CommissioningRecord.open(forged).verify(METER.public, TECHNICIAN.public)


def test_neither_one_signature_nor_three_nor_the_technician_first() -> None:
    once = unsigned(CONTENT).signed_by(METER)
    thrice = once.signed_by(TECHNICIAN).signed_by(SoftSigner.from_private(ES256, bytes([9]) * 32))
    for wrong in (once, thrice):
        with pytest.raises(Malformed, match="signature"):
            CommissioningRecord.open(wrong.encoded)
    swapped = CommissioningRecord.open(
        unsigned(CONTENT).signed_by(TECHNICIAN).signed_by(METER).encoded
    )
    with pytest.raises(BadSignature, match="has not signed the record first"):
        swapped.verify(METER.public, TECHNICIAN.public)


def test_a_meter_may_have_a_key_of_either_algorithm() -> None:
    meter = SoftSigner.from_private(EDDSA, bytes([4]) * 32)
    record = CommissioningRecord.open(sign_record(CONTENT, meter, TECHNICIAN))
    record.verify(meter.public, TECHNICIAN.public)


def test_the_second_signature_tells_which_technician() -> None:
    record = CommissioningRecord.open(sign_record(CONTENT, METER, TECHNICIAN))
    other = SoftSigner.from_private(ES256, bytes([9]) * 32).public
    assert record.technician_of(METER.public, [other, TECHNICIAN.public]) == TECHNICIAN.public
    for technicians in ([], [other], [METER.public]):
        with pytest.raises(BadSignature, match="technician's key"):
            record.technician_of(METER.public, technicians)


@pytest.mark.parametrize("name", ["meter", "node", "zone", "configuration_id"])
def test_an_entry_is_about_the_record_or_what_differs_is_named(name: str) -> None:
    record = CommissioningRecord.open(sign_record(CONTENT, METER, TECHNICIAN))
    entry: dict[str, Any] = {key: CONTENT[key] for key in ("meter", "node", "zone")}
    entry["configuration_id"] = record.configuration_id
    record.check_entry(**entry)
    words = "not the one that the entry names" if name == "configuration_id" else f"another {name}"
    with pytest.raises(Malformed, match=words):
        record.check_entry(**entry | {name: b"" if name == "configuration_id" else "other"})


def test_what_was_signed_as_another_thing_is_no_commissioning_record() -> None:
    other = Sign(cbor.encode({3: "application/x-gridwitness-transaction"}), cbor.encode(CONTENT))
    with pytest.raises(Malformed, match="content type"):
        CommissioningRecord.open(other.signed_by(METER).signed_by(TECHNICIAN).encoded)


UNFIT: dict[str, Any] = {
    "a float": {"log_days": 3.5},
    "true": {"locked": True},
    "null": {"receiver": None},
    "bytes": {"element": {"kind": "s0", "raw": b"\x00"}},
    "a number as key": {"element": {"kind": "s0", 1: 2}},
    "a float deep inside": {"commissioning": {"old_meter": [[{"x": 0.5}]]}},
    "true in a list": {"site": [True, False]},
    "beyond 2^53": {"commissioning": {"commissioned_at_s": 2**53}},
    "a long text": {"commissioning": {"note": "x" * 501}},
    "a lone surrogate": {"commissioning": {"note": "\ud800"}},
    "no meter": {"meter": ""},
    "a long meter": {"meter": "x" * 21},
    "a node with a space": {"node": "a b"},
    "a zone as number": {"zone": 1},
    "unit 0": {"unit": 0},
    "unit 248": {"unit": 248},
    "an element without kind": {"element": {}},
    "an element that is a list": {"element": ["s0"]},
    "half a site": {"site": [1]},
    "a site beyond the pole": {"site": [900_000_001, 0]},
    "commissioning as text": {"commissioning": "tech-1"},
}


@pytest.mark.parametrize("changes", UNFIT.values(), ids=UNFIT.keys())
def test_content_that_could_be_read_in_two_ways_is_not_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        unsigned(CONTENT | changes)


@pytest.mark.parametrize("key", ["meter", "node", "zone", "unit", "element"])
def test_what_every_meter_has_is_not_missing(key: str) -> None:
    with pytest.raises(Malformed, match=f"without {key}"):
        check_content({name: value for name, value in CONTENT.items() if name != key})


def test_a_signed_record_with_unfit_content_is_refused_when_it_is_opened() -> None:
    bad = Sign(PROTECTED, cbor.encode(CONTENT | {"locked": True}))
    with pytest.raises(Malformed, match="locked"):
        CommissioningRecord.open(bad.signed_by(METER).signed_by(TECHNICIAN).encoded)
    with pytest.raises(Malformed, match="not a map"):
        CommissioningRecord.open(
            Sign(PROTECTED, b"\x80").signed_by(METER).signed_by(TECHNICIAN).encoded
        )


def test_a_record_that_no_enrolment_could_carry_is_refused() -> None:
    many = CONTENT | {"commissioning": {"photos": ["x" * 400] * 20}}
    with pytest.raises(Malformed, match=str(MOST_BYTES)):
        CommissioningRecord.open(sign_record(many, METER, TECHNICIAN))


@given(st.data())
def test_a_damaged_record_is_refused_or_fails_to_verify(data: st.DataObject) -> None:
    good = sign_record(CONTENT, METER, TECHNICIAN)
    place = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :]
    with pytest.raises(Refused):
        CommissioningRecord.open(bad).verify(METER.public, TECHNICIAN.public)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(Malformed):
        CommissioningRecord.open(b"\xd8\x62" + data)
