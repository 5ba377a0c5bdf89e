"""What is asked next on a bus: the living first, the moment of reading before records."""

from gateway.schedule import (
    DEAD_AFTER,
    FIRST_LOOK_S,
    GRACE_S,
    LATEST_READ_MS,
    MOST_BACKOFF_S,
    Ask,
    BusSchedule,
    Health,
    Missed,
    Purpose,
    Rest,
)
from tests.gateway.street import START_S

NOW_MS = START_S * 1000 + 50


def schedule_of(*names: str) -> BusSchedule:
    """Meters whose names begin with `s` sign; all are known to answer."""
    schedule = BusSchedule()
    for name in names:
        schedule.add(name, name.startswith("s"), -1)
        schedule.clean(name)
    return schedule


def ask(schedule: BusSchedule, real_s: float = 0.0, now_ms: int = NOW_MS) -> Ask:
    step = schedule.next(now_ms, real_s)
    assert isinstance(step, Ask), step
    return step


def test_a_meter_is_fenced_before_it_is_first_believed() -> None:
    schedule = BusSchedule()
    schedule.add("m1", False, -1)
    assert ask(schedule).purpose is Purpose.FENCE
    schedule.clean("m1")
    assert ask(schedule) == Ask("m1", Purpose.BOUNDARY, START_S)


def test_a_meter_is_fenced_again_after_every_failure() -> None:
    schedule = schedule_of("m1")
    schedule.failed("m1", 0.0)
    assert ask(schedule).purpose is Purpose.FENCE


def test_registers_are_read_before_records_and_each_once_a_boundary() -> None:
    schedule = schedule_of("s1", "m1", "m2")
    order = []
    for _ in range(3):
        step = ask(schedule)
        order.append((step.meter, step.purpose))
        schedule.done(step.meter, step.boundary_s)
    assert order == [
        ("m1", Purpose.BOUNDARY),
        ("m2", Purpose.BOUNDARY),
        ("s1", Purpose.RECORDS),
    ]
    assert schedule.next(NOW_MS, 0.0) == Rest((START_S + 900) * 1000, MOST_BACKOFF_S)
    assert ask(schedule, now_ms=NOW_MS + 900_000).boundary_s == START_S + 900


def test_a_boundary_that_is_long_past_is_missed_and_not_guessed() -> None:
    schedule = schedule_of("m1")
    late_ms = START_S * 1000 + LATEST_READ_MS + 1
    assert schedule.next(late_ms, 0.0) == Missed("m1", START_S)


def test_the_dead_are_probed_ever_more_seldom_and_only_when_nothing_else_is_due() -> None:
    schedule = schedule_of("dead", "m1")
    for _ in range(DEAD_AFTER):
        schedule.failed("dead", 0.0)
    assert schedule.health("dead") is Health.DEAD
    assert ask(schedule, real_s=100.0).meter == "m1"
    schedule.done("m1", START_S)
    pauses, now_s = [], 0.0
    for _ in range(9):
        step = schedule.next(NOW_MS, now_s)
        assert isinstance(step, Rest)
        pauses.append(step.at_most_s)
        now_s += step.at_most_s
        assert ask(schedule, now_s) == Ask("dead", Purpose.FENCE, START_S)
        schedule.failed("dead", now_s)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_one_clean_answer_brings_a_dead_meter_back() -> None:
    schedule = schedule_of("m1")
    for _ in range(5):
        schedule.failed("m1", 0.0)
    schedule.clean("m1")
    assert schedule.health("m1") is Health.LIVE
    assert ask(schedule).purpose is Purpose.BOUNDARY


def test_a_record_that_is_not_closed_yet_is_looked_for_soon_again() -> None:
    schedule = schedule_of("s1")
    schedule.not_yet("s1", 10.0)
    step = schedule.next(NOW_MS, 10.0)
    assert isinstance(step, Rest)
    assert abs(step.at_most_s - FIRST_LOOK_S) < 1e-9
    assert ask(schedule, 10.0 + FIRST_LOOK_S).purpose is Purpose.RECORDS


def test_only_the_living_are_waited_for() -> None:
    schedule = schedule_of("m1", "s1")
    schedule.done("m1", START_S)
    assert sorted(schedule.finished_boundaries(0.0)) == [-1, START_S]
    schedule.not_yet("s1", 0.0)
    assert list(schedule.finished_boundaries(GRACE_S)) == [START_S]
    schedule.failed("s1", 0.0)
    schedule.failed("s1", 0.0)
    assert list(schedule.finished_boundaries(0.0)) == [START_S]


def test_a_meter_of_which_nothing_is_known_yet_is_waited_for() -> None:
    schedule = BusSchedule()
    schedule.add("m1", False, START_S - 900)
    assert list(schedule.finished_boundaries(0.0)) == [START_S - 900]
    for _ in range(DEAD_AFTER):
        schedule.failed("m1", 0.0)
    assert list(schedule.finished_boundaries(0.0)) == []
