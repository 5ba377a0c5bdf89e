"""What the meter's clock is worth: set or disciplined, known or not, and what the records say."""

import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.clock import LATEST_S, BusClock, epoch_s
from meter.intervals import Intervals
from tests.device.meter_bench import Ticks
from tests.device.meter_parts import T

DAY_S = 86_400


def board_time(year: int) -> types.SimpleNamespace:
    """A `time` module of a port whose zero is in that year."""
    return types.SimpleNamespace(gmtime=lambda _: (year, 1, 1, 0, 0, 0, 0, 1))


@pytest.mark.parametrize(("year", "zero_s"), [(1970, 0), (2000, 946_684_800)])
def test_the_epoch_of_a_port_is_1970_or_2000(year: int, zero_s: int) -> None:
    assert epoch_s(board_time(year)) == zero_s


def a_clock(times_set: int = 0, set_at_s: int = 0) -> tuple[BusClock, Ticks]:
    ticks = Ticks()
    return BusClock(ticks, Ticks.diff, times_set, set_at_s), ticks


def test_uptime_grows_evenly_over_the_wraps_of_the_ticks() -> None:
    clock, ticks = a_clock()
    for day in range(60):
        assert clock.up_ms() == day * DAY_S * 1000
        ticks.now += DAY_S * 1000


@pytest.mark.parametrize(
    ("network_s", "error_s", "answer"),
    [
        (T, 1, "set"),
        (T, 0, "set"),
        (T, 60, "set"),
        (T, 61, "refused"),
        (T, 65_535, "refused"),
        (T, -1, "refused"),
        (0, 1, "refused"),
        (946_684_800, 1, "refused"),
        (1_577_836_799, 1, "refused"),
        (1_577_836_800, 1, "set"),
        (2**31 - 1, 1, "set"),
        (2**31, 1, "set"),
        (LATEST_S, 1, "set"),
        (LATEST_S + 1, 1, "refused"),
    ],
)
def test_time_that_is_nonsense_is_refused_and_changes_nothing(
    network_s: int, error_s: int, answer: str
) -> None:
    clock, _ = a_clock(times_set=4, set_at_s=40)
    assert clock.give(network_s * 1000, error_s, 99) == answer
    if answer == "refused":
        assert (clock.now_ms(), clock.evidence()) == (None, [0, 4, 40, 0])
    else:
        assert (clock.now_ms(), clock.evidence()[1:3]) == (network_s * 1000, [5, 99])


def test_after_the_last_second_of_the_bus_in_2106_there_is_no_time() -> None:
    clock, ticks = a_clock()
    clock.give(LATEST_S * 1000, 1, 0)
    ticks.now += 999
    assert clock.now_ms() == LATEST_S * 1000 + 999
    ticks.now += 1
    assert (clock.now_ms(), clock.evidence()) == (None, [0, 1, 0, 0])
    assert clock.give(T * 1000, 1, 5) == "set"
    assert clock.now_ms() == T * 1000


@pytest.mark.parametrize(
    ("kept_s", "not_before_s", "believed"),
    [
        (None, 0, False),
        (946_684_805, 0, False),
        (1_609_459_260, 0, False),
        (T, 0, True),
        (T, T - 900, True),
        (T, T, False),
        (T, T + 900, False),
        (LATEST_S + 1, T, False),
    ],
)
def test_a_boards_own_clock_is_believed_only_after_all_that_the_meter_remembers(
    kept_s: int | None, not_before_s: int, believed: bool
) -> None:
    clock, _ = a_clock(times_set=2, set_at_s=10)
    assert clock.start_from(kept_s, not_before_s) is believed
    assert clock.evidence() == ([1, 2, 10, 61] if believed else [0, 2, 10, 0])


def test_a_kept_time_is_disciplined_by_a_master_that_is_within_its_minute() -> None:
    clock, _ = a_clock(2, 10)
    clock.start_from(T, 0)
    assert clock.give((T + 40) * 1000, 1, 20) == "disciplined"
    assert clock.evidence() == [2, 2, 10, 2]
    assert clock.adjusted == (T + 40) * 1000, "40 s are more than an interval may err"


