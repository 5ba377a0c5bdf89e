"""What one validator may cost another, and what follows from more: by a clock that tests set."""

import pytest

from validator.node.conduct import (
    BYTES,
    CONNECTIONS,
    FORGIVEN_S,
    FRAMES,
    FULL,
    LIE,
    LONGEST_QUIET_S,
    LONGEST_SHUT_S,
    LOOK_UP_BYTES,
    QUIET_S,
    RECOVERY_PER_S,
    SHUT_S,
    UNASKED,
    WRONG,
    Bucket,
    Conduct,
)
from validator.node.frames import KINDS, RATES, Rate

START_S = 1_000.0


@pytest.fixture
def conduct() -> Conduct:
    return Conduct()


def flood(conduct: Conduct, kind: str, count: int, now_s: float = START_S) -> int:
    """Frames of a flood that were let through."""
    return sum(conduct.admits(KINDS[kind], now_s) for _ in range(count))


def test_a_bucket_gives_what_is_in_it_and_refills_with_time() -> None:
    bucket = Bucket(Rate(10, 100))
    assert bucket.take(100, START_S)
    assert not bucket.take(1, START_S)
    assert not bucket.take(11, START_S + 1)
    assert bucket.take(10, START_S + 1)
    assert bucket.take(100, START_S + 1_000)


def test_debt_is_paid_by_waiting() -> None:
    bucket = Bucket(Rate(10, 100))
    assert bucket.spend(100, START_S) == 0
    assert bucket.spend(50, START_S) == 5
    assert bucket.owes(START_S + 4.9)
    assert not bucket.owes(START_S + 5)


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.rate])
def test_so_much_comes_at_once_and_so_much_each_second(conduct: Conduct, kind: str) -> None:
    rate, cost = RATES[KINDS[kind].rate], KINDS[kind].cost
    assert flood(conduct, kind, 10_000) == rate.at_once // cost
    later_s = START_S + 10_000  # All pauses are over.
    flood(conduct, kind, 10_000, later_s)
    if conduct.quiet_s(later_s) and kind.startswith("get-"):
        later_s += conduct.quiet_s(later_s)
        assert flood(conduct, kind, 10_000, later_s) == rate.at_once // cost
    else:
        assert flood(conduct, kind, 10_000, later_s + 1) == rate.per_s // cost


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.rate])
def test_votes_pass_whatever_else_is_too_much(conduct: Conduct, kind: str) -> None:
    flood(conduct, kind, 20_000)
    for name in ("prepare", "commit", "proposal", "round-change", "status"):
        if KINDS[name].rate != KINDS[kind].rate:
            assert conduct.admits(KINDS[name], START_S)
    assert conduct.shut_s(START_S) == 0


def test_a_flood_of_votes_never_silences_the_votes_that_follow_it(conduct: Conduct) -> None:
    for second in range(100):
        flood(conduct, "prepare", 5_000, START_S + second)
    assert conduct.quiet_s(START_S + 100)
    assert flood(conduct, "prepare", 400, START_S + 101) == 400


def test_who_asks_too_much_is_heard_for_votes_only_for_longer_each_time(conduct: Conduct) -> None:
    now_s, pauses = START_S, []
    for _ in range(7):
        flood(conduct, "get-batch", 5_000, now_s)
        pauses.append(conduct.quiet_s(now_s))
        assert flood(conduct, "get-batch", 10, now_s + pauses[-1] - 0.1) == 0
        assert flood(conduct, "transaction", 10, now_s + pauses[-1] - 0.1) == 0
        now_s += pauses[-1]
    assert pauses == [min(LONGEST_QUIET_S, QUIET_S * 2**number) for number in range(7)]
    assert conduct.why == "too many get-batch"


def test_answers_to_own_questions_are_read_even_then(conduct: Conduct) -> None:
    flood(conduct, "get-batch", 5_000)
    conduct.sends(KINDS["get-block"], 40, START_S)
    assert flood(conduct, "block", 2) == 1


