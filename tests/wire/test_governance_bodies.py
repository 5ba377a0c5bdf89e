"""Bodies that authorities sign: one encoding, every part checked."""

from typing import Any

import pytest

from wire import cbor
from wire.errors import Malformed, Refused
from wire.governance import (
    AuthorityStep,
    ChangeAuthorities,
    ChangeParameters,
    ChangeValidators,
    Governing,
    ValidatorStep,
    authorities_hash,
    new_keys,
)
from wire.keys import EDDSA, SoftSigner
from wire.peer import Place
from wire.transaction import Transaction, payload_of

KEY = SoftSigner.from_private(EDDSA, bytes(31) + b"\1").public
OTHER = SoftSigner.from_private(EDDSA, bytes(31) + b"\2").public
BASE = b"\7" * 32
COSE = KEY.to_cose()
PLACE = Place("host:8810", b"certificate", 99, bytes(64)).encoded

BODIES: list[Governing] = [
    ChangeValidators(
        BASE,
        (
            ValidatorStep("add", "val-5", "MEA", KEY, PLACE),
            ValidatorStep("rotate", "val-1", key=OTHER),
            ValidatorStep("remove", "val-2"),
            ValidatorStep("expel", "val-3"),
        ),
    ),
    ChangeAuthorities(
        BASE,
        (
            AuthorityStep("add", "SPP", "Small Power Producer", "SPP", KEY),
            AuthorityStep("rotate", "MEA", key=OTHER),
            AuthorityStep("revoke", "PEA"),
        ),
    ),
    ChangeParameters(BASE, (("block_interval_ms", 2_000), ("deadline_intervals", 8))),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.kind)
def test_a_body_is_read_back_as_it_was_signed(body: Governing) -> None:
    payload = payload_of(bytes(32), bytes(16), 7, body)
    transaction = Transaction.of(payload)
    assert (transaction.body, transaction.kind) == (body, body.kind)
    again = payload_of(bytes(32), bytes(16), 7, transaction.body)
    assert again == payload


def test_keys_that_come_in_are_those_of_additions_and_rotations() -> None:
    assert [new_keys(body) for body in BODIES] == [(KEY, OTHER), (KEY, OTHER), ()]


def test_the_authorities_hash_does_not_depend_on_order() -> None:
    pairs = [("MEA", KEY), ("EGAT", OTHER)]
    assert authorities_hash(pairs) == authorities_hash(reversed(pairs))
    assert authorities_hash(pairs) != authorities_hash([("MEA", OTHER), ("EGAT", KEY)])


STEP = ["remove", "val-1"]
MALFORMED: list[list[Any]] = [
    ["change-validators", BASE, []],
    ["change-validators", BASE, [STEP, STEP]],
    ["change-validators", BASE, [["remove", f"v{n}"] for n in range(17)]],
    ["change-validators", BASE[:31], [STEP]],
    ["change-validators", BASE, [STEP], 1],
    ["change-validators", BASE, [["remove", "val 1"]]],
    ["change-validators", BASE, [["retire", "val-1"]]],
    ["change-validators", BASE, [["add", "val-5", "MEA", COSE]]],
    ["change-validators", BASE, [["add", "val-5", "", COSE, b""]]],
    ["change-validators", BASE, [["add", "val-5", "MEA", COSE, bytes(5_000)]]],
    ["change-validators", BASE, [["rotate", "val-5", {1: 1}, b""]]],
    ["change-authorities", BASE, [["add", "SPP", "n" * 121, "", COSE]]],
    ["change-authorities", BASE, [["add", "SPP", "n", 1, COSE]]],
    ["change-authorities", BASE, [["remove", "SPP"]]],
    ["change-parameters", BASE, {}],
    ["change-parameters", BASE, {"a": -1}],
    ["change-parameters", BASE, {"a": True}],
    ["change-parameters", BASE, {1: 1}],
    ["change-parameters", BASE, [["a", 1]]],
    ["change-parameters", BASE, {f"p{n}": n for n in range(65)}],
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_body_is_refused(body: list[Any]) -> None:
    with pytest.raises(Refused):
        Transaction.of(cbor.encode([bytes(32), bytes(16), 7, body]))


def test_an_address_record_in_a_transaction_is_read_back() -> None:
    assert Place.decode(PLACE).address == "host:8810"
    for wrong in (b"", cbor.encode([]), cbor.encode(["h:1", b"", -1, bytes(64)]), PLACE[:-1]):
        with pytest.raises(Malformed):
            Place.decode(wrong)
