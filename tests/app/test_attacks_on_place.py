"""Attacks on where energy is told from: swapped meters, a moved meter, a gateway elsewhere."""

from typing import Any

import pytest

from tests.app.attacks import (
    INNER,
    close,
    credits_of,
    last_verdict,
    refusal,
    residual_side,
)
from tests.app.village import SITE, Village, gateway_entry, meter_entry
from wire.reading import Position
from wire.witness import WitnessPosition

FAR_AWAY = (SITE[0] + 20_000, SITE[1])
"""Some 220 m north."""


def test_swapped_meters_of_one_zone_balance_and_pay_each_others_bills() -> None:
    village = Village()
    close(village, 0, c1=INNER["c2"], c2=INNER["c1"])
    assert last_verdict(village) == "BALANCED"
    assert credits_of(village, 0)["c1"] == INNER["c2"]


def test_swapped_meters_that_tell_their_place_or_papers_are_refused() -> None:
    village = Village()
    meter = village.meters["c1"]
    told = meter.reading(0, 500, 0, position=Position(*FAR_AWAY, 20, 3))
    assert village.decide(meter.sign(told), 0) == "meter-moved"
    by_line = village.meters["c3"]
    papers = by_line.reading(0, 200, 0, configuration_id=bytes(8))
    assert village.decide(by_line.sign(papers), 0) == "wrong-configuration"
    node = meter.reading(0, 500, 0, node="n2")
    assert village.decide(meter.sign(node), 0) == "wrong-node"


def test_swapped_meters_of_two_zones_accuse_both() -> None:
    village = Village(beside)
    close(village, 0, c1=(900, 0), d1=(500, 0), d0=(902, 0))
    assert (last_verdict(village, "z1"), residual_side(village, "z1")) == ("IMPOSSIBLE", -1)
    assert (last_verdict(village, "z2"), residual_side(village, "z2")) == ("IMPOSSIBLE", 1)


def beside(content: dict[str, Any]) -> None:
    """Zone z2 with boundary d0 and customer d1, served by gw-a and gw-c."""
    branches = [{"id": "e-d", "from": "e", "to": "d", "rho": 2_500_000, "kappa": 2}]
    zone = {"id": "z2", "parent": "", "operator": "PEA", "p0_mw": 0}
    content["zones"].append({**zone, "branches": branches, "root": "e"})
    content["gateways"][0]["zones"] = ["z1", "z2"]
    content["gateways"].append(gateway_entry("gw-c") | {"zones": ["z2"]})
    content["meters"] += [
        meter_entry("d0", "e", "boundary", zone="z2", rating_w=100_000, class_ppm=[[0, 5_000]]),
        meter_entry("d1", "d", "customer", zone="z2"),
    ]


def test_a_meter_moved_to_another_feeder_accuses_both_with_opposite_signs() -> None:
    village = Village(beside)
    # c1 takes its 500 Wh behind d0 now, and still tells them for z1.
    close(village, 0, b0=(103, 0), d0=(902, 0), d1=(400, 0))
    assert (last_verdict(village, "z1"), residual_side(village, "z1")) == ("IMPOSSIBLE", -1)
    assert (last_verdict(village, "z2"), residual_side(village, "z2")) == ("IMPOSSIBLE", 1)
    assert credits_of(village, 0) == {}


def test_a_meter_moved_behind_a_gateway_of_another_zone_is_refused() -> None:
    village = Village(beside)
    reading = village.meters["c1"].close(0, 500, 0)
    assert village.decide(reading, 0, gateway="gw-c") == "zone-not-served"
    own = village.meters["d1"].close(0, 400, 0)
    assert village.decide(own, 0, gateway="gw-c") == "accepted"


def test_a_meter_moved_out_of_the_lines_reach_is_refused_where_its_registered_site_says_so() -> (
    None
):
    def move(content: dict[str, Any]) -> None:
        content["meters"][1]["site"] = (SITE[0] + 200_000, SITE[1])

    village = Village(move)
    assert village.decide(village.meters["c1"].close(0, 500, 0), 0) == "out-of-reach"


def test_a_meter_moved_while_it_counts_nothing_is_not_seen() -> None:
    village = Village(beside)
    close(village, 0, c1=(0, 0), b0=(102, 0), d0=(401, 0), d1=(400, 0))
    assert last_verdict(village, "z1") == "BALANCED"
    assert last_verdict(village, "z2") == "BALANCED"


ELSEWHERE = [
    pytest.param(None, "no-position", id="tells no place"),
    pytest.param(WitnessPosition(*SITE, 20, 3_601, 1), "stale-position", id="tells an old place"),
    pytest.param(WitnessPosition(*FAR_AWAY, 20, 5, 1), "outside-site", id="tells another place"),
]


@pytest.mark.parametrize(("position", "reason"), ELSEWHERE)
def test_a_gateway_elsewhere_is_refused_and_its_readings_come_by_another(
    position: WitnessPosition | None, reason: str
) -> None:
    village = Village()
    readings = list(village.close(0).values())
    assert refusal(village, village.batch(readings, 0, position=position)) == reason
    assert set(village.commit([village.batch(readings, 0, gateway="gw-b")], 0)[0]) == {"accepted"}
    assert last_verdict(village) == "BALANCED"


def test_a_gateway_elsewhere_that_is_told_its_registered_place_is_not_seen() -> None:
    """A receiver that is fed the site's signal, or a host that lies: the place is its word."""
    village = Village()
    batch = village.batch(village.close(0).values(), 0)
    assert refusal(village, batch) == "stands"
