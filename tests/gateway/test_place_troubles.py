"""A receiver with each trouble of the simulator: statements name the true place, or the survey."""

import json

import pytest

from gateway.config import PlaceConfig
from gateway.place import FRESH_S, Place
from gateway.receiver import Sentences, tpv_fix
from hwsim.gps import TROUBLES, SatelliteReceiver, Trouble, sentences
from hwsim.gpsd import tpv

SITE = PlaceConfig(187_883_200, 989_851_000, 50)
USELESS = {"no-fix", "estimated", "simulated"}
ON_THE_WIRE = {"bad-checksum", "cut", "silent"}


def heard(trouble: Trouble, seconds: int, *, by_gpsd: bool) -> Place:
    receiver = SatelliteReceiver(18.78832, 98.9851, troubles=[trouble])
    place, taken = Place(SITE, None), Sentences()
    for second in range(seconds):
        epoch = receiver.epoch(float(second))
        if by_gpsd:
            fix = tpv_fix(json.dumps(tpv(epoch)).encode())
            fixes = [] if fix is None else [fix]
        else:
            fixes = taken.take(b"".join(sentences(epoch)))
        for each in fixes:
            place.heard(each, float(second))
    return place


STEADY = [
    (name, by_gpsd)
    for name in TROUBLES
    for by_gpsd in (False, True)
    if name != "jumping" and not (by_gpsd and name in ON_THE_WIRE)
]


@pytest.mark.parametrize(("name", "by_gpsd"), STEADY)
def test_no_trouble_moves_a_gateway(name: str, by_gpsd: bool) -> None:
    place = heard(Trouble(name), 60, by_gpsd=by_gpsd)
    report = place.report(60.0)
    assert not report["moved"]
    if name in USELESS | ON_THE_WIRE:
        assert report["source"] == "survey"
    else:
        assert report["source"] == "receiver"
        assert report["from_site_m"] <= 5


@pytest.mark.parametrize("by_gpsd", [False, True], ids=["nmea", "gpsd"])
def test_a_receiver_that_jumps_for_a_while_moves_nothing(by_gpsd: bool) -> None:
    place = heard(Trouble("jumping", 56, 60), 60, by_gpsd=by_gpsd)
    assert place.report(60.0)["from_site_m"] <= 5


def test_a_receiver_that_falls_silent_gives_way_to_the_survey() -> None:
    place = heard(Trouble("silent", 30), 60, by_gpsd=False)
    assert place.report(60.0)["source"] == "receiver"
    assert place.report(31.0 + FRESH_S)["source"] == "survey"
