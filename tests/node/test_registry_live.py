"""The registry changes while readings flow through four real validators: by its own commands.

A witness key is followed by another, a meter is replaced, a key is called compromised; the readings
go on. Network time is paced by the test.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from gridwitness.cli import main
from tests.app.enrolments import NEW, TECHNICIAN, Enrolment, starts
from tests.app.registry_kinds import EXCHANGE, rotation
from tests.app.village import Register, meter_entry, signer
from tests.node.town import GatewayClient, Town, wait_for
from wire.answer import Refusal
from wire.results import REASONS, Verdict
from wire.witness import Batch

PACED = True
PASSPHRASE = b"of the operator"
WITH_NEW: dict[str, Any] = {"c2": None, NEW: (300, 0)}


class Operator:
    """The grid operator at the command line, with a validator's address and the keys at hand."""

    def __init__(
        self, town: Town, folder: Path, capsys: pytest.CaptureFixture[str], validator: str
    ) -> None:
        self._town = town
        self._folder = folder
        self._capsys = capsys
        self._url = f"http://127.0.0.1:{town.api_ports[validator]}"
        (folder / "passphrase").write_bytes(PASSPHRASE)

    def change(self, kind: str, *arguments: object, signers: tuple[str, ...] = ("PEA",)) -> int:
        """Prepare, sign, submit, wait; returns the block's height."""
        path = self.path(kind)
        genesis = ("--genesis", self._town.folder / "genesis.json")
        self._run("prepare", kind, *arguments, *genesis, "--out", path)
        for name in signers:
            self._run("sign", path, "--key", self._key(name))
        return int(self._run("submit", path, "--to", self._url)["height"])

    def path(self, kind: str) -> Path:
        """File of the last change of a kind."""
        return self._folder / f"{kind}.gwt"

    def shown(self, table: str, name: str) -> dict[str, Any]:
        return self._run("show", table, name, "--from-validator", self._url)

    def file(self, name: str, content: bytes) -> Path:
        (self._folder / name).write_bytes(content)
        return self._folder / name

    def _run(self, *arguments: object) -> dict[str, Any]:
        status = main(["registry", *(str(each) for each in arguments), "--json"])
        told = self._capsys.readouterr()
        assert status == 0, told.err
        found: dict[str, Any] = json.loads(told.out)
        return found

    def _key(self, name: str) -> Path:
        kept = BestAvailableEncryption(PASSPHRASE)
        private = signer(name)._private
        return self.file(
            f"{name}.pem", private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept)
        )


