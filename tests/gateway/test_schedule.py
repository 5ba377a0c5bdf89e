"""What is asked next on a bus: the living first, the moment of reading before records."""

from gateway.polling.schedule import (
    DEAD_AFTER,
    FIRST_LOOK_S,
    GRACE_S,
    LATEST_READ_MS,
    MOST_BACKOFF_S,
    MOST_BUSY,
    MOST_DOWN_S,
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


def test_garbage_is_borne_three_times_as_long_as_silence() -> None:
    schedule = schedule_of("m1")
    for _ in range(3 * DEAD_AFTER - 1):
        schedule.failed("m1", 0.0, silent=False)
    assert schedule.health("m1") is Health.LIVE
    schedule.failed("m1", 0.0, silent=False)
    assert schedule.health("m1") is Health.DEAD


def test_who_failed_is_asked_again_after_the_others_and_before_any_records() -> None:
    schedule = schedule_of("m1", "m2", "s1")
    schedule.failed("m1", 0.0)
    order = []
    for _ in range(4):
        step = ask(schedule)
        order.append((step.meter, step.purpose))
        if step.purpose is Purpose.FENCE:
            schedule.clean(step.meter)
        else:
            schedule.done(step.meter, step.boundary_s)
    assert order == [
        ("m2", Purpose.BOUNDARY),
        ("m1", Purpose.FENCE),
        ("m1", Purpose.BOUNDARY),
        ("s1", Purpose.RECORDS),
    ]


def test_no_probe_is_begun_that_the_next_boundary_would_find_on_the_line() -> None:
    schedule = BusSchedule(1_500)
    for name in ("dead", "m1"):
        schedule.add(name, False, START_S)
        schedule.clean(name)
    schedule.failed("dead", 0.0)
    schedule.failed("dead", 0.0)
    boundary_ms = (START_S + 900) * 1000
    early = schedule.next(boundary_ms - 1_600, 90.0)
    assert early == Ask("dead", Purpose.FENCE, START_S)
    assert isinstance(schedule.next(boundary_ms - 1_400, 90.0), Rest)
    assert not schedule.time_for_more(boundary_ms - 1_400)
    assert ask(schedule, 90.0, boundary_ms).meter == "m1"


def test_a_refusing_meter_is_asked_again_with_back_off_and_at_each_boundary() -> None:
    schedule = schedule_of("m1")
    schedule.refused("m1", 0.0)
    assert schedule.health("m1") is Health.REFUSING
    assert isinstance(schedule.next(NOW_MS, 0.9), Rest)
    assert ask(schedule, 1.0).purpose is Purpose.BOUNDARY
    late_ms = START_S * 1000 + LATEST_READ_MS + 1
    assert schedule.next(late_ms, 100.0) == Missed("m1", START_S)
    schedule.missed("m1", START_S)
    assert isinstance(schedule.next(late_ms, 101.0), Rest)
    assert ask(schedule, 999.0, NOW_MS + 900_000).purpose is Purpose.BOUNDARY
    schedule.done("m1", START_S + 900)
    assert schedule.health("m1") is Health.LIVE


def test_a_meter_that_is_busy_all_the_time_counts_as_refusing() -> None:
    schedule = schedule_of("m1", "m2")
    schedule.busy("m1", 0.0)
    assert ask(schedule).meter == "m2"
    for number in range(MOST_BUSY):
        schedule.busy("m1", float(number))
    assert schedule.health("m1") is Health.REFUSING


def test_a_held_meter_that_cannot_sign_is_looked_at_once_a_boundary() -> None:
    schedule = schedule_of("m1")
    schedule.held("m1", 0.0)
    late_ms = START_S * 1000 + LATEST_READ_MS + 1
    assert schedule.next(late_ms, 100.0) == Missed("m1", START_S)
    schedule.missed("m1", START_S)
    assert isinstance(schedule.next(late_ms, 101.0), Rest)
    assert ask(schedule, 999.0, NOW_MS + 900_000).meter == "m1"


def test_a_line_that_is_down_is_tried_ever_more_seldom_and_then_all_at_once() -> None:
    schedule = schedule_of("m1", "s1")
    pauses, now_s = [], 0.0
    for _ in range(6):
        schedule.down(now_s)
        assert schedule.all_dead()
        step = schedule.next(NOW_MS, now_s)
        assert isinstance(step, Rest)
        pauses.append(step.at_most_s)
        now_s += step.at_most_s
    assert pauses == [0.5, 1.0, 2.0, 4.0, MOST_DOWN_S, MOST_DOWN_S]
    schedule.down(now_s)
    schedule.up()
    assert ask(schedule, now_s).purpose is Purpose.FENCE
    schedule.clean("m1")
    assert ask(schedule, now_s) == Ask("m1", Purpose.BOUNDARY, START_S)
