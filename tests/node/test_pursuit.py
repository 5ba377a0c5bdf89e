"""Whom a validator asks for the blocks it has missed, by a clock that tests set."""

from validator.node.pursuit import (
    FIRST_BYTES,
    FORGIVEN_S,
    GRACE_S,
    LEAST_BYTES,
    LONGEST_PATIENCE_S,
    LONGEST_PAUSE_S,
    MOST_BYTES,
    PATIENCE_S,
    Pursuit,
)

START_S = 1_000.0
ALL = ("a", "b", "c")


def behind(**claims: int) -> Pursuit:
    pursuit = Pursuit(1)
    for name, height in claims.items():
        pursuit.claim(name, height)
    return pursuit


def asked(pursuit: Pursuit, tip: int, now_s: float = START_S) -> str | None:
    question = pursuit.next(tip, ALL, now_s)
    return None if question is None else question.peer


def test_who_is_level_asks_nobody() -> None:
    pursuit = behind(a=7, b=3)
    assert asked(pursuit, 7) is None
    assert not pursuit.is_behind(7, ALL)


def test_only_who_claims_more_and_can_be_reached_is_asked() -> None:
    pursuit = behind(a=7, b=90, c=90)
    assert pursuit.is_behind(7, ALL)
    assert not pursuit.is_behind(7, ("a",))
    question = pursuit.next(7, ("a", "c"), START_S)
    assert question is not None
    assert (question.peer, question.first, question.most_bytes) == ("c", 8, FIRST_BYTES)
    assert question.patience_s == PATIENCE_S


def test_of_one_block_it_is_waited_for_the_own_commit_first() -> None:
    pursuit = behind(a=8)
    assert asked(pursuit, 7) is None
    assert asked(pursuit, 7, START_S + GRACE_S / 2) is None
    assert asked(pursuit, 7, START_S + GRACE_S) == "a"


def test_each_is_tried_once_and_then_the_fastest_is_asked() -> None:
    pursuit, tried = behind(a=90, b=90, c=90), []
    for tip, waited_s in ((7, 0.5), (8, 0.1), (9, 0.9)):
        name = asked(pursuit, tip)
        assert name is not None
        tried.append(name)
        pursuit.delivered(name, 1, waited_s)
    assert tried == ["a", "b", "c"]
    assert asked(pursuit, 10) == "b"
    pursuit.delivered("b", 1, 0.8)
    assert asked(pursuit, 11) == "a"


def test_a_liar_is_asked_once_while_anyone_else_can_be() -> None:
    pursuit, now_s, tip = behind(a=2**60, b=900, c=900), START_S, 0
    found = []
    while tip < 900:
        name = asked(pursuit, tip, now_s)
        assert name is not None
        found.append(name)
        if name == "a":
            pursuit.failed("a", now_s, late=True)
            now_s += PATIENCE_S
        else:
            pursuit.delivered(name, 10, 0.1)
            tip += 10
        pursuit.claim("a", 2**60)  # It goes on claiming.
    assert found.count("a") == 1


def test_a_liar_that_delivers_now_and_then_is_no_better_for_it() -> None:
    pursuit = behind(a=900, b=900)
    pursuit.delivered("a", 1, 0.1)
    pursuit.failed("a", START_S, late=True)
    assert asked(pursuit, 1) == "b"
    pursuit.delivered("b", 1, 0.9)
    pursuit.delivered("a", 1, 0.1)
    assert asked(pursuit, 3) == "b"
    assert asked(pursuit, 3, START_S + FORGIVEN_S + 1) == "a"


def test_a_lonely_liar_is_asked_less_and_less() -> None:
    pursuit, now_s = behind(a=2**60), START_S
    pauses = []
    for _ in range(12):
        pursuit.failed("a", now_s, late=True)
        started_s = now_s
        while asked(pursuit, 0, now_s) is None:
            now_s += 0.25
        pauses.append(now_s - started_s)
    assert pauses == sorted(pauses)
    assert max(pauses) == LONGEST_PAUSE_S


def test_when_everyone_is_late_less_is_asked_for_and_waited_longer() -> None:
    pursuit, now_s = behind(a=90, b=90), START_S
    for _ in range(10):
        for name in ("a", "b"):
            pursuit.failed(name, now_s, late=True)
    question = pursuit.next(0, ALL, now_s + LONGEST_PAUSE_S)
    assert question is not None
    assert (question.most_bytes, question.patience_s) == (LEAST_BYTES, LONGEST_PATIENCE_S)


def test_one_late_answer_of_many_does_not_make_one_wait_longer() -> None:
    pursuit = behind(a=90, b=90)
    pursuit.failed("a", START_S, late=True)
    question = pursuit.next(0, ALL, START_S)
    assert question is not None
    assert question.patience_s == PATIENCE_S


def test_answers_in_time_grow_to_a_bound() -> None:
    pursuit = behind(a=90)
    for _ in range(20):
        pursuit.delivered("a", 1, 0.1)
    question = pursuit.next(0, ALL, START_S)
    assert question is not None
    assert question.most_bytes == MOST_BYTES


def test_the_target_is_what_at_least_one_honest_validator_tells() -> None:
    assert Pursuit(1).target(5) == 5
    assert behind(a=2**60, b=90, c=80).target(7) == 90
    assert behind(a=2**60).target(7) == 2**60
    assert behind(a=3, b=2).target(7) == 7
