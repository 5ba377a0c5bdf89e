"""Bodies of registry transactions: golden bytes for each kind, and what is none of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.app.registry_kinds import LOAD, compromise, rotation, zone_entry
from tests.app.village import gateway_entry, signer
from wire import cbor
from wire.errors import Malformed
from wire.transaction import BODIES, Body, Transaction, enrolment_of, payload_of
from wire.transaction_bodies import (
    LEAKED,
    MOVED,
    RETIRES,
    TABLE_OF,
    ChangeHolder,
    EnrolMeter,
    Entry,
    ReplaceMeter,
    ResiteMeter,
    Retirement,
    RotateKey,
    Withdraw,
)

VECTORS = Path(__file__).parents[2] / "wire" / "vectors" / "registry.json"
NETWORK, NONCE, FROM_S = bytes(range(32)), bytes(range(16)), 1_750_000_500
METER = {"id": "GW-000001", "node": "n1", "zone": "z1"}
TECHNICIAN = {"id": "tech-1", "operator": "PEA", "key": signer("tech-1").public.text}
ENTRIES: dict[str, dict[str, Any]] = {
    "gateway": gateway_entry("gw-a") | {"site": [137_563_000, 1_005_018_000]},
    "technician": TECHNICIAN,
    "zone": zone_entry("z1"),
    "unmetered": LOAD,
    "meter": METER | {"key": ""},
}
MADE: list[Body] = [
    EnrolMeter(METER, FROM_S, b"record"),
    ResiteMeter(METER, FROM_S, b"record"),
    ReplaceMeter(METER, FROM_S, b"record", "GW-000000"),
    rotation("gw-a", "witness", FROM_S, FROM_S + 900, network=NETWORK),
    compromise("gw-a", "reader"),
    *(Entry(kind, ENTRIES[kind.partition("-")[2]], FROM_S) for kind in TABLE_OF),
    *(Retirement(kind, "x", FROM_S) for kind in RETIRES),
    ChangeHolder("GW-000001", NETWORK, FROM_S, LEAKED),
    Withdraw(NETWORK),
]


def test_each_kind_has_its_golden_bytes(rewrite: bool) -> None:
    payloads = {body.kind: payload_of(NETWORK, NONCE, 1_000, body) for body in MADE}
    found = {
        kind: {"payload": payload.hex(), "id": Transaction.of(payload).id.hex()}
        for kind, payload in payloads.items()
    }
    text = json.dumps(found, indent=1) + "\n"
    if rewrite:
        VECTORS.write_text(text)
    assert VECTORS.read_text() == text, "the format has changed; golden bytes never may"


@pytest.mark.parametrize("body", MADE, ids=[body.kind for body in MADE])
def test_a_body_is_read_as_it_was_made(body: Body) -> None:
    read = Transaction.of(payload_of(NETWORK, NONCE, 1_000, body))
    assert read.body == body
    assert read.kind == body.kind
    assert read.body.items() == body.items()
    assert BODIES[body.kind].of_items(body.items()) == body


def test_three_kinds_register_a_meter_and_nothing_else_does() -> None:
    found = []
    for body in MADE:
        try:
            found.append(enrolment_of(Transaction.of(payload_of(NETWORK, NONCE, 1, body))).kind)
        except Malformed:
            continue
    assert found == ["enrol-meter", "re-site-meter", "replace-meter"]


def test_a_household_may_be_left_without_a_link() -> None:
    body = ChangeHolder("c1", b"", FROM_S, MOVED)
    assert Transaction.of(payload_of(NETWORK, NONCE, 1_000, body)).body == body


def test_a_rotation_holds_when_its_announcement_says() -> None:
    [body] = [each for each in MADE if isinstance(each, RotateKey)]
    assert Transaction.of(payload_of(NETWORK, NONCE, 1, body)).from_s == FROM_S
    assert Transaction.of(payload_of(NETWORK, NONCE, 1, compromise("c1", "meter"))).from_s == 0


WRONG: dict[str, list[Any]] = {
    "an unknown kind": ["drop-gateway", "gw-a", FROM_S],
    "an entry that is no map": ["add-zone", [], FROM_S],
    "an entry of no name": ["add-zone", {"operator": "PEA"}, FROM_S],
    "an entry with a number as key": ["add-zone", {"id": "z1", 1: 2}, FROM_S],
    "an entry and more": ["add-zone", zone_entry("z1"), FROM_S, 0],
    "an entry from no time": ["add-zone", zone_entry("z1"), -1],
    "a retirement of no name": ["retire-zone", "", FROM_S],
    "a meter's name that is too long": ["retire-meter", "m" * 21, FROM_S],
    "a replacement of nobody": ["replace-meter", METER, FROM_S, b""],
    "a replacement of a number": ["replace-meter", 1, METER, FROM_S, b""],
    "a rotation without its announcement": ["rotate-key", b""],
    "a rotation with something else": ["rotate-key", "announcement"],
    "a compromise of no role": ["compromise-key", "gw-a", "validator", bytes(32)],
    "a compromise of a role that is no text": ["compromise-key", "gw-a", 1, bytes(32)],
    "a link for no reason": ["change-holder", "c1", bytes(32), 900, "lost"],
    "half a link": ["change-holder", "c1", bytes(16), 900, "leaked"],
    "a link of no meter": ["change-holder", "", bytes(32), 900, "moved"],
    "a withdrawal of half a transaction": ["withdraw", bytes(16)],
    "a withdrawal of two": ["withdraw", bytes(32), bytes(32)],
    "a compromise of half a key": ["compromise-key", "gw-a", "witness", bytes(8)],
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_another_body_is_refused(body: list[Any]) -> None:
    with pytest.raises(Malformed):
        Transaction.of(cbor.encode([NETWORK, NONCE, 1, body]))
