"""What a block's page says of each kind of transaction; without Node these tests skip."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.app.enrolments import starts
from tests.app.registry_kinds import KINDS, made, signed
from tests.app.village import signer
from wire.governance import (
    ADD,
    REVOKE,
    AuthorityStep,
    ChangeAuthorities,
    ChangeParameters,
    ChangeValidators,
    ValidatorStep,
)
from wire.resolution import SETTLE, ResolveCase
from wire.transaction import BODIES, Body, Transaction
from wire.transaction_bodies import Withdraw

CHANGES = Path(__file__).parents[2] / "validator/explorer/changes.mjs"
NODE = shutil.which("node")
SCRIPT = f"""
import {{ readFileSync }} from "node:fs";
import {{ webcrypto }} from "node:crypto";
import {{ change }} from "{CHANGES.as_uri()}";
globalThis.crypto ??= webcrypto;
const transactions = JSON.parse(readFileSync(0, "utf8"));
const said = await Promise.all(transactions.map(change));
const told = said.map(({{ id, kind, what, from, kids }}) => [id, kind, what, from ?? 0, kids]);
console.log(JSON.stringify(told));
"""
KEY = signer("val-5").public
TOGETHER: tuple[Body, ...] = (
    ChangeValidators(bytes(32), (ValidatorStep(ADD, "val-5", "PEA", KEY),)),
    ChangeAuthorities(bytes(32), (AuthorityStep(REVOKE, "MEA"),)),
    ChangeParameters(bytes(32), (("reach_m", 800),)),
    Withdraw(bytes(32)),
    ResolveCase("z1", starts(0), 0, SETTLE, "an open switch"),
)

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed: apt install nodejs")


def test_every_kind_of_change_is_told_in_words() -> None:
    transactions: list[Transaction] = [made(name) for name in KINDS]
    transactions += [signed(body, ["PEA"]) for body in TOGETHER]
    assert {each.kind for each in transactions} == set(BODIES)
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", SCRIPT],
        input=json.dumps([each.encoded.hex() for each in transactions]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    words = set()
    for ours, (name, kind, what, from_s, kids) in zip(
        transactions, json.loads(done.stdout), strict=True
    ):
        assert (name, kind) == (ours.id.hex(), ours.kind)
        assert kids == [kid.hex() for _, kid in ours.sign.signers]
        assert from_s == ours.from_s, kind
        assert "undefined" not in what
        assert not what.startswith("A transaction of kind")
        words.add(what)
    assert len(words) == len(transactions)
    assert "Validators change: val-5 joins" in words
    assert "Authorities change: MEA loses its key for ever" in words
    assert "Parameters change: reach_m becomes 800" in words
