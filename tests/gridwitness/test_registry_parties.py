"""Who has a part in a change of the registry, and what is told of it before anybody signs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridwitness import registry_file, registry_fit
from gridwitness.registry_known import ByGenesis
from gridwitness.registry_parties import check_part, parties_of
from tests.app.enrolments import starts
from tests.app.registry_kinds import GENESIS, KINDS, LOAD, Kind, zone_entry
from tests.app.village import START_S, signer
from wire.errors import Refused
from wire.transaction import Body, Transaction, payload_of
from wire.transaction_bodies import LEAKED, MOVED, ChangeHolder, Entry, Retirement


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_those_who_have_a_part_are_those_whom_validators_ask(kind: Kind) -> None:
    """By the genesis file, for every kind: each signer may, and another authority may not."""
    body = kind.body(starts(2))
    known = ByGenesis(GENESIS)
    transaction = Transaction.of(payload_of(GENESIS.network, bytes(16), 9, body))
    for name in kind.signers:
        check_part(transaction, signer(name).public, known)
    assert parties_of(transaction, known) is not None
    with pytest.raises(Refused, match="has no part"):
        check_part(transaction, signer("a stranger").public, known)


def test_an_entry_is_taken_as_it_is_registered_then(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"from_s": None, "entry": {"id": "gw-a", "witness_key": "old"}},
        {"from_s": starts(2), "entry": {"id": "gw-a", "witness_key": "new"}},
    ]
    path = tmp_path / "gw.json"
    path.write_text(json.dumps({"id": "gw-a", "entry": steps[0]["entry"], "history": steps}))
    for begins, key in ((starts(1), "old"), (starts(2), "new"), (starts(3), "new")):
        assert registry_file.entry_of(path, begins)["witness_key"] == key


MISFITS: dict[str, tuple[Body, str]] = {
    "no zone": (Entry("add-unmetered", LOAD | {"id": "l2", "zone": "zz"}, starts(2)), "no zone zz"),
    "no meter": (Retirement("retire-meter", "nobody", starts(2)), "no meter nobody"),
    "nobody's link": (ChangeHolder("nobody", b"", starts(2), MOVED), "no meter nobody"),
    "no operator": (
        Entry("add-zone", zone_entry("z3", operator="ABC"), starts(2)),
        "no authority ABC",
    ),
    "no node": (
        Entry("add-unmetered", LOAD | {"id": "l2", "node": "far"}, starts(2)),
        "does not fit what the genesis file has",
    ),
    "already there": (Entry("add-zone", zone_entry("z1"), starts(2)), "zone z1 is registered"),
    "long ago": (Retirement("retire-meter", "c1", starts(-9)), "has passed"),
    "far off": (Retirement("retire-meter", "c1", starts(99 * 96)), "more than 35 days ahead"),
}


@pytest.mark.parametrize(("body", "words"), MISFITS.values(), ids=MISFITS.keys())
def test_what_no_block_can_have_is_refused_before_anybody_signs(
    body: Body, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_fit, "now_s", lambda: START_S)
    transaction = Transaction.of(payload_of(GENESIS.network, bytes(16), 9, body))
    with pytest.raises(Refused, match=words):
        registry_fit.check_fit(transaction, replace(GENESIS, paced_time=False), ByGenesis(GENESIS))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_fits_is_prepared(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_fit, "now_s", lambda: START_S)
    payload = payload_of(GENESIS.network, bytes(16), 9, kind.body(starts(2)))
    registry_fit.check_fit(Transaction.of(payload), GENESIS, ByGenesis(GENESIS))


def test_a_link_that_leaked_ends_with_the_block_and_is_said_to() -> None:
    for cause, said in ((LEAKED, True), (MOVED, False)):
        body = ChangeHolder("c1", bytes(32), starts(2), cause)
        transaction = Transaction.of(payload_of(GENESIS.network, bytes(16), 9, body))
        lines = "\n".join(registry_file.lines(registry_file.described(transaction)))
        assert ("the old link ends with the block already" in lines) is said