def test_worse_time_that_agrees_changes_nothing() -> None:
    clock, ticks = a_clock()
    clock.give(T * 1000, 1, 0)
    ticks.now += 1000
    assert clock.give((T + 11) * 1000, 30, 5) == "kept"
    assert (clock.now_ms(), clock.evidence()) == (T * 1000 + 1000, [2, 1, 0, 2])


def test_a_wide_error_is_no_way_to_move_a_clock_uncounted() -> None:
    clock, _ = a_clock()
    clock.give(T * 1000, 60, 0)
    assert clock.give((T + 61) * 1000, 60, 5) == "set", "it agrees, but by more than a minute"
    assert clock.evidence()[1:3] == [2, 5]


def test_small_moves_between_two_records_add_up_to_an_adjusted_clock() -> None:
    clock, _ = a_clock()
    clock.give(T * 1000, 60, 0)
    assert clock.give((T + 8) * 1000, 60, 5) == "disciplined"
    assert not clock.adjusted
    assert clock.give(T * 1000, 60, 5) == "disciplined"
    assert clock.adjusted == T * 1000, "there and back is 16 s"
    clock.told(T + 900)
    assert not clock.adjusted
    clock.give((T + 8) * 1000, 60, 5)
    assert not clock.adjusted, "a new interval has a new sum"


def test_wide_errors_walk_a_clock_by_less_than_three_minutes_before_it_is_counted() -> None:
    clock, _ = a_clock()
    clock.give(T * 1000, 60, 0)
    second = T
    while clock.give((second + 8) * 1000, 60, 5) == "disciplined":
        second += 8
    assert second - T <= 120
    assert clock.times_set == 2
    assert clock.adjusted


@settings(deadline=None)
@given(
    drift_ppm=st.integers(-50, 50),
    times=st.lists(
        st.tuples(st.integers(1, 3 * DAY_S), st.integers(0, 60), st.integers(-1000, 1000)),
        max_size=30,
    ),
)
def test_honest_masters_never_set_a_running_clock(
    drift_ppm: int, times: list[tuple[int, int, int]]
) -> None:
    clock, ticks = a_clock()
    clock.give(T * 1000, 1, 0)
    true_ms = T * 1000
    for passed_s, error_s, part in times:
        true_ms += passed_s * 1000
        ticks.now += passed_s * 1000 + round(passed_s * drift_ppm / 1000)
        clock.give(true_ms + error_s * part, error_s, passed_s)
        now = clock.now_ms()
        assert now is not None
        assert abs(now - true_ms) <= clock.evidence()[3] * 1000
    assert clock.times_set == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 600_000), st.integers(-3000, 3000)), max_size=60))
def test_a_clock_cannot_be_walked_away_in_small_steps(walk: list[tuple[int, int]]) -> None:
    clock, ticks = a_clock()
    clock.give(T * 1000, 1, 0)
    passed_ms = 0
    for wait_ms, step_ms in walk:
        ticks.now += wait_ms
        passed_ms += wait_ms
        now = clock.now_ms()
        assert now is not None
        if clock.give(now + step_ms, 1, 1) == "set":
            return
        now = clock.now_ms()
        assert now is not None
        assert abs(now - T * 1000 - passed_ms) <= 2010 + passed_ms * 50 // 1_000_000


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 600), st.one_of(st.none(), st.integers(-1000, 1000))),
        min_size=30,
        max_size=60,
    )
)
def test_where_a_record_ends_the_next_begins_with_the_same_latch(
    looks: list[tuple[int, int | None]],
) -> None:
    intervals = Intervals(900)
    now_s, awake, latches = T, False, 0
    ended: dict[int, int] = {}
    begun_at: dict[int, int] = {}
    for passed_s, step_s in looks:
        now_s += passed_s
        if step_s is not None:
            intervals.moved(now_s * 1000, (now_s + step_s) * 1000)
            now_s += step_s
        boundary_s = intervals.boundary(now_s * 1000, awake)
        awake = True
        if boundary_s is None:
            continue
        latches += 1
        start_s = intervals.close(boundary_s)
        if start_s is not None:
            assert start_s + 900 == boundary_s
            assert boundary_s not in ended, "an interval is closed once"
            assert not ended or start_s >= max(ended)
            assert ended.get(start_s, begun_at[start_s]) == begun_at[start_s]
            ended[boundary_s] = latches
        if intervals.open_start_s == boundary_s:
            begun_at[boundary_s] = latches