@pytest.fixture
def operator(town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(town, tmp_path, capsys, "val-2")


def witnessed(town: Town, slot: int, key: str = "gw-a", **energies: Any) -> Batch:
    town.stand(slot)
    closed = town.village.close(slot, **energies)
    return town.village.batch(closed.values(), slot, key=signer(key))


def refusal(gateway: GatewayClient, batch: Batch) -> str:
    gateway.send(batch.encoded)
    answer = gateway.answer(batch.batch_id)
    assert isinstance(answer, Refusal)
    return REASONS[answer.code].name


def test_a_witness_key_is_followed_by_another_while_readings_flow(
    town: Town, gateway: GatewayClient, operator: Operator
) -> None:
    assert gateway.settle(witnessed(town, 0)) == ["accepted"] * 5
    announced = rotation(
        "gw-a", "witness", starts(2), starts(3) + 60, network=town.genesis.network
    ).announcement
    operator.change("rotate-key", operator.file("announcement", announced.encoded))
    assert gateway.settle(witnessed(town, 1)) == ["accepted"] * 5
    assert gateway.settle(witnessed(town, 2, "new key")) == ["accepted"] * 5
    history = operator.shown("gateways", "gw-a")["history"]
    assert [each["from_s"] for each in history] == [None, starts(2)]
    assert history[1]["entry"]["witness_key"] == signer("new key").public.text


def test_the_old_key_witnesses_nothing_after_its_time(town: Town, gateway: GatewayClient) -> None:
    closed = town.village.close(3)
    town.stand(3)
    old = town.village.batch(closed.values(), 3, witnessed_at_s=starts(3) + 961)
    assert refusal(gateway, old) == "unknown-witness-key"
    again = town.village.batch(closed.values(), 3, key=signer("new key"))
    assert gateway.settle(again) == ["accepted"] * 5


def test_a_meter_is_replaced_and_its_zone_balances_on(
    town: Town, gateway: GatewayClient, operator: Operator
) -> None:
    record = {"node": "n2"} | EXCHANGE
    made = Enrolment(town.genesis, record=record, entry={"node": "n2"}).body()
    operator.change(
        "replace-meter",
        *("--old", "c2", "--from", starts(5)),
        *("--entry", operator.file("entry.json", json.dumps(dict(made.entry)).encode())),
        *("--record", operator.file("commissioning.cbor", made.commissioning)),
        signers=(NEW, TECHNICIAN, "PEA"),
    )
    town.village.meters[NEW] = Register(dict(made.entry))
    assert gateway.settle(witnessed(town, 4, "new key")) == ["accepted"] * 5
    assert gateway.settle(witnessed(town, 5, "new key", **WITH_NEW)) == ["accepted"] * 5
    old = town.village.batch([town.village.meters["c2"].close(5, 1, 0)], 5, key=signer("new key"))
    assert gateway.settle(old) == ["not-registered-then"]
    seals = json.loads(town.get("val-3", "/api/v1/zones/z1/seals?after=0")[1])["items"]
    assert {each["start_s"]: each["verdict"] for each in seals}[starts(5)] == Verdict.BALANCED.name


def test_a_compromised_key_is_refused_and_its_backlog_comes_by_another_gateway(
    town: Town, gateway: GatewayClient, operator: Operator
) -> None:
    batch = witnessed(town, 6, "new key", **WITH_NEW)
    operator.change("compromise-key", "gw-a", "witness", "--public", signer("new key").public.text)
    assert refusal(gateway, batch) == "compromised-witness-key"
    other = GatewayClient(town, "gw-b")
    again = town.village.batch(batch.readings, 6, "gw-b")
    assert other.settle(again) == ["accepted"] * 5
    other.leave()
    assert [town.status(name)["halted"] for name in town.names] == [""] * 4


def test_a_meter_that_cannot_sign_is_added_and_its_zone_balances_with_it(
    town: Town, operator: Operator
) -> None:
    entry = meter_entry("c8", "n2", "customer", key="")
    operator.change(
        *("add-meter", "--from", starts(8)),
        *("--entry", operator.file("entry.json", json.dumps(entry).encode())),
        signers=("gw-a reader", TECHNICIAN, "PEA"),
    )
    town.village.meters["c8"] = Register(entry)
    other = GatewayClient(town, "gw-b")
    for slot, energies in ((7, WITH_NEW), (8, {**WITH_NEW, "c8": (100, 0), "b0": (705, 0)})):
        town.stand(slot)
        closed = town.village.close(slot, **energies)
        batch = town.village.batch(closed.values(), slot, "gw-b")
        assert other.settle(batch) == ["accepted"] * len(closed)
    other.leave()
    seals = json.loads(town.get("val-3", "/api/v1/zones/z1/seals?after=0")[1])["items"]
    assert {each["start_s"]: each["verdict"] for each in seals}[starts(8)] == Verdict.BALANCED.name


def test_a_change_and_its_withdrawal_are_told_alike_by_every_validator(
    town: Town, operator: Operator
) -> None:
    def kept() -> list[list[int | None]]:
        found = []
        for name in town.names:
            entry = json.loads(town.get(name, "/api/v1/registry/meters/c1")[1])
            found.append([each["from_s"] for each in entry["history"]])
        return found

    mistaken = operator.change("retire-meter", "c1", "--from", starts(20))
    wait_for("all have it", lambda: kept() == [[None, starts(20)]] * 4)
    back = operator.change("withdraw", operator.path("retire-meter"))
    assert back > mistaken
    wait_for("all have taken it back", lambda: kept() == [[None]] * 4)
    town.kill("val-3")
    town.start("val-3")
    assert kept() == [[None]] * 4, "what is read from the disk again is the same"
