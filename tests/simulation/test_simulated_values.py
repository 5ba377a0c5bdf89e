"""Which simulated block may follow which chain."""

from dataclasses import replace

import pytest

from validator.consensus.effects import Commit as Final
from validator.consensus.messages import Commit
from validator.simulation.marks import is_final, sign
from validator.simulation.runs import validators
from validator.simulation.values import GENESIS, Value, follows, is_timely, next_value
from wire.block import Commit as BlockCommit

FOUR = validators(4)
SENT = {f"t{number}" for number in range(40)}


def final(value: Value, sealers: int = 3) -> Final:
    seals = tuple(
        (index, sign(Commit(value.height, 0, FOUR.ids[index], value.digest)).signature)
        for index in range(sealers)
    )
    return Final(value.digest, value.encoded, BlockCommit(0, value.digest, seals))


FIRST = next_value("v000", (), 5_000, ("t1",))
CHAIN = (final(FIRST),)
SECOND = next_value("v001", CHAIN, 6_000, ("t2", "t3"))


def fits(value: Value) -> bool:
    return follows(value, CHAIN, FOUR, {"t1"}, SENT)


def test_the_next_value_follows() -> None:
    assert follows(FIRST, (), FOUR, set(), SENT)
    assert fits(SECOND)
    assert Value.decode(SECOND.encoded) == SECOND
    assert next_value("v001", CHAIN, 1, ()).time_ms == 5_001


@pytest.mark.parametrize(
    "change",
    [
        {"maker": "v009"},
        {"height": 3},
        {"time_ms": 5_000},
        {"parent": GENESIS},
        {"parent_commit": b""},
        {"parent_commit": final(FIRST, 2).commit.encoded},
        {"parent_commit": b"\xff"},
        {"transactions": ("t1",)},
        {"transactions": ("t2", "t2")},
        {"transactions": ("forged",)},
        {"transactions": tuple(f"t{number}" for number in range(2, 23))},
    ],
)
def test_what_breaks_one_rule_does_not_follow(change: dict[str, object]) -> None:
    assert not fits(replace(SECOND, **change))  # type: ignore[arg-type]


def test_a_first_block_has_no_parent_commit() -> None:
    assert not follows(replace(FIRST, parent_commit=CHAIN[0].commit.encoded), (), FOUR, set(), SENT)


def test_a_time_is_near_the_clock() -> None:
    assert is_timely(SECOND, 5_500)
    assert not is_timely(SECOND, 5_499)
    assert is_timely(SECOND, 21_500)
    assert not is_timely(SECOND, 21_501)


def test_seals_are_of_distinct_validators() -> None:
    good = CHAIN[0].commit
    assert is_final(good, FOUR, 1)
    assert not is_final(good, FOUR, 2)
    assert not is_final(replace(good, seals=(*good.seals[:2], good.seals[0])), FOUR, 1)
    assert not is_final(replace(good, seals=(*good.seals, good.seals[0])), FOUR, 1)
    assert not is_final(replace(good, seals=((9, good.seals[0][1]), *good.seals)), FOUR, 1)


@pytest.mark.parametrize("data", [b"", b"\xff", b"a/b", b"a/b/c/d/e/f", b"a/1/2/zz/00/"])
def test_what_is_no_block_is_not_read(data: bytes) -> None:
    assert Value.decode(data) is None
