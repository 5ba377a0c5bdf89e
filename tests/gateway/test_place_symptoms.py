"""What doctor says of the gateway's place and configuration."""

from typing import Any

import pytest

from gateway.config import PlaceConfig
from gateway.operation.symptoms import Finding, _configuration, _place
from gateway.place import FIXES, Place
from gateway.receiver import Fix
from tests.gateway.test_place import HERE, SITE, Told


def finding(place: Place) -> Finding:
    report: dict[str, Any] = dict(place.report(100.0))
    return _place(report)


def told(fix: Fix) -> Place:
    place = Place(SITE, Told([]))
    for _ in range(FIXES):
        place.heard(fix, 99.0)
    return place


@pytest.mark.parametrize(
    ("place", "good", "words"),
    [
        (Place(SITE, None), True, "by survey, within 5 m"),
        (told(HERE), True, "by receiver, within 3 m"),
        (told(Fix(188_000_000, 989_851_020, 30)), False, "1300 m from the surveyed site"),
        (Place(PlaceConfig(0, 0, 100), Told([])), True, "starting; statements name the surveyed"),
    ],
    ids=["survey", "fixes", "moved", "starting"],
)
def test_a_place_is_told_in_words(place: Place, good: bool, words: str) -> None:
    found = finding(place)
    assert found.good is good
    assert words in found.words


def test_a_receiver_that_is_away_is_told() -> None:
    place = told(HERE)
    place.state = "no gpsd at 127.0.0.1:2947: refused"
    assert finding(place) == Finding(
        "place",
        False,
        "no gpsd at 127.0.0.1:2947: refused; statements name the surveyed site meanwhile and say"
        " so",
    )


def test_a_configuration_that_was_not_taken_is_told() -> None:
    assert _configuration("as in its file").good
    assert not _configuration("the changed file is refused, the old one holds: …").good
