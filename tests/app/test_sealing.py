"""When windows are sealed, sealed again, and what that settles."""

from typing import Any

from tests.app.village import INTERVAL_S, ORDINARY, START_S, Village, meter_entry
from validator.app.records import CASE, CREDIT
from validator.app.settlement import credited, is_firm
from validator.app.windows import float_step_wh
from wire.reading import ClockEvidence
from wire.results import Verdict


def seals_of(village: Village) -> list[tuple[int, int, str]]:
    """(slot, revision, verdict) of every seal so far."""
    return [
        ((seal.start_s - START_S) // INTERVAL_S, seal.revision, seal.verdict.name)
        for seal in village.seals
    ]


def credits_of(village: Village, slot: int) -> dict[str, tuple[int, int]]:
    start_s = START_S + slot * INTERVAL_S
    found = {name: credited(village.app.state, name, start_s) for name in ORDINARY}
    return {name: (it.import_wh, it.export_wh) for name, it in found.items() if it is not None}


INNER = {name: energy for name, energy in ORDINARY.items() if name != "b0"}


def test_a_complete_window_is_sealed_at_once_and_credits_every_meter_inside() -> None:
    village = Village()
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    assert seals_of(village) == [(0, 0, "BALANCED")]
    assert credits_of(village, 0) == INNER


def test_a_window_waits_for_what_is_missing_until_its_deadline() -> None:
    village = Village()
    village.commit([village.batch(village.close(0, c2=None).values(), 0)], 0)
    village.commit([], 3)
    assert village.seals == []
    village.commit([], 4)
    assert seals_of(village) == [(0, 0, "INCONCLUSIVE")]
    assert village.seals[0].coverage_ppm == 800_000
    assert credits_of(village, 0) == {}


def test_late_data_supersedes_and_the_better_verdict_credits() -> None:
    village = Village()
    readings = village.close(0)
    missing = readings.pop("c2")
    village.commit([village.batch(readings.values(), 0)], 0)
    village.commit([], 4)
    village.commit([village.batch([missing], 7, gateway="gw-b")], 7)
    assert seals_of(village)[:2] == [(0, 0, "INCONCLUSIVE"), (0, 1, "BALANCED")]
    assert credits_of(village, 0) == INNER


def test_every_window_after_the_first_is_sealed_though_nothing_came() -> None:
    village = Village()
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    village.commit([], 7)
    assert seals_of(village) == [
        (0, 0, "BALANCED"),
        (1, 0, "INCONCLUSIVE"),
        (2, 0, "INCONCLUSIVE"),
        (3, 0, "INCONCLUSIVE"),
    ]
    assert [seal.coverage_ppm for seal in village.seals] == [1_000_000, 0, 0, 0]


def test_nothing_is_sealed_before_the_first_reading() -> None:
    village = Village()
    village.commit([], 100)
    assert village.seals == []


def test_suspicion_withholds_settlement_and_opens_a_case() -> None:
    village = Village()
    village.commit([village.batch(village.close(0, c1=(0, 0)).values(), 0)], 0)
    assert seals_of(village) == [(0, 0, "IMPOSSIBLE")]
    assert credits_of(village, 0) == {}
    assert len(list(village.app.state.rows(CASE))) == 1


def test_a_dispute_takes_the_meter_out_but_no_credit_back() -> None:
    village = Village()
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    again = village.meters["c1"].close(0, 0, 0)
    assert village.decide(again, 0) == "accepted"
    assert seals_of(village) == [(0, 0, "BALANCED"), (0, 1, "INCONCLUSIVE")]
    assert credits_of(village, 0) == INNER
    assert len(list(village.app.state.rows(CASE))) == 1
    third = village.meters["c1"].close(0, 0, 0)
    assert village.decide(third, 0) == "accepted"
    assert len(village.seals) == 2, "the same inputs make no new revision"


def test_a_meter_whose_clock_is_unknown_counts_as_missing() -> None:
    village = Village()
    readings = village.close(0, c1=None)
    readings["c1"] = village.meters["c1"].close(0, 500, 0, clock=ClockEvidence(1, 1, 100, 11))
    village.commit([village.batch(readings.values(), 0)], 0)
    assert seals_of(village) == [(0, 0, "INCONCLUSIVE")]


def test_a_refused_reading_is_a_missing_one() -> None:
    village = Village()
    readings = village.close(0, pv=None)
    readings["pv"] = village.meters["pv"].close(0, 0, 2_000)
    assert "over-installed" in village.commit([village.batch(readings.values(), 0)], 0)[0]
    village.commit([], 4)
    assert seals_of(village) == [(0, 0, "INCONCLUSIVE")]


def test_windows_are_sealed_in_order_whatever_the_order_of_batches() -> None:
    village = Village()
    batches = [village.batch(village.close(slot).values(), 3) for slot in range(3)]
    village.commit(batches[::-1], 3)
    assert seals_of(village) == [(slot, 0, "BALANCED") for slot in range(3)]


def nested(content: dict[str, Any]) -> None:
    """Zone z0 around z1, with a boundary meter and a customer of its own."""
    content["zones"].append(
        {"id": "z0", "parent": "", "operator": "PEA", "p0_mw": 0, "branches": [], "root": "mv"}
    )
    content["zones"][0]["parent"] = "z0"
    content["gateways"][0]["zones"] = ["z0", "z1"]
    big = {"zone": "z0", "rating_w": 100_000}
    content["meters"].append(meter_entry("a0", "mv", "boundary", **big))
    content["meters"].append(meter_entry("a1", "mv", "customer", **big))


def test_credits_are_provisional_until_the_zone_around_balances_too() -> None:
    village = Village(nested)
    village.commit([village.batch(village.close(0, a1=(500, 0)).values(), 0)], 0)
    feeders = village.app.registries.base.feeders
    assert credits_of(village, 0) == INNER
    assert not is_firm(village.app.state, feeders, "z1", START_S)
    last = village.meters["a0"].close(0, 1_104, 0)
    village.commit([village.batch([last], 0)], 0)
    assert [(seal.zone, seal.verdict) for seal in village.seals] == [
        ("z1", Verdict.BALANCED),
        ("z0", Verdict.BALANCED),
    ]
    assert is_firm(village.app.state, feeders, "z1", START_S)
    assert is_firm(village.app.state, feeders, "z0", START_S)
    assert credits_of(village, 0) == INNER | {"b0": ORDINARY["b0"]}


def test_a_child_zones_boundary_meter_that_lies_is_seen_by_both_zones() -> None:
    village = Village(nested)
    lying = village.close(0, b0=(1_104, 0), a0=(1_104, 0), a1=(500, 0))
    village.commit([village.batch(lying.values(), 0)], 0)
    assert {(seal.zone, seal.verdict) for seal in village.seals} == {
        ("z0", Verdict.IMPOSSIBLE),
        ("z1", Verdict.IMPOSSIBLE),
    }


def test_settled_energy_is_that_of_the_sealed_readings_once() -> None:
    village = Village()
    for slot in range(5):
        batch = village.batch(village.close(slot).values(), slot)
        village.commit([batch], slot)
        village.commit([village.batch(batch.readings, slot, gateway="gw-b")], slot)
    assert len(village.seals) == 5
    assert len(list(village.app.state.rows(CREDIT))) == 5 * len(INNER)


def test_a_float_register_has_the_step_of_its_value() -> None:
    kwh = {0: 1, 1: 1, 8_191: 1, 16_383: 1, 16_384: 2, 65_536: 8, 1_000_000: 63}
    assert {each: float_step_wh(each * 1000) for each in kwh} == kwh


def test_a_flood_of_overdue_windows_is_sealed_over_several_blocks() -> None:
    village = Village()
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    village.commit([], 2_500)
    assert len(village.seals) == 1 + 1_000
    village.commit([], 2_501)
    village.commit([], 2_502)
    assert seals_of(village) == [(0, 0, "BALANCED")] + [
        (slot, 0, "INCONCLUSIVE") for slot in range(1, 2_499)
    ]


def test_losses_and_ratings_beyond_all_sense_are_sealed_as_the_most_a_seal_can_say() -> None:
    """One operator registers its own zones: no number of its may end everybody's chain."""

    def absurd(content: dict[str, Any]) -> None:
        content["zones"][0]["branches"][0]["rho"] = 10**15
        content["meters"][1]["rating_w"] = 10**12

    village = Village(absurd)
    village.commit([village.batch(village.close(0, c1=None).values(), 0)], 0)
    village.commit([], 5)
    assert seals_of(village)[0] == (0, 0, "INCONCLUSIVE")
    assert (village.seals[0].loss_high_wh, village.seals[0].band_wh) == (2**63 - 1, 2**63 - 1)
