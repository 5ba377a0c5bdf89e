"""A meter is enrolled while four real validators run; network time is paced by the test."""

import json
from typing import Any

import pytest

from tests.app.enrolments import NEW, TECHNICIAN, Enrolment, enrol, retire, starts
from tests.app.village import signer
from tests.node.town import GatewayClient, Town, wait_for
from wire.receipt import Receipt
from wire.results import Verdict
from wire.transaction import MOST_BYTES, Transaction, enrolment_of
from wire.witness import Batch

PACED = True

TRANSACTIONS = "/api/v1/transactions"
WITH_NEW: dict[str, Any] = {"b0": (704, 0), NEW: (100, 0)}


def status(town: Town, name: str, transaction: Transaction) -> dict[str, Any]:
    code, body = town.get(name, f"{TRANSACTIONS}/{transaction.id.hex()}")
    return json.loads(body) if code == 200 else {"status": code}


def wait_until_final(town: Town, transaction: Transaction) -> int:
    """Wait until every validator that runs has it in a block; returns the block's height."""

    def finals() -> list[Any]:
        found = [status(town, name, transaction) for name in town.processes]
        return [each.get("height") for each in found]

    wait_for("the transaction is final everywhere", lambda: None not in finals())
    [height] = set(finals())
    return int(height)


def interval(town: Town, slot: int, **energies: tuple[int, int]) -> Batch:
    """An interval closes, network time goes on, and gw-a witnesses what the meters say."""
    town.stand(slot)
    closed = town.village.close(slot, **energies)
    return town.village.batch(closed.values(), slot)


def test_before_it_is_enrolled_a_meter_is_unknown(town: Town, gateway: GatewayClient) -> None:
    enrol(town.village, 2)
    names = gateway.settle(interval(town, 0, **WITH_NEW))
    assert names == ["accepted"] * 5 + ["unknown-meter"]


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "not signed by the meter": ({"signers": (TECHNICIAN, "PEA")}, "not-signed-by-meter"),
    "signed by no technician": ({"signers": (NEW, "PEA")}, "not-signed-by-technician"),
    "signed by no operator": ({"signers": (NEW, TECHNICIAN)}, "not-signed-by-operator"),
    "signed by another operator": (
        {"signers": (NEW, TECHNICIAN, "MEA")},
        "not-signed-by-operator",
    ),
    "for another network": ({"network": bytes(32)}, "transaction-of-other-network"),
    "expired": ({"expiry_height": 0}, "transaction-expired"),
    "with a tampered record": ({"carried": b"\xd8\x62"}, "unfit-commissioning"),
    "with a key of another meter": ({"key": signer("c1")}, "key-taken"),
    "with a small-order key": ({"entry": {"key": "eddsa:01" + "00" * 31}}, "weak-key"),
    "from an interval that runs": ({"slot": 1}, "from-has-passed"),
}