def test_an_answer_is_read_once_for_each_question_and_for_a_minute(conduct: Conduct) -> None:
    assert flood(conduct, "batch", 1) == 0
    for _ in range(3):
        conduct.sends(KINDS["get-batch"], 40, START_S)
    assert flood(conduct, "final", 1) == 0
    assert flood(conduct, "batch", 2) == 2
    assert flood(conduct, "batch", 1, START_S + 61) == 0
    assert conduct.score(START_S + 61) == FULL - UNASKED


def test_questions_without_answer_leave_no_room_for_a_flood_of_answers(conduct: Conduct) -> None:
    for _ in range(100_000):
        conduct.sends(KINDS["get-final"], 40, START_S)
    assert flood(conduct, "final", 100_000) == 256


def test_the_score_recovers_with_time(conduct: Conduct) -> None:
    for _ in range(3):
        assert not conduct.blame(WRONG, "wrong", START_S)
    assert conduct.score(START_S) == FULL - 3 * WRONG
    assert conduct.score(START_S + 10) == FULL - 3 * WRONG + 10 * RECOVERY_PER_S
    assert conduct.score(START_S + 1_000) == FULL
    assert conduct.quiet_s(START_S) == 0


def test_a_busy_validator_that_now_and_then_fails_is_never_punished(conduct: Conduct) -> None:
    for minute in range(100):
        for _ in range(3):
            conduct.blame(LIE, "late", START_S + 60 * minute)
        assert conduct.quiet_s(START_S + 60 * minute) == 0


def test_the_first_nonsense_costs_a_connection_the_next_ones_pauses_that_grow(
    conduct: Conduct,
) -> None:
    found, now_s = [], START_S
    for _ in range(9):
        conduct.nonsense("no frame", now_s)
        found.append(conduct.shut_s(now_s))
        assert conduct.may_connect(now_s) == (not found[-1])
        now_s += found[-1]
    assert found == [0, *(min(LONGEST_SHUT_S, SHUT_S * 2**number) for number in range(8))]
    conduct.nonsense("no frame", now_s + 9 * FORGIVEN_S)
    assert conduct.shut_s(now_s + 9 * FORGIVEN_S) == 0


def test_who_connects_again_and_again_has_to_wait(conduct: Conduct) -> None:
    assert sum(conduct.may_connect(START_S) for _ in range(100)) == CONNECTIONS.at_once
    assert conduct.may_connect(START_S + 1 / CONNECTIONS.per_s)


def test_who_sends_more_than_can_be_read_waits_for_it(conduct: Conduct) -> None:
    frames = int(FRAMES.at_once)
    assert all(conduct.pace(64, START_S) == 0 for _ in range(frames))
    assert conduct.pace(64, START_S) == 1 / FRAMES.per_s
    other = Conduct()
    assert other.pace(int(BYTES.at_once), START_S) == 0
    assert other.pace(int(BYTES.per_s), START_S) == 1


def test_answers_cost_the_askers_budget_and_votes_nothing(conduct: Conduct) -> None:
    conduct.sends(KINDS["proposal"], 2**40, START_S)
    assert conduct.may_be_answered(START_S)
    conduct.sends(KINDS["final"], int(BYTES.at_once) + 1, START_S)
    assert not conduct.may_be_answered(START_S)
    assert conduct.may_be_answered(START_S + 1)


def test_small_blocks_cost_the_asker_as_well(conduct: Conduct) -> None:
    blocks = int(BYTES.at_once) // LOOK_UP_BYTES
    conduct.looks_up(blocks, START_S)
    assert conduct.may_be_answered(START_S)
    conduct.looks_up(256, START_S)
    assert not conduct.may_be_answered(START_S)
    assert conduct.may_be_answered(START_S + 1)


def test_what_passes_is_counted_by_kind(conduct: Conduct) -> None:
    conduct.sends(KINDS["status"], 10, START_S)
    flood(conduct, "batch", 7)
    assert (conduct.traffic.sent["status"], conduct.traffic.left["batch"]) == (10, 7)
