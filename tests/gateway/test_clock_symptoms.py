"""A clock that makes every zone of a gateway's meters INCONCLUSIVE is named, with its cure."""

from typing import Any

import pytest

from gateway.operation.clock_words import (
    SKEW_MISSING_S,
    clock_report,
    clock_words,
    meters_clock_words,
)
from gateway.operation.status_words import status_words
from gateway.operation.symptoms import symptoms
from gateway.polling.meter_time import MeterState
from gateway.timing import SET, SYNCHRONISED, UNKNOWN, ClockQuality
from tests.gateway.test_status_page import report
from tests.gateway.world import make_genesis
from validator.app.parameters import Parameters


@pytest.mark.parametrize(
    ("quality", "most_s", "words"),
    [
        (
            ClockQuality(SET, 16_000),
            10,
            ["16 s", "skew_missing_s (10 in the genesis file; raised since?", "INCONCLUSIVE"],
        ),
        (ClockQuality(SYNCHRONISED, 10_001), 10, ["may be 11 s off", "INCONCLUSIVE", "chrony"]),
        (ClockQuality(SET, 16_000), 60, ["nothing disciplines", "given no time", "chrony"]),
        (ClockQuality(UNKNOWN, 0), 10, ["nobody knows", "given no time", "chrony"]),
    ],
)
def test_a_bad_clock_is_named_with_what_follows_and_its_cure(
    quality: ClockQuality, most_s: int, words: list[str]
) -> None:
    good, said = clock_words(quality, most_s)
    assert not good
    assert [each for each in words if each not in said] == []


def test_a_clock_that_no_reading_suffers_from_is_good() -> None:
    assert clock_words(ClockQuality(SYNCHRONISED, 10_000), 10)[0]
    assert "INCONCLUSIVE" not in clock_words(ClockQuality(SET, 16_000), 60)[1]


def test_the_limit_is_that_of_the_rules() -> None:
    assert Parameters().skew_missing_s == SKEW_MISSING_S


def clocks(quality: int = SYNCHRONISED, error_ms: int = 3, **meters: Any) -> dict[str, Any]:
    return {"quality": quality, "error_ms": error_ms, "skew_missing_s": 10, "meters": meters}


def test_the_status_page_and_its_text_tell_an_undisciplined_clock() -> None:
    spoilt = report(clock=clocks(SET, 16_000))
    [found] = [each for each in symptoms(spoilt) if not each.good]
    assert (found.what, "INCONCLUSIVE" in found.words) == ("clock", True)
    assert any(line == f"clock: {found.words}" for line in status_words(spoilt))
    assert not any(line.startswith("clock") for line in status_words(report()))


def test_meters_whose_own_clock_is_too_bad_are_named() -> None:
    state = MeterState(0, 2, 11, 1, 1, 9_000, 1_750_000_000)
    never_set = MeterState(0, UNKNOWN, 0, 0, 1, 9_000, 0)
    well = MeterState(0, 2, 10, 1, 1, 9_000, 1_750_000_000)
    said = {"m1": state, "m2": never_set, "m3": well}
    found = clock_report(ClockQuality(SYNCHRONISED, 3), make_genesis().genesis, said)
    words = meters_clock_words(found)
    assert "m1 says that its clock may be 11 s off" in words
    assert "m2 does not know the time" in words
    assert "m3" not in words
    spoilt = report(clock=found)
    assert [each.what for each in symptoms(spoilt) if not each.good] == ["meters' clocks"]
