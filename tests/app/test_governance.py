"""Which changes of validators, authorities and parameters stand: one case a rule.

Authorities EGAT, ERC, MEA, PEA; validators val-1 to val-4, one of each.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.village import BOOK, genesis, signer
from validator.app.application import Application
from validator.app.enrolment import Moment, RefusedTransaction
from validator.app.entries import Authority
from validator.app.governance import Registered, check_change
from validator.app.registry import BadRegistry
from validator.app.ruling import DELAY, Member, ParameterTable, Roll, Roster, Ruling, era_row
from wire.errors import Refused
from wire.governance import (
    AuthorityStep,
    ChangeAuthorities,
    ChangeParameters,
    ChangeValidators,
    Governing,
    ValidatorStep,
)
from wire.keys import PublicKey
from wire.results import REASONS
from wire.transaction import Transaction, payload_of

NETWORK = b"\x33" * 32
HEIGHT = 10
AUTHORITIES = ("EGAT", "ERC", "MEA", "PEA")
REGISTERED = Registered(frozenset({signer("gw-a").public.raw}), frozenset({"PEA"}))


def key(name: str) -> PublicKey:
    return signer(name).public


def member(number: int) -> Member:
    name = f"val-{number}"
    return Member(name, AUTHORITIES[(number - 1) % 4], key(name))


def ruling(validators: int = 4, authorities: Iterable[str] = AUTHORITIES) -> Ruling:
    members = sorted((member(number + 1) for number in range(validators)), key=lambda x: x.id)
    roll = tuple(Authority(name, "", "", key(name)) for name in sorted(authorities))
    parameters = {"deadline_intervals": 4, "block_interval_ms": 4_000}
    return Ruling((Roster(1, tuple(members)),), (Roll(1, roll),), (ParameterTable(1, parameters),))


@dataclass
class Case:
    """One change: right by default, wrong where a test makes it so."""

    body: Governing
    signers: tuple[str, ...] = ("EGAT", "ERC", "MEA")
    network: bytes = NETWORK
    expiry: int = 99
    nonce: int = 0

    def transaction(self) -> Transaction:
        nonce = bytes([self.nonce] * 16)
        found = Transaction.of(payload_of(self.network, nonce, self.expiry, self.body))
        for name in self.signers:
            found = found.with_signature(signer(name))
        return Transaction.open(found.encoded)

    def decide(self, state: Ruling, height: int = HEIGHT) -> Ruling:
        transaction = self.transaction()
        moment = Moment(NETWORK, height, 0)
        decision = check_change(state, transaction, moment, REGISTERED, BOOK)
        return state.with_next(decision.following, transaction.id, height)


def steps(state: Ruling, *found: ValidatorStep) -> ChangeValidators:
    return ChangeValidators(state.rosters[-1].hash, found)


def add(name: str, authority: str = "MEA", new: str = "") -> ValidatorStep:
    return ValidatorStep("add", name, authority, key(new or name))


def remove(name: str) -> ValidatorStep:
    return ValidatorStep("remove", name)


def rotate(name: str, new: str) -> ValidatorStep:
    return ValidatorStep("rotate", name, key=key(new))


def authorities(state: Ruling, *found: AuthorityStep) -> ChangeAuthorities:
    return ChangeAuthorities(state.rolls[-1].hash, found)


def reason_of(case: Case, state: Ruling, height: int = HEIGHT) -> str:
    with pytest.raises(RefusedTransaction) as caught:
        case.decide(state, height)
    return REASONS[caught.value.reason].name


def test_a_validator_joins_two_blocks_later_and_not_before() -> None:
    state = ruling()
    after = Case(steps(state, add("val-5")), ("EGAT", "ERC", "PEA", "val-5")).decide(state)
    before = state.rosters[0].validators
    assert [after.validators(h) == before for h in range(HEIGHT, HEIGHT + 4)] == [1, 1, 0, 0]
    assert after.validators(HEIGHT + DELAY).ids[-1] == "val-5"
    # It may be talked to from the block that decides it on.
    assert "val-5" in after.holders(HEIGHT)
    assert "val-5" not in state.holders(HEIGHT)


def test_who_leaves_may_observe_and_who_is_expelled_may_not() -> None:
    state = ruling(5)
    after = Case(steps(state, remove("val-5"))).decide(state)
    assert after.validators(HEIGHT + 2).index("val-5") is None
    assert "val-5" in after.holders(HEIGHT + 100)
    gone = Case(steps(after, ValidatorStep("expel", "val-5"))).decide(after, HEIGHT + 1)
    assert gone.validators(HEIGHT + 3) == after.validators(HEIGHT + 3)
    assert "val-5" not in gone.holders(HEIGHT + 3)
    at_once = Case(steps(state, ValidatorStep("expel", "val-5"))).decide(state)
    assert "val-5" in at_once.holders(HEIGHT + 1)
    assert "val-5" not in at_once.holders(HEIGHT + 2)


def test_a_rotation_keeps_the_validator_and_both_keys_are_known_meanwhile() -> None:
    state = ruling()
    after = Case(steps(state, rotate("val-2", "second")), ("EGAT", "ERC", "MEA", "second")).decide(
        state
    )
    assert after.validators(HEIGHT + 2).key("val-2") == key("second")
    assert [each.key for each in after.holders(HEIGHT)["val-2"]] == [key("val-2"), key("second")]
    assert [each.key for each in after.holders(HEIGHT + 2)["val-2"]] == [key("second")]
    assert after.roster(HEIGHT + 2).members[1].authority == "ERC"


def test_a_replacement_is_an_addition_and_then_a_removal() -> None:
    state = ruling()
    grown = Case(steps(state, add("val-5")), ("EGAT", "ERC", "MEA", "val-5")).decide(state)
    shrunk = Case(steps(grown, remove("val-1"))).decide(grown, HEIGHT + 1)
    assert shrunk.validators(HEIGHT + 2).ids == ("val-1", "val-2", "val-3", "val-4", "val-5")
    assert shrunk.validators(HEIGHT + 3).ids == ("val-2", "val-3", "val-4", "val-5")


def test_one_that_has_left_comes_back_with_another_key() -> None:
    state = ruling(5)
    left = Case(steps(state, remove("val-5"))).decide(state)
    again = steps(left, add("val-5", new="fresh"))
    back = Case(again, ("EGAT", "ERC", "MEA", "fresh")).decide(left, HEIGHT + 1)
    assert back.validators(HEIGHT + 3).key("val-5") == key("fresh")
    assert back.roster(HEIGHT + 3).observers == ()


SMALL, FIVE, SEVEN = ruling(1), ruling(5), ruling(7)
FOUR = ruling()
JOIN = Case(steps(FOUR, add("val-5")), ("EGAT", "ERC", "MEA", "val-5"))
REFUSED: list[tuple[str, Ruling, Case, str]] = [
    ("another network", FOUR, replace(JOIN, network=bytes(32)), "transaction-of-other-network"),
    ("too late", FOUR, replace(JOIN, expiry=HEIGHT - 1), "transaction-expired"),
    (
        "made for another set",
        FOUR,
        replace(JOIN, body=ChangeValidators(FIVE.rosters[0].hash, (add("val-5"),))),
        "stale-base",
    ),
    ("two authorities of four", FOUR, replace(JOIN, signers=("EGAT", "ERC", "val-5")), "few-auth"),
    (
        "validators' hot keys count nothing",
        FOUR,
        replace(JOIN, signers=("EGAT", "ERC", "val-1", "val-2", "val-3", "val-5")),
        "few-auth",
    ),
    ("the new key is silent", FOUR, replace(JOIN, signers=AUTHORITIES), "not-signed-by-new-key"),
    (
        "a stranger",
        FOUR,
        replace(JOIN, signers=(*JOIN.signers, "nobody")),
        "stranger-signed",
    ),
    (
        "two of four at once",
        FOUR,
        Case(steps(FOUR, remove("val-1"), add("val-5")), JOIN.signers),
        "too-many-at-once",
    ),
    (
        "three of seven at once",
        SEVEN,
        Case(steps(SEVEN, *(remove(f"val-{n}") for n in (1, 2, 3)))),
        "too-many-at-once",
    ),
    ("below four", FOUR, Case(steps(FOUR, remove("val-1"))), "too-few-left"),
    ("the last one", SMALL, Case(steps(SMALL, remove("val-1"))), "too-few-left"),
    ("it is there already", FOUR, Case(steps(FOUR, add("val-1"))), "member-taken"),
    ("nobody of that name", FIVE, Case(steps(FIVE, remove("val-9"))), "unknown-member"),
    (
        "no such authority",
        FOUR,
        replace(JOIN, body=steps(FOUR, add("val-5", "XYZ"))),
        "unknown-mem",
    ),
    ("a validator's key", FOUR, Case(steps(FOUR, add("val-5", new="val-1"))), "key-taken"),
    ("an authority's key", FOUR, Case(steps(FOUR, add("val-5", new="ERC"))), "key-taken"),
    ("a gateway's key", FOUR, Case(steps(FOUR, rotate("val-1", "gw-a"))), "key-taken"),
    (
        "one key for two",
        SEVEN,
        Case(steps(SEVEN, add("val-8", new="x"), add("val-9", new="x"))),
        "key-taken",
    ),
    (
        "revoking an authority that runs a validator",
        FOUR,
        Case(authorities(FOUR, AuthorityStep("revoke", "EGAT"))),
        "authority-in-use",
    ),
    (
        "an authority that is there",
        FOUR,
        Case(authorities(FOUR, AuthorityStep("add", "EGAT", key=key("x")))),
        "member-taken",
    ),
    (
        "an authority that is not",
        FOUR,
        Case(authorities(FOUR, AuthorityStep("rotate", "XYZ", key=key("x")))),
        "unknown-member",
    ),
    (
        "an authority with a validator's key",
        FOUR,
        Case(authorities(FOUR, AuthorityStep("rotate", "PEA", key=key("val-1")))),
        "key-taken",
    ),
    *(
        (words, FOUR, Case(ChangeParameters(FOUR.tables[0].hash, (value,))), "unfit-parameters")
        for words, value in (
            ("what a reading is", ("interval_s", 1_800)),
            ("an unknown parameter", ("no_such", 1)),
            ("privacy", ("open_readings", 1)),
            ("a rule's range", ("class_k_den", 0)),
            ("a block every millisecond", ("block_interval_ms", 1)),
            ("what holds already", ("deadline_intervals", 4)),
        )
    ),
]


@pytest.mark.parametrize(
    ("state", "case", "words"),
    [(state, case, words) for _, state, case, words in REFUSED],
    ids=[name for name, *_ in REFUSED],
)
def test_a_change_that_does_not_stand_is_refused_by_name(
    state: Ruling, case: Case, words: str
) -> None:
    assert words in reason_of(case, state)


def test_a_change_is_taken_once() -> None:
    """Even when the set comes back to what it was: the nonce has been used."""
    state = ruling(5)
    leaves = Case(steps(state, remove("val-5")))
    grown = leaves.decide(state)
    assert reason_of(leaves, grown, HEIGHT + 1) == "transaction-replayed"
    second = replace(leaves, nonce=1)
    assert reason_of(second, grown, HEIGHT + 1) == "stale-base"


def test_two_changes_in_one_block_do_not_compose() -> None:
    state = ruling(7)
    first = Case(steps(state, remove("val-1"), remove("val-2"))).decide(state)
    second = Case(steps(first, remove("val-3"), remove("val-4")))
    assert reason_of(second, first) == "another-in-block"
    # A change of something else may stand beside it.
    values = (("block_interval_ms", 2_000),)
    beside = Case(ChangeParameters(first.tables[-1].hash, values)).decide(first)
    assert beside.table(HEIGHT + 1).values["block_interval_ms"] == 4_000
    assert beside.table(HEIGHT + 2).values["block_interval_ms"] == 2_000


def test_an_authority_is_pending_then_active_and_once_revoked_for_ever() -> None:
    state = ruling(4, (*AUTHORITIES, "SPP"))
    body = authorities(state, AuthorityStep("add", "NEW", "New", "SPP", key("NEW")))
    four = ("EGAT", "ERC", "MEA", "PEA")
    after = Case(body, (*four, "NEW")).decide(state)
    assert [after.standing("NEW", HEIGHT + n) for n in (1, 2)] == ["pending", "active"]
    # Its key counts from then on, and not before.
    gone = authorities(after, AuthorityStep("revoke", "SPP"))
    early = Case(gone, ("EGAT", "ERC", "MEA", "NEW"))
    assert reason_of(early, after, HEIGHT + 1) == "too-few-authorities"
    less = early.decide(after, HEIGHT + 2)
    assert less.standing("SPP", HEIGHT + 4) == "revoked"
    again = authorities(less, AuthorityStep("add", "SPP", key=key("other")))
    assert reason_of(Case(again, (*four, "other")), less, HEIGHT + 4) == "member-taken"


def test_an_old_key_of_an_authority_counts_until_the_new_one_does() -> None:
    state = ruling()
    rolled = authorities(state, AuthorityStep("rotate", "EGAT", key=key("EGAT 2")))
    after = Case(rolled, ("EGAT", "ERC", "MEA", "EGAT 2")).decide(state)
    join = Case(steps(after, add("val-5")), ("EGAT", "ERC", "MEA", "val-5"))
    assert join.decide(after, HEIGHT + 1).validators(HEIGHT + 3).ids[-1] == "val-5"
    assert reason_of(join, after, HEIGHT + 2) == "too-few-authorities"
    renewed = replace(join, signers=("EGAT 2", "ERC", "MEA", "val-5"))
    assert renewed.decide(after, HEIGHT + 2).validators(HEIGHT + 4).ids[-1] == "val-5"


def test_what_the_rows_tell_is_what_was_decided() -> None:
    state = ruling()
    after = Case(steps(state, add("val-5")), JOIN.signers).decide(state)
    after = Case(steps(after, remove("val-5"))).decide(after, HEIGHT + 1)
    values = (("deadline_intervals", 8),)
    after = Case(ChangeParameters(after.tables[-1].hash, values)).decide(after)
    rolled = authorities(after, AuthorityStep("rotate", "EGAT", key=key("EGAT 2")))
    after = Case(rolled, ("EGAT", "ERC", "MEA", "EGAT 2")).decide(after)
    eras: list[Any] = [*after.rosters[1:], *after.rolls[1:], *after.tables[1:]]
    rows = sorted((era_row(era), era.packed()) for era in eras)
    told = [(name, at.to_bytes(8, "big")) for name, at in after.decided.items()]
    assert state.restored(rows, told) == after


names = st.sampled_from([f"val-{number}" for number in range(1, 12)])
verbs = st.sampled_from([add, remove, lambda name: rotate(name, f"{name} 2")])
history = st.lists(st.lists(st.tuples(verbs, names), min_size=1, max_size=4), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), history)
def test_whatever_is_decided_adjacent_sets_differ_by_f_at_most_and_four_are_left(
    count: int, tried: list[list[tuple[Callable[[str], ValidatorStep], str]]]
) -> None:
    state = ruling(count)
    for height, wanted in enumerate(tried, HEIGHT):
        body = steps(state, *(verb(name) for verb, name in wanted))
        new = [f"{step.id} 2" if step.verb == "rotate" else step.id for step in body.steps]
        keys = [name for name in dict.fromkeys(new) if key(name) in {s.key for s in body.steps}]
        case = Case(body, ("EGAT", "ERC", "MEA", *keys), nonce=height)
        try:
            state = case.decide(state, height)
        except Refused:  # One id in two steps is no body at all.
            continue
    for before, after in zip(state.rosters, state.rosters[1:], strict=False):
        one, other = set(before.validators.members), set(after.validators.members)
        most = max(1, before.validators.faulty)
        assert max(len(one - other), len(other - one)) <= most
        assert len(other) >= min(4, len(one))
        assert after.first > before.first


def test_a_network_does_not_begin_with_one_key_for_deciding_and_voting() -> None:
    def shared(content: dict[str, Any]) -> None:
        content["authorities"][0]["key"] = content["validators"][0]["key"]

    with pytest.raises(BadRegistry, match="a validator's"):
        Application(genesis(shared))


def test_a_strangers_change_never_goes_through_the_whole_registry() -> None:
    """Anybody may ask twenty times a second, and a network may have a hundred thousand keys."""

    class LookedUp(frozenset[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("every key was looked at")

    state = ruling()
    case, moment = Case(steps(state, add("val-5")), ("stranger",)), Moment(NETWORK, HEIGHT, 0)
    for keys, reason in ((LookedUp(), 92), (LookedUp([key("val-5").raw]), 70)):
        with pytest.raises(RefusedTransaction) as caught:
            check_change(state, case.transaction(), moment, Registered(keys, ()), BOOK)
        assert caught.value.reason == reason
