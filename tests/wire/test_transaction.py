"""Registry transactions: one id from the first signature to the last, and golden bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from wire import cbor
from wire.block import transaction_id, transaction_leaf
from wire.cose import Sign
from wire.errors import BadSignature, Malformed
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, SoftSigner
from wire.transaction import (
    CONTENT_TYPE,
    MOST_BYTES,
    PROTECTED,
    Transaction,
    enrolment_of,
    is_registry_transaction,
    payload_of,
)
from wire.transaction_bodies import ENROL_METER, RETIRE_METER, EnrolMeter, Retirement

VECTORS = Path(__file__).parents[2] / "wire" / "vectors"
METER = SoftSigner.from_private(ES256, bytes(31) + b"\x01")
TECHNICIAN = SoftSigner.from_private(ES256, bytes(31) + b"\x02")
OPERATOR = SoftSigner.from_private(EDDSA, bytes(31) + b"\x03")
NETWORK = bytes(range(32))
NONCE = bytes(range(16))
FROM_S = 1_750_000_500

CONTENT = cbor.encode({"meter": "GW-000001", "node": "n1", "zone": "z1", "unit": 1})
COMMISSIONING = (
    Sign(cbor.encode({3: "application/x-gridwitness-commissioning"}), CONTENT)
    .signed_by(METER)
    .signed_by(TECHNICIAN)
    .encoded
)
ENTRY: dict[str, Any] = {
    "id": "GW-000001",
    "node": "n1",
    "zone": "z1",
    "role": "customer",
    "key": METER.public.text,
    "reader": "gw-north",
    "configuration_id": hashlib.sha256(CONTENT).hexdigest()[:16],
    "class_ppm": [[0, 15_000], [50, 10_000]],
    "register_wh": 1,
    "rating_w": 15_000,
    "installed_w": 0,
    "site": [137_563_000, 1_005_018_000],
    "radius_m": 100,
}
PAYLOAD = payload_of(NETWORK, NONCE, 1_000, EnrolMeter(ENTRY, FROM_S, COMMISSIONING))
RETIREMENT = payload_of(NETWORK, NONCE, 1_000, Retirement(RETIRE_METER, "GW-000001", FROM_S))


def enrolment() -> Transaction:
    transaction = Transaction.of(PAYLOAD)
    for signer in (METER, TECHNICIAN, OPERATOR):
        transaction = transaction.with_signature(signer)
    return transaction


def test_an_enrolment_has_its_golden_bytes(rewrite: bool) -> None:
    signed = enrolment()
    retired = Transaction.of(RETIREMENT).with_signature(OPERATOR)
    made = {
        "meter": METER.public.text,
        "technician": TECHNICIAN.public.text,
        "operator": OPERATOR.public.text,
        "enrolment": {
            "payload": PAYLOAD.hex(),
            "to_sign_by_the_meter": signed.to_sign(METER.public).hex(),
            "signed": signed.encoded.hex(),
            "id": signed.id.hex(),
        },
        "retirement": {
            "payload": retired.sign.payload.hex(),
            "signed": retired.encoded.hex(),
            "id": retired.id.hex(),
        },
    }
    path, text = VECTORS / "transactions.json", json.dumps(made, indent=1) + "\n"
    if rewrite:
        path.write_text(text)
    assert path.read_text() == text, "the format has changed; golden bytes never may"


def test_an_enrolment_says_what_it_was_made_of() -> None:
    read = Transaction.open(enrolment().encoded)
    body = enrolment_of(read)
    assert (read.kind, body.meter, read.from_s) == (ENROL_METER, "GW-000001", FROM_S)
    assert (read.network, read.nonce, read.expiry_height) == (NETWORK, NONCE, 1_000)
    assert (body.entry, body.commissioning) == (ENTRY, COMMISSIONING)
    assert read == enrolment()


def test_a_retirement_says_what_it_was_made_of() -> None:
    read = Transaction.open(Transaction.of(RETIREMENT).with_signature(OPERATOR).encoded)
    assert (read.kind, read.from_s) == (RETIRE_METER, FROM_S)
    assert read.body == Retirement(RETIRE_METER, "GW-000001", FROM_S)
    with pytest.raises(Malformed, match="it enrols no meter"):
        enrolment_of(read)


def test_signatures_do_not_change_the_id_and_stand_in_the_leaf() -> None:
    unsigned, signed = Transaction.of(PAYLOAD), enrolment()
    assert unsigned.id == signed.id == hashlib.sha256(PAYLOAD).digest()
    assert transaction_id(signed.encoded) == signed.id
    assert transaction_leaf(signed.encoded) == signed.encoded
    assert is_registry_transaction(signed.encoded)


def test_a_signature_made_elsewhere_is_added_only_when_it_stands() -> None:
    unsigned = Transaction.of(PAYLOAD)
    signature = METER.sign(unsigned.to_sign(METER.public))
    assert unsigned.with_signature_of(METER.public, signature).is_signed_by(METER.public)
    assert not unsigned.is_signed_by(METER.public)
    with pytest.raises(BadSignature):
        unsigned.with_signature_of(TECHNICIAN.public, signature)


def test_a_commissioning_records_signature_is_none_of_the_transaction() -> None:
    as_commissioning = Sign(cbor.encode({3: "application/x-gridwitness-commissioning"}), PAYLOAD)
    borrowed = Sign(PROTECTED, PAYLOAD, as_commissioning.signed_by(METER).signatures)
    with pytest.raises(BadSignature):
        Transaction(borrowed).sign.verify(METER.public)


def test_a_transaction_that_is_too_long_is_refused() -> None:
    payload = payload_of(NETWORK, NONCE, 1, EnrolMeter(ENTRY, FROM_S, bytes(MOST_BYTES)))
    with pytest.raises(Malformed, match="65536 are allowed"):
        Transaction.open(Transaction.of(payload).with_signature(OPERATOR).encoded)


WRONG: dict[str, Any] = {
    "no array": {},
    "another length": [NETWORK, NONCE, 1],
    "a short network": [NETWORK[1:], NONCE, 1, ["retire-meter", "m", 900]],
    "a short nonce": [NETWORK, NONCE[1:], 1, ["retire-meter", "m", 900]],
    "a negative height": [NETWORK, NONCE, -1, ["retire-meter", "m", 900]],
    "no body": [NETWORK, NONCE, 1, []],
    "a kind that is no text": [NETWORK, NONCE, 1, [["retire-meter"], "m", 900]],
    "another body": [NETWORK, NONCE, 1, ["enrol-gateway", ENTRY, 900, b""]],
    "a long body": [NETWORK, NONCE, 1, ["retire-meter", "m", 900, 0]],
    "no from": [NETWORK, NONCE, 1, ["retire-meter", "m", None]],
    "a meter of no name": [NETWORK, NONCE, 1, ["retire-meter", "", 900]],
    "an entry of no name": [NETWORK, NONCE, 1, ["enrol-meter", {}, 900, b""]],
    "an entry with numbers": [NETWORK, NONCE, 1, ["enrol-meter", ENTRY | {1: 2}, 900, b""]],
    "no record": [NETWORK, NONCE, 1, ["enrol-meter", ENTRY, 900, None]],
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_another_payload_is_refused(content: Any) -> None:
    with pytest.raises(Malformed):
        Transaction.of(cbor.encode(content))


def test_another_content_type_is_refused() -> None:
    for headers in ({3: CONTENT_TYPE + "s"}, {3: CONTENT_TYPE, 4: bytes(8)}, {}):
        with pytest.raises(Malformed, match="content type"):
            Transaction.open(Sign(cbor.encode(headers), PAYLOAD).signed_by(METER).encoded)


def test_technicians_may_be_absent_from_the_genesis_file() -> None:
    content = json.loads((VECTORS / "genesis.json").read_text())
    without = Genesis.from_json(json.dumps(content))
    assert without.registry["technicians"] == []
    entry = {"id": "t1", "name": "", "key": TECHNICIAN.public.text, "operator": "PEA"}
    found = Genesis.from_json(json.dumps(content | {"technicians": [entry]}))
    assert found.registry["technicians"] == [entry]
    assert found.network != without.network
    with pytest.raises(Malformed, match="keys missing or unknown: tecnicians"):
        Genesis.from_json(json.dumps(content | {"tecnicians": []}))
