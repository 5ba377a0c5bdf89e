# mypy: ignore-errors
"""What happens to a meter's clock, case by case, played under either Python.

Each case is a function that plays on a bench and names what must come of it: for each record the
interval's start in seconds after T, the clock bits of its status, quality, times set, error bound.
Run by MicroPython this prints the cases' outcomes as JSON; `test_clock_in_life` compares.
"""

import json
import os
import sys

from meter.record import CLOCK_ADJUSTED, CLOCK_INVALID, POWER_DOWN
from tests.device.meter_bench import Bench
from tests.device.meter_parts import T

UNKNOWN, MOVED, DOWN = CLOCK_INVALID, CLOCK_ADJUSTED, POWER_DOWN
Y2038, LAST = 2_147_483_648, 0xFFFFFFFF


def never_set(bench):
    """A meter that nobody told the time counts, and records nothing."""
    bench.run(4000)
    return []


def a_second_more(bench):
    """Within the cone: disciplined, not counted, no bit."""
    bench.give()
    bench.run(1000)
    bench.give(+1)
    bench.run(1500)
    return [(900, 0, 2, 1, 2), (1800, 0, 2, 1, 2)]


def a_second_less_at_a_boundary(bench):
    """A boundary that has passed does not pass again."""
    bench.give()
    bench.run_to(1800, ms=400)
    bench.give(-1)
    bench.run(2000)
    return [(900, 0, 2, 1, 2), (1800, 0, 2, 1, 2), (2700, 0, 2, 1, 2)]


def four_seconds_more(bench):
    """Beyond the cone: set and counted; too little to make an interval less than whole."""
    bench.give()
    bench.run(1000)
    bench.give(+4)
    bench.run(1500)
    return [(900, MOVED, 2, 2, 2), (1800, 0, 2, 2, 2)]


def four_seconds_more_over_a_boundary(bench):
    """Both the interval in which it happened and the one it came to are marked."""
    bench.give()
    bench.run_to(1798)
    bench.give(+4)
    bench.run(2000)
    return [(900, MOVED, 2, 2, 2), (1800, MOVED, 2, 2, 2), (2700, 0, 2, 2, 2)]


def set_in_mid_interval(bench):
    """Half a minute is set: the interval in which it happened says so."""
    bench.give()
    bench.run_to(2100)
    bench.give(-30)
    bench.run(2000)
    return [(900, 0, 2, 1, 2), (1800, MOVED, 2, 2, 2), (2700, 0, 2, 2, 2)]


def half_a_minute_over_a_boundary(bench):
    """What it leaves and what it comes to are not whole; the next record tells."""
    bench.give()
    bench.run_to(1790)
    bench.give(+30)
    bench.run(2800)
    return [(2700, MOVED, 2, 2, 2), (3600, 0, 2, 2, 2)]


def half_a_minute_back_over_a_boundary(bench):
    """A record ends at that boundary, so none begins there with other registers."""
    bench.give()
    bench.run_to(1810)
    bench.give(-30)
    bench.run(1900)
    return [(900, 0, 2, 1, 2), (2700, MOVED, 2, 2, 2)]


def an_hour_more(bench):
    """A gap of an hour, and the first whole interval after it is marked."""
    bench.give()
    bench.run_to(2000)
    bench.give(+3600)
    bench.run(2700)
    return [(900, 0, 2, 1, 2), (6300, MOVED, 2, 2, 2), (7200, 0, 2, 2, 2)]


def an_hour_less(bench):
    """No interval is recorded twice: it is silent until time has come round again."""
    bench.give()
    bench.run_to(4600)
    bench.give(-3600)
    bench.run(6400)
    return [
        (900, 0, 2, 1, 2),
        (1800, 0, 2, 1, 2),
        (2700, 0, 2, 1, 2),
        (3600, 0, 2, 1, 2),
        (5400, MOVED, 2, 2, 2),
        (6300, 0, 2, 2, 2),
    ]


def an_hour_more_and_back(bench):
    """A wrong master, then a right one."""
    bench.give()
    bench.run_to(2000)
    bench.give(+3600)
    bench.run(20)
    bench.give()
    bench.run(2700)
    return [(900, 0, 2, 1, 2), (2700, MOVED, 2, 3, 2), (3600, 0, 2, 3, 2)]


