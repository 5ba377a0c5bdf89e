"""Who has a part in a change of the registry, and what is told of it before anybody signs."""

import json
from pathlib import Path
from typing import Any

import pytest

from gridwitness import registry_file
from gridwitness.registry_known import ByGenesis
from gridwitness.registry_parties import check_part, parties_of
from tests.app.enrolments import starts
from tests.app.registry_kinds import GENESIS, KINDS, Kind
from tests.app.village import signer
from wire.errors import Refused
from wire.transaction import Transaction, payload_of


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
