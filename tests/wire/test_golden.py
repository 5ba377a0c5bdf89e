"""The golden vectors in `wire/vectors/` are what the formats say, byte for byte."""

import json
from pathlib import Path
from typing import Any

from tests.wire.test_receipt import build
from wire import cbor
from wire.cose import open_sign1
from wire.genesis import Genesis
from wire.keys import ES256, SoftSigner
from wire.reading import (
    ClockEvidence,
    Position,
    ReactiveEnergy,
    Reading,
    ReadSource,
    SignedReading,
    sign_reading,
)
from wire.receipt import Receipt
from wire.witness import SignedWitness, WitnessPosition, WitnessStatement, sign_statement

VECTORS = Path(__file__).parents[2] / "wire" / "vectors"
SECRET = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")

PLAIN: dict[str, Any] = {
    "meter": "GW-000001",
    "node": "LV1.101.Bus-7",
    "interval_start_s": 1_751_328_000,
    "interval_s": 900,
    "import_wh": 1_234_567,
    "export_wh": 89,
    "import_advance_wh": 412,
    "export_advance_wh": 0,
    "sequence": 0,
    "boots": 1,
    "operating_s": 3_600,
    "status": 1 << 19,
    "clock": ClockEvidence(2, 1, 12, 1),
    "previous": bytes(32),
    "software_id": bytes.fromhex("01020304"),
    "configuration_id": bytes.fromhex("0102030405060708"),
    "events": 3,
    "origin": 0,
}
READINGS = {
    "plain": Reading(**PLAIN),
    "large numbers": Reading(
        **(
            PLAIN
            | {"import_wh": 2**40, "sequence": 70_000, "status": 2**32, "previous": b"\xab" * 32}
        )
    ),
    "reactive and position": Reading(
        **PLAIN,
        reactive=ReactiveEnergy(10, 256, 1, 65_536),
        position=Position(137_563_000, -1_005_018_000, 45, 2),
    ),
    "read over Modbus": Reading(
        **(PLAIN | {"origin": 1, "sequence": 1_945_920}),
        source=ReadSource(b"\x11" * 8, bytes.fromhex("449a522b42b20000"), -12, 1_850),
    ),
    "with a free key": Reading(**PLAIN, extra={64: [1, "x"], 1000: b"\x00"}),
}


def reading_vectors() -> dict[str, Any]:
    signer = SoftSigner.from_private(ES256, SECRET)
    cases = []
    for name, reading in READINGS.items():
        signed = SignedReading.open(sign_reading(reading, signer))
        cases.append(
            {
                "name": name,
                "payload": signed.cose.payload.hex(),
                "protected": signed.cose.protected.hex(),
                "sig_structure": signed.cose.sig_structure.hex(),
                "signed": signed.encoded.hex(),
                "next_previous": signed.sig_hash.hex(),
            }
        )
    return {"secret": SECRET.hex(), "public": signer.public.text, "readings": cases}


def witness_vectors() -> dict[str, Any]:
    signer = SoftSigner.from_private(ES256, SECRET)
    statement = WitnessStatement(
        gateway="gw-north",
        network="demo-01234567",
        witnessed_at_s=1_751_328_903,
        sequence=7,
        tree_size=2,
        previous=b"\x22" * 32,
        position=WitnessPosition(137_563_000, 1_005_018_000, 50, 0, 0),
        clock_quality=2,
        clock_error_ms=20,
        root=b"\x33" * 32,
    )
    signed = SignedWitness.open(sign_statement(statement, signer))
    assert signed.statement == statement
    return {
        "public": signer.public.text,
        "protected": signed.cose.protected.hex(),
        "sig_structure": signed.cose.sig_structure.hex(),
        "signed": signed.encoded.hex(),
        "batch_id": signed.batch_id.hex(),
    }


def check(name: str, made: Any, rewrite: bool) -> None:
    path = VECTORS / name
    text = json.dumps(made, indent=1) + "\n"
    if rewrite:
        path.write_text(text)
    assert path.read_text() == text, f"{name}: the format has changed; golden bytes never may"


def test_signed_readings_have_their_golden_bytes(rewrite: bool) -> None:
    check("readings.json", reading_vectors(), rewrite)


def test_a_witness_statement_has_its_golden_bytes(rewrite: bool) -> None:
    check("witness.json", witness_vectors(), rewrite)


def test_the_golden_receipt_verifies(rewrite: bool) -> None:
    if rewrite:
        (VECTORS / "receipt.cbor").write_bytes(build()[0].encoded)
    genesis = Genesis.load(VECTORS / "genesis.json")
    receipt = Receipt.decode((VECTORS / "receipt.cbor").read_bytes())
    assert receipt.verify(genesis).reading.meter
    assert receipt.encoded == (VECTORS / "receipt.cbor").read_bytes()


def test_a_reading_fits_the_size_that_the_design_promises() -> None:
    signed = sign_reading(READINGS["plain"], SoftSigner.from_private(ES256, SECRET))
    cose = open_sign1(signed)
    assert len(cose.payload) < 150
    assert len(signed) < 240
    assert cbor.decode(cose.protected).keys() == {1, 3, 4}