@pytest.mark.parametrize(("changes", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_enrolment_is_refused_with_its_reason(
    town: Town, changes: dict[str, Any], reason: str
) -> None:
    transaction = Enrolment(town.genesis, **changes).transaction()
    code, answer = town.post("val-1", TRANSACTIONS, transaction.encoded)
    assert (code, answer["reason"]) == (422, reason)
    assert answer["words"]
    assert status(town, "val-1", transaction) == {"status": 404}


def test_what_is_no_transaction_is_refused_before_it_costs_anything(town: Town) -> None:
    good = Enrolment(town.genesis).transaction().encoded
    assert town.post("val-1", TRANSACTIONS, bytes(MOST_BYTES + 1))[0] == 413
    assert town.post("val-1", TRANSACTIONS, good, "application/json")[0] == 415
    for body in (b"", b"\xff", good[:-1], good + b"\x00", bytes(MOST_BYTES)):
        code, answer = town.post("val-1", TRANSACTIONS, body)
        assert (code, answer["reason"]) == (422, "malformed-transaction")
    assert town.get("val-1", f"{TRANSACTIONS}/zz")[0] == 422
    assert town.get("val-1", f"/api/v1/registry/meters/{NEW}")[0] == 404


def test_one_validator_is_told_and_all_have_it_and_one_was_away(
    town: Town, gateway: GatewayClient
) -> None:
    town.kill("val-4")
    transaction = enrol(town.village, 2)
    answer = {"id": transaction.id.hex(), "status": "waiting"}
    assert town.post("val-2", TRANSACTIONS, transaction.encoded) == (202, answer)
    height = wait_until_final(town, transaction)
    code, again = town.post("val-3", TRANSACTIONS, transaction.encoded)
    assert (code, again["reason"]) == (422, "transaction-replayed")
    code, body = town.get("val-1", f"/api/v1/registry/meters/{NEW}")
    found = json.loads(body)
    assert code == 200
    assert found.pop("meter") == dict(enrolment_of(transaction).entry)
    assert {name: found[name] for name in ("from_s", "until_s", "transaction", "height")} == {
        "from_s": starts(2),
        "until_s": None,
        "transaction": transaction.id.hex(),
        "height": height,
    }


def test_from_its_first_interval_on_its_readings_are_accepted(
    town: Town, gateway: GatewayClient
) -> None:
    names = gateway.settle(interval(town, 1, **WITH_NEW))
    assert names == ["accepted"] * 5 + ["not-registered-then"]
    # Of the village's meters the new one stands last.
    assert gateway.settle(interval(town, 2, **WITH_NEW)) == ["accepted"] * 6
    page = json.loads(town.get("val-1", f"/api/v1/readings/{NEW}")[1])["items"]
    assert [each["interval_start_s"] for each in page] == [starts(2)]


def test_the_receipt_of_an_enrolled_meters_reading_verifies_offline(town: Town) -> None:
    stored = json.loads(town.get("val-2", f"/api/v1/readings/{NEW}")[1])["items"][0]
    code, body = town.get("val-2", f"/api/v1/receipts/{NEW}/{stored['sequence']}")
    assert code == 200
    verified = Receipt.decode(body).verify(town.genesis)
    assert verified.reading.meter == NEW
    assert verified.zone_seal is not None
    assert verified.zone_seal.verdict is Verdict.BALANCED


def test_who_was_away_and_who_starts_again_agree_with_the_others(
    town: Town, gateway: GatewayClient
) -> None:
    town.start("val-4")
    wait_for("val-4 caught up", lambda: len(set(town.heights())) == 1)
    town.kill("val-1")
    town.start("val-1")
    wait_for("val-1 is back", lambda: len(set(town.heights())) == 1)
    town.kill("val-2")  # Without it the quorum needs both.
    assert gateway.settle(interval(town, 3, **WITH_NEW)) == ["accepted"] * 6
    town.start("val-2")
    wait_for("val-2 is back", lambda: len(set(town.heights())) == 1)
    pages = {town.get(name, f"/api/v1/registry/meters/{NEW}") for name in town.names}
    assert len(pages) == 1
    assert len(town.ledgers(min(town.heights()))) == 1


def test_what_waits_without_a_quorum_survives_its_validators_end(town: Town) -> None:
    for name in ("val-3", "val-4"):
        town.kill(name)
    transaction = enrol(town.village, 9, "c8")
    assert town.post("val-1", TRANSACTIONS, transaction.encoded)[0] == 202
    assert town.post("val-1", TRANSACTIONS, transaction.encoded)[0] == 202
    for name in ("val-1", "val-2"):
        town.kill(name)
    town.start("val-1")
    assert status(town, "val-1", transaction)["status"] == "waiting"
    town.start("val-2", "val-3", "val-4")
    wait_until_final(town, transaction)
    assert [town.status(name)["halted"] for name in town.names] == [""] * 4


def test_what_has_become_impossible_is_remembered_with_its_reason(town: Town) -> None:
    for name in ("val-2", "val-3", "val-4"):
        town.kill(name)
    late = Enrolment(town.genesis, 5, "c7").transaction()
    assert town.post("val-1", TRANSACTIONS, late.encoded)[0] == 202
    town.stand(5)
    town.start("val-2", "val-3", "val-4")
    wait_for("refused", lambda: status(town, "val-1", late)["status"] == "refused")
    assert status(town, "val-1", late)["reason"] == "from-has-passed"
    assert len(town.ledgers(min(town.heights()))) == 1


def test_a_retired_meter_is_refused_from_then_on(town: Town, gateway: GatewayClient) -> None:
    transaction = retire(town.genesis, NEW, 7)
    assert town.post("val-3", TRANSACTIONS, transaction.encoded)[0] == 202
    wait_until_final(town, transaction)
    assert gateway.settle(interval(town, 6, **WITH_NEW)) == ["accepted"] * 6
    names = gateway.settle(interval(town, 7, **WITH_NEW))
    assert names == ["accepted"] * 5 + ["not-registered-then"]
    assert json.loads(town.get("val-4", f"/api/v1/registry/meters/{NEW}")[1])["until_s"] == starts(
        7
    )
    assert [town.status(name)["halted"] for name in town.names] == [""] * 4


def test_receipts_outlive_the_meter(town: Town) -> None:
    test_the_receipt_of_an_enrolled_meters_reading_verifies_offline(town)


def test_a_flood_of_submissions_is_held_back(town: Town) -> None:
    codes = {town.post("val-1", TRANSACTIONS, b"")[0] for _ in range(100)}
    assert codes == {422, 429}
