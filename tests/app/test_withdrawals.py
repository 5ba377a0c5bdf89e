"""What was accepted for later is withdrawn by its operators before, and is as if it never came."""

from random import Random

import pytest

from tests.app.enrolments import NEW, NONCE, TECHNICIAN, Enrolment, refusal, starts
from tests.app.registry_kinds import (
    GENESIS,
    KINDS,
    Z1,
    administered_village,
    decided,
    made,
    resiting,
    signed,
    zone_entry,
)
from tests.app.village import Village, branch, gateway_entry
from validator.app.changes import stored_change
from validator.app.records import REGISTRY
from validator.app.registries import Registries
from wire.transaction import Transaction
from wire.transaction_bodies import Entry, Retirement, Withdraw

OPERATORS = ("PEA", "MEA")
TO_COME = tuple(name for name in KINDS if not name.startswith("compromise"))
AGAIN = bytes(16)
TABLES = ("gateways", "meters", "technicians", "unmetered", "zones")
SLOTS = range(-1, 12)


def operators_of(name: str) -> list[str]:
    return [each for each in KINDS[name].signers if each in OPERATORS]


def withdrawal(change: Transaction, *signers: str, nonce: bytes = NONCE) -> Transaction:
    return signed(Withdraw(change.id), signers or ("PEA",), nonce=nonce)


def told(registries: Registries) -> dict[str, object]:
    """Everything that a registry answers, for every thing and interval."""
    ids = {(table, name) for table in TABLES for name in registries.ids_ever(table)}
    times = [starts(slot) for slot in SLOTS]
    return {
        "keys": dict(registries.keys_ever),
        "ids": ids,
        "entries": {(*each, at_s): registries.find(*each, at_s) for each in ids for at_s in times},
        "histories": {each: registries.history(*each) for each in ids},
        "feeders": [
            registries.at(at_s).feeders[zone]
            for at_s in times
            for zone in registries.at(at_s).zones
        ],
    }


def village_after(*changes: Transaction) -> Village:
    village = administered_village()
    for change in changes:
        village.commit([], 0, [change])
    return village


@pytest.mark.parametrize("name", TO_COME)
def test_a_withdrawn_change_leaves_nothing_and_may_be_made_anew(name: str) -> None:
    never = told(administered_village().app.registries)
    gone = made(name)
    village = village_after(gone, withdrawal(gone, *operators_of(name)))
    assert told(village.app.registries) == never
    assert refusal(village, gone) == "transaction-replayed"
    assert refusal(village, made(name, nonce=AGAIN)) == "", "its id and keys are free again"


@pytest.mark.parametrize("name", TO_COME)
def test_it_is_withdrawn_by_the_operators_whom_it_needed_and_by_nobody_else(name: str) -> None:
    gone, operators = made(name), operators_of(name)
    for missing in operators:
        others = [each for each in operators if each != missing] or ["gw-b"]
        assert decided(gone, withdrawal(gone, *others)) == "not-signed-by-operator"
    for stranger in (
        TECHNICIAN,
        NEW,
        "gw-a",
        *(each for each in OPERATORS if each not in operators),
    ):
        assert decided(gone, withdrawal(gone, *operators, stranger)) == "stranger-signed"


def test_a_change_is_withdrawn_once_and_only_before_it_holds() -> None:
    gone = made("retire meter", 2)
    first = withdrawal(gone)
    assert decided(gone, first, first) == "transaction-replayed"
    assert decided(gone, first, withdrawal(gone, nonce=AGAIN)) == "no-such-change"
    assert decided(gone, first, slot=1) == "from-has-passed"
    assert decided(gone, first, slot=0) == ""
    village = village_after(gone)
    assert refusal(village, signed(Withdraw(gone.id), ["PEA"], expiry_height=1)) == (
        "transaction-expired"
    )