def power_down_without_a_battery(bench):
    """Time was unknown in a part of the interval, and was set."""
    bench.give()
    bench.run_to(2000)
    bench.power_cycle(30)
    bench.run(60)
    bench.give()
    bench.run(1800)
    return [(900, 0, 2, 1, 2), (1800, DOWN | UNKNOWN, 2, 2, 2), (2700, 0, 2, 2, 2)]


def power_down_over_a_boundary(bench):
    """Time came too late to latch at the boundary: a gap, and the next record tells."""
    bench.give()
    bench.run_to(2600)
    bench.power_cycle(30)
    bench.run(100)
    bench.give()
    bench.run(2000)
    return [(900, 0, 2, 1, 2), (3600, DOWN, 2, 2, 2)]


def a_reset_with_a_clock_that_ran_on(bench):
    """The board kept the time: no setting, worth a minute until a master disciplines it."""
    bench.give()
    bench.run_to(2000)
    bench.power_cycle(0, keeps_time=True)
    bench.run(1000)
    bench.give()
    bench.run(900)
    return [(900, 0, 2, 1, 2), (1800, DOWN, 1, 1, 61), (2700, 0, 2, 1, 2)]


def a_reset_with_a_clock_that_began_anew(bench):
    """A board that says 2021 after a reset is not believed."""
    bench.give()
    bench.run_to(2000)
    bench.power_cycle(0, kept_s=1_609_459_201)
    bench.run(2000)
    return [(900, 0, 2, 1, 2)]


def a_reset_with_a_clock_that_is_behind_the_records(bench):
    """Time before what is recorded already is not believed."""
    bench.give()
    bench.run_to(2000)
    bench.power_cycle(0, kept_s=T + 1700)
    bench.run(2000)
    return [(900, 0, 2, 1, 2)]


def nonsense(bench):
    """Years before any meter, and an error of more than a minute, change nothing."""
    bench.give()
    bench.run(1000)
    bench.give_time(946_684_800)
    bench.give_time(0)
    bench.run(1500)
    return [(900, 0, 2, 1, 2), (1800, 0, 2, 1, 2)]


def two_days_without_a_master(bench):
    """The bound of the error grows with the crystal's drift, and quality falls beyond 9 s."""
    bench.give()
    bench.run(2 * 86400, step_s=30)
    errors = [1003 + seconds * 50 // 1000 for seconds in range(1350, 2 * 86400, 900)]
    return [
        (900 + 900 * i, 0, 2 if error <= 9000 else 1, 1, -(-error // 1000))
        for i, error in enumerate(errors)
    ]


def past_2038(bench):
    """Nothing happens when 31 bits are full."""
    bench.begin_at(Y2038 - 1000)
    bench.give()
    bench.run(3000)
    first = (Y2038 - 1000) // 900 * 900 + 900 - T
    return [(first + 900 * i, 0, 2, 1, 2) for i in range(3)]


def until_2106(bench):
    """The interval in which the bus runs out of seconds is not closed, nor any after it."""
    bench.begin_at(LAST - 3000)
    bench.give()
    bench.run(6000)
    first = (LAST - 3000) // 900 * 900 + 900 - T
    assert bench.now_ms() is None
    assert first + T + 3 * 900 > LAST
    return [(first, 0, 2, 1, 2), (first + 900, 0, 2, 1, 2)]


CASES = [
    never_set,
    a_second_more,
    a_second_less_at_a_boundary,
    four_seconds_more,
    four_seconds_more_over_a_boundary,
    set_in_mid_interval,
    half_a_minute_over_a_boundary,
    half_a_minute_back_over_a_boundary,
    an_hour_more,
    an_hour_less,
    an_hour_more_and_back,
    power_down_without_a_battery,
    power_down_over_a_boundary,
    a_reset_with_a_clock_that_ran_on,
    a_reset_with_a_clock_that_began_anew,
    a_reset_with_a_clock_that_is_behind_the_records,
    nonsense,
    two_days_without_a_master,
    past_2038,
    until_2106,
]


def play(case, folder: str) -> tuple:
    """(what came of it, what must come of it)."""
    bench = Bench(folder)
    expected = case(bench)
    return bench.records(), expected


if __name__ == "__main__":
    outcomes = {}
    for number, case in enumerate(CASES):
        os.mkdir(sys.argv[1] + "/" + str(number))
        outcomes[case.__name__] = play(case, sys.argv[1] + "/" + str(number))
    print(json.dumps(outcomes))
