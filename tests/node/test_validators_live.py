"""Four real validators over loopback TLS, a real broker, batches that a gateway witnessed."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.app.village import signer
from tests.node.town import WAIT_S, GatewayClient, Town, wait_for
from validator.client import Client
from wire.answer import Refusal
from wire.block import Block, Commit, verify_commit
from wire.receipt import Receipt
from wire.results import REASONS

METERS = ["b0", "c1", "c2", "c3", "pv"]


def test_a_batch_is_answered_with_a_receipt_that_verifies(
    town: Town, gateway: GatewayClient
) -> None:
    assert gateway.settle(gateway.interval()) == ["accepted"] * 5


def test_a_batch_that_is_final_is_answered_again_from_the_ledger(
    town: Town, gateway: GatewayClient
) -> None:
    batch = gateway.interval()
    assert gateway.settle(batch) == ["accepted"] * 5
    wait_for("all have the block", lambda: len(set(town.heights())) == 1)
    before = {name: town.status(name)["readings"] for name in town.names}
    assert gateway.settle(batch) == ["accepted"] * 5
    assert {name: town.status(name)["readings"] for name in town.names} == before


def test_the_api_serves_a_receipt_that_proves_the_reading(town: Town) -> None:
    for meter in METERS:
        page = json.loads(town.get("val-1", f"/api/v1/readings/{meter}")[1])["items"]
        sequence = page[0]["sequence"]
        status, body = town.get("val-1", f"/api/v1/receipts/{meter}/{sequence}")
        assert status == 200
        verified = Receipt.decode(body).verify(town.genesis)
        assert (verified.reading.meter, verified.reading.sequence) == (meter, sequence)
        assert verified.zone_seal is not None


def test_the_api_serves_blocks_whose_seals_make_them_final(town: Town) -> None:
    status, body = town.get("val-2", "/api/v1/blocks/1")
    page = json.loads(body)
    block = Block.decode(bytes.fromhex(page["block"]))
    commit = Commit.decode(bytes.fromhex(page["commit"]))
    assert (status, page["digest"]) == (200, block.digest.hex())
    verify_commit(commit, town.genesis.validators, town.genesis.network, 1)


def test_the_client_hears_of_new_blocks_and_waits_for_a_receipt(
    town: Town, gateway: GatewayClient
) -> None:
    urls = [f"http://127.0.0.1:{town.api_ports[name]}" for name in town.names]
    with Client(["http://127.0.0.1:1", *urls], town.genesis) as client:
        last = max(each.sequence for each in client.readings("c1"))
        with ThreadPoolExecutor(1) as waiting:
            found = waiting.submit(client.await_receipt, "c1", last + 1, WAIT_S)
            assert gateway.settle(gateway.interval()) == ["accepted"] * 5
            receipt = found.result().receipt
        assert receipt.verify(town.genesis).reading.sequence == last + 1
        kinds = {each.kind for each, _ in zip(client.events(WAIT_S, "0"), range(4), strict=False)}
    assert kinds == {"block", "seal"}


def test_zone_seals_are_public(town: Town) -> None:
    wait_for("all are level", lambda: len(set(town.heights())) == 1)
    page = json.loads(town.get("val-3", "/api/v1/zones/z1/seals")[1])["items"]
    assert [seal["verdict"] for seal in page] == ["BALANCED"] * 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/metrics", 200),
        ("/api/v1/blocks/0", 404),
        ("/api/v1/blocks/9223372036854775807", 404),
        ("/api/v1/blocks/9223372036854775808", 422),
        ("/api/v1/blocks/-1", 422),
        ("/api/v1/blocks/one", 422),
        ("/api/v1/readings/nobody", 404),
        ("/api/v1/readings/%00", 422),
        ("/api/v1/readings/c1?most=100000", 422),
        ("/api/v1/receipts/c1/999", 404),
        ("/api/v1/receipts/c1/99999999999999999999", 422),
        ("/api/v1/zones/nowhere/seals", 404),
        ("/nothing", 404),
    ],
)
def test_the_api_answers_strictly(town: Town, path: str, status: int) -> None:
    assert town.get("val-1", path)[0] == status


def test_a_batch_whose_witness_does_not_stand_is_refused_by_name(
    town: Town, gateway: GatewayClient
) -> None:
    good = gateway.interval()
    forged = replace(good.witness.cose, signature=signer("gw-b").sign(b"another text"))
    batch = replace(good, witness=replace(good.witness, cose=forged, encoded=forged.encoded))
    gateway.send(batch.encoded)
    answers = [gateway.answer(batch.batch_id) for _ in town.names]
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert sorted(refusal.validator for refusal in refusals) == town.names
    assert {refusal.code for refusal in refusals} == {52}
    # The same content under a good signature is no worse for it.
    assert gateway.settle(good) == ["accepted"] * 5


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x83\x01", bytes(1000), b"\xd2" * 50])
def test_hostile_bytes_change_nothing(town: Town, gateway: GatewayClient, payload: bytes) -> None:
    wait_for("all are level", lambda: len(set(town.heights())) == 1)
    before = town.status("val-1")["readings"]
    gateway.send(payload)
    answer = gateway.answer(hashlib.sha256(payload).digest())
    assert isinstance(answer, Refusal)
    assert REASONS[answer.code].name == "malformed"
    # What is sent after it is answered: the validator has read on.
    batch = gateway.interval()
    truncated = batch.encoded[: len(batch.encoded) // 2]
    gateway.send(truncated)
    assert isinstance(gateway.answer(hashlib.sha256(truncated).digest()), Refusal)
    assert gateway.settle(batch) == ["accepted"] * 5
    wait_for(
        "the readings of one batch, no others",
        lambda: town.status("val-1")["readings"] == before + 5,
    )
    assert town.status("val-1")["halted"] == ""


def test_a_topic_carries_its_own_gateways_batches_only(town: Town) -> None:
    stranger = GatewayClient(town, "gw-b")
    try:
        batch = stranger.interval()
        stranger.send(batch.encoded)
        # A batch of its own, witnessed later, is final while the other's is not.
        slot = next(town.slots)
        readings = [town.village.close(slot)["c1"]]
        own = town.village.batch(readings, slot, gateway="gw-b", sequence=0)
        assert stranger.settle(own) == ["accepted"]
        wait_for(
            "nothing is left to wait",
            lambda: [town.status(name)["mempool"] for name in town.names] == [0] * 4,
        )
    finally:
        stranger.leave()


def test_a_killed_validator_comes_back_and_catches_up(town: Town, gateway: GatewayClient) -> None:
    town.kill("val-2")
    for _ in range(3):
        assert gateway.settle(gateway.interval()) == ["accepted"] * 5
    town.start("val-2")
    wait_for("val-2 caught up", lambda: len(set(town.heights())) == 1)
    assert gateway.settle(gateway.interval()) == ["accepted"] * 5
    height = min(town.heights())
    assert len(town.ledgers(height)) == 1


def test_nobody_agrees_without_a_quorum_and_everybody_after_it(
    town: Town, gateway: GatewayClient
) -> None:
    for name in ("val-3", "val-4"):
        town.kill(name)
    batch = gateway.interval()
    gateway.send(batch.encoded)
    wait_for("a round without a quorum", lambda: town.status("val-1")["round"] >= 1)
    height = town.status("val-1")["height"]
    town.start("val-3", "val-4")
    wait_for("blocks go on", lambda: min(town.heights()) > height)
    assert gateway.settle(batch) == ["accepted"] * 5
    height = min(town.heights())
    assert len(town.ledgers(height)) == 1
    assert [town.status(name)["halted"] for name in town.names] == [""] * 4


def test_a_validator_killed_while_it_votes_never_signs_twice(
    town: Town, gateway: GatewayClient
) -> None:
    for _ in range(6):
        batch = gateway.interval()
        gateway.send(batch.encoded)
        town.kill("val-1")
        town.start("val-1")
        assert gateway.settle(batch) == ["accepted"] * 5
    for name in town.names[1:]:
        page = town.get(name, "/metrics")[1].decode()
        assert "gridwitness_consensus_evidence 0\n" in page
    height = min(town.heights())
    assert len(town.ledgers(height)) == 1


def test_sigterm_ends_a_validator_in_order(town: Town) -> None:
    for name in town.names:
        assert town.stop(name) == 0
        assert "Traceback" not in town.log(name)