def test_what_waits_for_no_interval_is_never_withdrawn() -> None:
    compromised, gone = made("compromise meter"), made("retire meter")
    first = withdrawal(gone)
    for what in (compromised, first, made("retire zone")):
        assert decided(gone, first, compromised, withdrawal(what, nonce=AGAIN)) == "no-such-change"


def test_changes_of_one_thing_are_withdrawn_the_last_one_first() -> None:
    first, second = made("change gateway", 2), made("change gateway", 4, nonce=AGAIN)
    assert decided(first, second, withdrawal(first)) == "conflicting-change"
    assert decided(first, second, withdrawal(second), withdrawal(first)) == ""


N4 = [branch("bus", "n1"), branch("n1", "n2"), branch("n2", "n3"), branch("n3", "n4")]
WIDER = signed(Entry("change-zone", Z1 | {"branches": N4}, starts(2)), ["PEA"])
AT_N4 = Enrolment(
    GENESIS, from_s=starts(5), record={"node": "n4"}, entry={"node": "n4"}
).transaction()
GATEWAY = made("add gateway")
BY_GATEWAY = signed(resiting(starts(3), reader="gw-c"), ("c1", TECHNICIAN, "PEA"))
ZONE = signed(Entry("add-zone", zone_entry("z3"), starts(2)), ["PEA"])
SERVED = signed(
    Entry("change-gateway", gateway_entry("gw-b") | {"zones": ["z1", "z3"]}, starts(4)), ["PEA"]
)
NO_READER = signed(Retirement("retire-gateway", "gw-b", starts(4)), ["PEA"])


@pytest.mark.parametrize(
    ("gone", "leaning"),
    [(WIDER, AT_N4), (GATEWAY, BY_GATEWAY), (ZONE, SERVED)],
    ids=["a line", "a reader", "a zone"],
)
def test_what_later_changes_lean_on_stays(gone: Transaction, leaning: Transaction) -> None:
    assert decided(gone, leaning, withdrawal(gone)) == "unfit-registry"
    assert decided(gone, leaning, withdrawal(leaning), withdrawal(gone)) == ""


def test_what_would_come_back_must_fit_what_was_accepted_since() -> None:
    """c1 was read by gw-b; it is to be read by gw-a, and gw-b goes: the first cannot be undone."""
    read_by_b = signed(resiting(starts(2), reader="gw-b"), ("c1", TECHNICIAN, "PEA"), nonce=AGAIN)
    by_a = signed(resiting(starts(3), reader="gw-a"), ("c1", TECHNICIAN, "PEA"))
    assert decided(read_by_b, by_a, NO_READER, withdrawal(by_a)) == "unfit-registry"
    assert decided(read_by_b, by_a, NO_READER, withdrawal(NO_READER), withdrawal(by_a)) == ""


@pytest.mark.parametrize("seed", range(6))
def test_changes_and_withdrawals_in_any_order_are_as_if_read_from_the_disk(seed: int) -> None:
    """What a validator that ran all the time knows is what one knows that has just started."""
    chance, village = Random(seed), administered_village()
    waiting: list[tuple[str, Transaction]] = []
    for number in range(40):
        nonce = number.to_bytes(16, "big")
        if waiting and chance.random() < 0.4:
            name, change = waiting.pop(chance.randrange(len(waiting)))
            change = withdrawal(change, *operators_of(name), nonce=nonce)
        else:
            name = chance.choice(TO_COME)
            change = made(name, chance.randint(2, 9), nonce=nonce)
            waiting.append((name, change))
        if refusal(village, change) == "":
            village.commit([], 0, [change])
            registries = village.app.registries
            registries.at(starts(chance.choice(SLOTS))).feeders["z1"]  # Prepared, and out of date.
    known = village.app.registries
    assert len(known.changes) > 8
    assert known.withdrawn
    assert told(known) == told(Registries(known.base, known.changes))
    rows = [stored_change(value) for _, value in village.app.state.rows(REGISTRY)]
    assert Registries(known.base, rows) == known
