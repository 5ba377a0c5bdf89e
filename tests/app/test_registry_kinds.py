"""Each kind of registry transaction: who must sign it, when it may come, what it may not touch."""

from typing import Any

import pytest

from tests.app.enrolments import NEW, TECHNICIAN, Enrolment, refusal, starts
from tests.app.registry_kinds import (
    GENESIS,
    KINDS,
    Z1,
    administered_village,
    compromise,
    decided,
    made,
    resiting,
    rotation,
    signed,
)
from tests.app.village import branch, gateway_entry, signer
from wire.transaction import BODIES, Transaction
from wire.transaction_bodies import Entry

NAMES = tuple(KINDS)
BY_INTERVAL = tuple(name for name in NAMES if not name.startswith("compromise"))
MISSING = [
    (name, who, why)
    for name, kind in KINDS.items()
    for who, why in zip(kind.signers, kind.without, strict=True)
]


def test_every_kind_has_its_rows_here() -> None:
    governed = {name for name in BODIES if name.startswith("change-") and "-" in name} - {
        *("change-gateway", "change-zone", "change-unmetered", "change-holder", "change-meter")
    }
    assert {made(name).kind for name in NAMES} == {
        name for name in BODIES if name not in {*governed, "resolve-case", "withdraw"}
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_its_parties_have_signed_stands(name: str) -> None:
    assert decided(made(name)) == ""
    assert Transaction.open(made(name).encoded) == made(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_which_they_signed_does_not_matter(name: str) -> None:
    assert decided(made(name, signers=KINDS[name].signers[::-1])) == ""


@pytest.mark.parametrize(("name", "who", "why"), MISSING)
def test_without_one_of_its_signers_it_is_refused(name: str, who: str, why: str) -> None:
    others = [each for each in KINDS[name].signers if each != who] or ["gw-b"]
    assert decided(made(name, signers=others)) == why


@pytest.mark.parametrize(("name", "who", "why"), MISSING)
def test_a_strangers_key_stands_in_for_nobody(name: str, who: str, why: str) -> None:
    signers = [f"not {who}" if each == who else each for each in KINDS[name].signers]
    assert decided(made(name, signers=signers)) == why


@pytest.mark.parametrize("name", NAMES)
def test_another_operators_technician_and_a_stranger_have_no_part_in_it(name: str) -> None:
    for stranger in ("tech-mea", "val"):
        assert decided(made(name, signers=(*KINDS[name].signers, stranger))) == "stranger-signed"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_for_one_network_and_comes_once(name: str) -> None:
    assert decided(made(name, network=bytes(32))) == "transaction-of-other-network"
    assert decided(made(name), made(name)) == "transaction-replayed"


@pytest.mark.parametrize("name", NAMES)
def test_no_block_may_carry_it_after_its_expiry(name: str) -> None:
    late = made(name, expiry_height=1)
    assert decided(late) == ""
    assert decided(made(name, nonce=bytes(16)), late) == "transaction-expired"


@pytest.mark.parametrize("name", BY_INTERVAL)
def test_it_holds_from_an_interval_that_has_not_begun_and_is_near(name: str) -> None:
    kind = KINDS[name]
    for from_s, why in (
        (starts(0), "from-has-passed"),
        (starts(2) + 1, "unfit-from"),
        (starts(36 * 96), "unfit-from"),
    ):
        assert decided(signed(kind.body(from_s), kind.signers)) == why


@pytest.mark.parametrize("name", BY_INTERVAL)
def test_of_one_thing_nothing_is_changed_before_what_was_changed_already(name: str) -> None:
    """Where the first change ends or takes the id the second finds that out; else the order."""
    later, earlier = made(name, 4), made(name, 3, nonce=bytes(16))
    words = {
        **dict.fromkeys(("enrol", "replace", "add meter"), "meter-id-taken"),
        **dict.fromkeys(("add gateway", "add technician", "add zone", "add unmetered"), "id-taken"),
        **dict.fromkeys((each for each in NAMES if each.startswith("rotate")), "key-taken"),
        "retire meter": "meter-not-registered",
    }
    assert decided(later, earlier) == words.get(name, "conflicting-change")


def test_a_key_is_called_compromised_once() -> None:
    again = made("compromise meter", nonce=bytes(16))
    assert decided(made("compromise meter"), again) == "already-compromised"


def test_a_change_must_fit_what_is_registered_later_too() -> None:
    """What was accepted for later holds: a zone cannot lose the line that a coming meter needs."""
    lines = [branch("bus", "n1"), branch("n1", "n2"), branch("n2", "n3"), branch("n3", "n4")]
    wider = signed(Entry("change-zone", Z1 | {"branches": lines}, starts(2)), ["PEA"])
    coming = Enrolment(
        GENESIS, from_s=starts(5), record={"node": "n4"}, entry={"node": "n4"}
    ).transaction()
    narrower = signed(Entry("change-zone", Z1, starts(3)), ["PEA"])
    after = signed(Entry("change-zone", Z1, starts(9)), ["PEA"])
    assert decided(coming) == "unfit-registry"
    assert decided(wider, coming) == ""
    assert decided(wider, coming, narrower) == "unfit-registry"
    assert decided(wider, coming, after) == "unfit-registry"
    assert decided(wider, narrower, coming) == "unfit-registry"


def test_an_id_and_a_key_are_never_used_again() -> None:
    ended = made("retire gateway")
    back = Entry("add-gateway", gateway_entry("gw-b"), starts(4))
    other = Entry("add-gateway", gateway_entry("gw-b") | {"id": "gw-d"}, starts(4))
    assert decided(ended, signed(back, ["PEA", "gw-b", "gw-b reader"])) == "id-taken"
    assert decided(ended, signed(other, ["PEA", "gw-b", "gw-b reader"])) == "key-taken"
    rotated = made("rotate witness")
    again = rotation("gw-a", "witness", starts(4), new="gw-a", old="new key")
    assert decided(rotated, signed(again, ["PEA"])) == "key-taken"


def test_a_technician_signs_from_the_registered_interval_on() -> None:
    village = administered_village()
    village.commit([], 0, [made("add technician", 2), made("retire technician", 3)])
    by_new = Enrolment(
        GENESIS,
        from_s=starts(9),
        signers=(NEW, "tech-2", "PEA"),
        record_signers=(signer(NEW), "tech-2"),
    ).transaction()
    by_old = Enrolment(GENESIS, from_s=starts(9)).transaction()
    found = [[refusal(village, each, slot) for slot in (0, 1, 2)] for each in (by_new, by_old)]
    no = "not-signed-by-technician"
    assert found == [[no, "", ""], ["", "", no]]


def test_a_compromised_technician_signs_nothing_from_the_next_block_on() -> None:
    village = administered_village()
    enrolment = Enrolment(GENESIS, from_s=starts(4)).transaction()
    village.commit([], 0, [made("compromise technician")])
    assert refusal(village, enrolment) == "not-signed-by-technician"


NEW_WITNESS = gateway_entry("gw-a") | {"witness_key": signer("new").public.text}


@pytest.mark.parametrize(
    ("holder", "entry", "signers"),
    [
        ("gw-a", Entry("change-gateway", NEW_WITNESS, starts(2)), ("PEA", "new")),
        (
            "c1",
            resiting(starts(2), key=signer("new").public.text),
            ("new", TECHNICIAN, "PEA"),
        ),
    ],
    ids=["gateway", "meter"],
)
def test_a_compromised_key_is_exchanged_without_its_signature(
    holder: str, entry: Any, signers: tuple[str, ...]
) -> None:
    role = "witness" if holder == "gw-a" else "meter"
    ended = signed(compromise(holder, role), ["PEA"])
    if role == "meter":  # The commissioning record is the new key's.
        body = Enrolment(
            GENESIS,
            meter=holder,
            key=signer("new"),
            from_s=starts(2),
            record={"node": "n2"},
            entry={"node": "n2"},
        ).body()
        entry = type(entry)(body.entry, body.from_s, body.commissioning)
    assert decided(ended, signed(entry, signers)) == ""
    assert decided(ended, signed(rotation(holder, role, starts(2)), ["PEA"])) == (
        "already-compromised"
    )
