"""A witness statement signs a root once; a batch is that root's readings and no others."""

from dataclasses import replace
from typing import Any

import pytest

from wire import cbor, cose
from wire.errors import BadSignature, Malformed
from wire.keys import EDDSA, ES256, SoftSigner
from wire.witness import (
    Batch,
    SignedWitness,
    WitnessStatement,
    assemble,
    readings_root,
    sign_statement,
    to_be_signed,
)

SIGNER = SoftSigner.from_private(ES256, bytes(31) + b"\x09")
READINGS = (b"one", b"two", b"three")
STATEMENT = WitnessStatement(
    gateway="gw-1",
    network="n-00000000",
    witnessed_at_s=1,
    sequence=0,
    tree_size=3,
    previous=bytes(32),
    position=None,
    clock_quality=2,
    clock_error_ms=5,
    root=readings_root(READINGS),
)


def test_a_batch_survives_its_encoding() -> None:
    batch = Batch.join(SignedWitness.open(sign_statement(STATEMENT, SIGNER)), READINGS)
    again = Batch.open(batch.encoded)
    assert again == batch
    assert again.witness.statement == STATEMENT
    again.witness.verify(SIGNER.public)


def test_the_batch_id_does_not_depend_on_the_signature() -> None:
    protected, message = to_be_signed(STATEMENT, SIGNER.public)
    first = SignedWitness.open(assemble(protected, STATEMENT.root, SIGNER.sign(message)))
    second = SignedWitness.open(assemble(protected, STATEMENT.root, bytes(64)))
    assert first.batch_id == second.batch_id
    with pytest.raises(BadSignature):
        second.verify(SIGNER.public)


def test_another_key_and_another_algorithm_are_refused() -> None:
    signed = SignedWitness.open(sign_statement(STATEMENT, SIGNER))
    with pytest.raises(BadSignature):
        signed.verify(SoftSigner.generate(ES256).public)
    with pytest.raises(Malformed):
        signed.verify(SoftSigner.generate(EDDSA).public)


@pytest.mark.parametrize(
    "readings",
    [(), READINGS[:2], (*READINGS, b"four"), READINGS[::-1], (b"one", b"two", b"3")],
)
def test_other_readings_than_the_witnessed_are_refused(readings: tuple[bytes, ...]) -> None:
    witness = sign_statement(STATEMENT, SIGNER)
    with pytest.raises(Malformed):
        Batch.open(cbor.encode([1, witness, list(readings)]))


def test_a_truncated_or_overlong_batch_is_refused() -> None:
    encoded = Batch.join(SignedWitness.open(sign_statement(STATEMENT, SIGNER)), READINGS).encoded
    for cut in range(len(encoded)):
        with pytest.raises(Malformed):
            Batch.open(encoded[:cut])
    with pytest.raises(Malformed):
        Batch.open(encoded + bytes(600_000))


def test_a_statement_of_more_than_a_thousand_readings_is_refused() -> None:
    with pytest.raises(Malformed):
        SignedWitness.open(sign_statement(replace(STATEMENT, tree_size=1001), SIGNER))


@pytest.mark.parametrize(
    "change",
    [
        {395: 2},
        {3: 60},
        {15: {}},
        {15: 5},
    ],
)
def test_another_protected_header_is_no_statement(change: dict[int, Any]) -> None:
    protected, _ = to_be_signed(STATEMENT, SIGNER.public)
    headers = cbor.decode(protected) | change
    with pytest.raises(Malformed):
        SignedWitness.open(cose.sign1(headers, STATEMENT.root, SIGNER))


def test_a_reading_can_never_be_shown_as_a_statement() -> None:
    headers = {1: ES256, 3: 60, 4: SIGNER.public.kid}
    with pytest.raises(Malformed):
        SignedWitness.open(cose.sign1(headers, STATEMENT.root, SIGNER))
