"""Attacks on how much energy is told: forged export, shaved import, collusion, a lying boundary.

Each test says one cell of the table in docs/ENERGY-RULES.md: what is refused, how the zone is
sealed, what stays undetected.
"""

from typing import Any

import pytest

from tests.app.attacks import (
    INNER,
    case_count,
    close,
    credits_of,
    last_verdict,
    refusal,
    residual_side,
)
from tests.app.village import Village, meter_entry
from wire.reading import SignedReading


def around(content: dict[str, Any]) -> None:
    """Zone z0 around z1: what b0 tells is a part of z0's balance too."""
    content["zones"].append(
        {"id": "z0", "parent": "", "operator": "PEA", "p0_mw": 0, "branches": [], "root": "mv"}
    )
    content["zones"][0]["parent"] = "z0"
    content["gateways"][0]["zones"] = ["z0", "z1"]
    content["meters"].append(
        meter_entry("a0", "mv", "boundary", zone="z0", rating_w=100_000, class_ppm=[[0, 5_000]])
    )


def test_forged_export_without_a_source_or_above_it_is_refused() -> None:
    village = Village()
    assert "no-source" in close(village, 0, c1=(500, 100))
    assert "over-installed" in close(village, 1, pv=(0, 1_377))


def test_forged_export_within_the_rating_is_accused_and_settles_nothing() -> None:
    village = Village()
    assert set(close(village, 0, pv=(0, 900))) == {"accepted"}
    assert last_verdict(village) == "IMPOSSIBLE"
    assert residual_side(village) == 1
    assert credits_of(village, 0) == {}
    assert case_count(village) == 1


def test_forged_export_above_the_published_band_never_settles() -> None:
    for forged_wh in range(10, 300, 10):
        village = Village()
        close(village, 0, pv=(0, 400 + forged_wh))
        if forged_wh > village.seals[-1].band_wh:
            assert last_verdict(village) != "BALANCED"
            assert credits_of(village, 0) == {}


def test_forged_export_of_a_few_wh_hides_in_the_tolerance() -> None:
    village = Village()
    close(village, 0, pv=(0, 410))
    assert last_verdict(village) == "BALANCED"
    assert credits_of(village, 0)["pv"] == (0, 410)


def test_shaved_import_is_accused_with_the_thiefs_own_signature_on_record() -> None:
    village = Village()
    readings = village.close(0, c1=(200, 0))
    village.commit([village.batch(readings.values(), 0)], 0)
    assert last_verdict(village) == "IMPOSSIBLE"
    assert residual_side(village) == 1
    assert credits_of(village, 0) == {}
    assert SignedReading.open(readings["c1"]).reading.import_advance_wh == 200


def test_shaved_import_by_turning_the_register_back_is_refused() -> None:
    village = Village()
    meter = village.meters["c1"]
    village.decide(meter.close(0, 500, 0), 0)
    back = meter.reading(1, 500, 0, import_wh=meter.import_wh - 100)
    assert village.decide(meter.sign(back), 1) == "register-backwards"


def test_shaved_import_of_a_few_wh_hides_in_the_tolerance() -> None:
    village = Village()
    close(village, 0, c1=(490, 0))
    assert last_verdict(village) == "BALANCED"
    assert credits_of(village, 0)["c1"] == (490, 0)


def test_collusion_that_adds_up_is_not_seen() -> None:
    """What one meter tells too little the other tells too much: the neighbours lose nothing."""
    village = Village()
    close(village, 0, c1=(300, 0), c2=(500, 0))
    assert last_verdict(village) == "BALANCED"
    assert (credits_of(village, 0)["c1"], credits_of(village, 0)["c2"]) == ((300, 0), (500, 0))
    paid = sum(imported - exported for imported, exported in credits_of(village, 0).values())
    assert paid == sum(imported - exported for imported, exported in INNER.values())


def test_collusion_that_does_not_add_up_is_one_theft() -> None:
    village = Village()
    close(village, 0, c1=(300, 0), c2=(250, 0))
    assert last_verdict(village) == "IMPOSSIBLE"
    assert residual_side(village) == 1


@pytest.mark.parametrize(("told_wh", "side"), [(1_104, 1), (304, -1)])
def test_a_boundary_meter_that_lies_alone_accuses_its_zone(told_wh: int, side: int) -> None:
    village = Village()
    close(village, 0, b0=(told_wh, 0))
    assert last_verdict(village) == "IMPOSSIBLE"
    assert residual_side(village) == side
    assert credits_of(village, 0) == {}


def test_a_boundary_meter_that_lies_is_seen_from_the_zone_around_with_the_other_sign() -> None:
    village = Village(around)
    close(village, 0, b0=(1_104, 0), a0=(604, 0))
    assert (last_verdict(village, "z1"), residual_side(village, "z1")) == ("IMPOSSIBLE", 1)
    assert (last_verdict(village, "z0"), residual_side(village, "z0")) == ("IMPOSSIBLE", -1)


def test_a_boundary_meter_that_covers_a_thief_is_seen_only_from_the_zone_around() -> None:
    covered = Village()
    close(covered, 0, c1=(0, 0), b0=(102, 0))
    assert last_verdict(covered) == "BALANCED", "alone, boundary and thief agree"
    assert len(credits_of(covered, 0)) == len(INNER)
    village = Village(around)
    close(village, 0, c1=(0, 0), b0=(102, 0), a0=(604, 0))
    assert last_verdict(village, "z1") == "BALANCED"
    assert (last_verdict(village, "z0"), residual_side(village, "z0")) == ("IMPOSSIBLE", 1)


def test_a_boundary_meter_that_is_silent_makes_no_verdict_and_settles_nothing() -> None:
    village = Village()
    readings = village.close(0, b0=None)
    batch = village.batch(readings.values(), 0)
    assert refusal(village, batch) == "stands"
    village.commit([batch], 0)
    village.commit([], 4)
    assert last_verdict(village) == "INCONCLUSIVE"
    assert credits_of(village, 0) == {}
