"""Losses over the tree: reactive energy, merged windows, scheduled loads, the line rule."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.village import ORDINARY, START_S, genesis
from validator.app.feeder import Feeder, Scheduled
from validator.app.losses import Flows, losses, plain_losses
from validator.app.registry import Registry
from validator.app.unmetered import unmetered_load
from validator.app.zone_seal import Judgement, Measured, judge
from wire.errors import Malformed
from wire.results import Verdict

REGISTRY = Registry.of(genesis())
FEEDER, PARAMETERS = REGISTRY.feeders["z1"], REGISTRY.parameters
RHO = 2_500_000
UNIT = 10**12

Energies = dict[str, tuple[int, int]]


def measured(energies: Energies, **also: Any) -> dict[str, Measured]:
    return {name: Measured(*energy, 1_000, 1, **also) for name, energy in energies.items()}


def with_reactive(varh: int, silent: str = "") -> dict[str, Measured]:
    """An ordinary window in which everybody but one tells the same reactive energy."""
    found = measured(ORDINARY)
    return {
        name: each if name == silent else each._replace(reactive=(varh, 0))
        for name, each in found.items()
    }


def zone(edit: Callable[[dict[str, Any]], object]) -> Feeder:
    return Registry.of(genesis(edit)).feeders["z1"]


node = st.tuples(st.integers(-3_000, 3_000), st.integers(0, 3_000))


@given(st.lists(node, min_size=4, max_size=4))
@settings(max_examples=200, deadline=None)
def test_the_short_way_and_the_general_one_give_the_same(nodes: list[tuple[int, int]]) -> None:
    net_wh = [net for net, _ in nodes]
    gross_wh = [abs(net) + more for net, more in nodes]
    flows = Flows.of(list(net_wh), list(gross_wh))
    flows.peak_wh, flows.silent = list(gross_wh), [1] * 4
    expected = plain_losses(FEEDER, PARAMETERS, net_wh, gross_wh)
    assert losses(FEEDER, PARAMETERS, flows) == expected


def test_reactive_flows_add_to_the_least_loss() -> None:
    without, known = judge(FEEDER, PARAMETERS, measured(ORDINARY)), with_reactive(100)
    # Net flows: n3 200, n2 100, n1 600 Wh; 100 varh for each of the meters beneath: 1, 3 and 4.
    active, reactive = 200**2 + 100**2 + 600**2, 100**2 + 300**2 + 400**2
    found = judge(FEEDER, PARAMETERS, known)
    assert without.loss.low_wh == RHO * active * 9 // 10 // UNIT
    assert found.loss.low_wh == RHO * (active + reactive) * 9 // 10 // UNIT


def test_with_every_reactive_register_half_the_room_above_the_model_is_enough() -> None:
    # Gross flows: 200, 900, 1400 Wh; kappa is 2 without, (1 + 2) / 2 with.
    active = 200**2 + 900**2 + 1400**2
    quiet = judge(FEEDER, PARAMETERS, with_reactive(0))
    assert quiet.loss.high_wh == -(-3 * RHO * active // (2 * UNIT))
    assert judge(FEEDER, PARAMETERS, measured(ORDINARY)).loss.high_wh == -(
        -2 * RHO * active // UNIT
    )
    assert quiet.band_wh < judge(FEEDER, PARAMETERS, measured(ORDINARY)).band_wh


def test_one_silent_meter_leaves_the_branches_above_it_with_kappa() -> None:
    # c3 is silent: every branch carries it. c1 is silent: only the first branch does.
    everywhere = judge(FEEDER, PARAMETERS, with_reactive(0, silent="c3"))
    assert everywhere.loss == judge(FEEDER, PARAMETERS, measured(ORDINARY)).loss
    first = judge(FEEDER, PARAMETERS, with_reactive(0, silent="c1"))
    twice = 3 * (200**2 + 900**2) + 4 * 1400**2
    assert first.loss.high_wh == -(-RHO * twice // (2 * UNIT))


def merged(energies: Energies, intervals: int, peaks: dict[str, int]) -> Judgement:
    found = {
        name: Measured(*energy, 1_000, 1, None, peaks[name]) for name, energy in energies.items()
    }
    return judge(FEEDER.over(intervals), PARAMETERS, found)


def test_a_merged_window_loses_at_least_by_its_mean_flow_and_at_most_by_its_peaks() -> None:
    fourfold = {
        name: (4 * imported, 4 * exported) for name, (imported, exported) in ORDINARY.items()
    }
    even = {name: sum(energy) for name, energy in ORDINARY.items()}
    found = merged(fourfold, 4, even)
    single = judge(FEEDER, PARAMETERS, measured(ORDINARY))
    assert found.verdict is Verdict.BALANCED
    assert found.loss.low_wh == RHO * 4 * (200**2 + 100**2 + 600**2) * 9 // 10 // UNIT
    assert 4 * (single.loss.high_wh - 1) <= found.loss.high_wh <= 4 * single.loss.high_wh
    at_once = merged(fourfold, 4, {name: 4 * energy for name, energy in even.items()})
    assert at_once.loss.high_wh > 3 * found.loss.high_wh


interval = st.fixed_dictionaries(
    {name: st.tuples(st.integers(0, 1_300), st.integers(0, 1_300)) for name in ORDINARY}
)


@given(st.lists(interval, min_size=2, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_bounds_of_a_merged_window_hold_the_losses_of_its_intervals(
    intervals: list[Energies],
) -> None:
    apart = [judge(FEEDER, PARAMETERS, measured(each)).loss for each in intervals]
    total = {
        name: (sum(each[name][0] for each in intervals), sum(each[name][1] for each in intervals))
        for name in ORDINARY
    }
    peaks = {name: max(sum(each[name]) for each in intervals) for name in ORDINARY}
    found = merged(total, len(intervals), peaks).loss
    assert found.low_wh <= sum(each.low_wh for each in apart) + len(intervals)
    # kappa times the loss by mean flows of each interval is what its own window allows.
    assert found.high_wh >= sum(each.high_wh - 1 for each in apart)


def test_in_a_merged_window_a_dead_zone_may_hide_in_every_interval() -> None:
    def sleepy(content: dict[str, Any]) -> None:
        content["meters"][2]["dead_wh"] = 3

    feeder, energies = zone(sleepy).over(4), {**ORDINARY, "c2": (2, 0)}
    for counted_wh in (2, 300):
        energies["c2"] = (counted_wh, 0)
        found = judge(feeder, PARAMETERS, measured(energies)).loss.high_wh
        assert found == judge(FEEDER.over(4), PARAMETERS, measured(energies)).loss.high_wh + 12


LAMP = {
    "id": "lamps",
    "zone": "z1",
    "node": "n2",
    "schedule": [[0, 400], [21_600, 0], [64_800, 400]],
    "limit_ppm": 50_000,
}
NIGHT_S = 1_750_032_000  # 00:00 UTC


def test_a_scheduled_load_takes_what_its_schedule_says() -> None:
    lamps = unmetered_load(LAMP)
    assert lamps.energy_wh(NIGHT_S, 900) == 100
    assert lamps.energy_wh(NIGHT_S + 43_200, 900) == 0
    assert lamps.energy_wh(NIGHT_S + 21_600 - 450, 900) == 50
    assert lamps.energy_wh(NIGHT_S - 900, 1800) == 200
    assert lamps.energy_wh(NIGHT_S + 123, 86_400) == 12 * 400


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": []},
        {"schedule": [[1, 400]]},
        {"schedule": [[0, 400], [0, 0]]},
        {"schedule": [[0, 400], [86_400, 0]]},
        {"schedule": [[0, -1]]},
        {"schedule": [[second, 1] for second in range(97)]},
        {"limit_ppm": 1_000_001},
        {"colour": "warm"},
    ],
)
def test_a_schedule_that_cannot_be_reckoned_with_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        unmetered_load(LAMP | change)


def test_street_lamps_are_part_of_the_balance_with_their_own_limit() -> None:
    lit = replace(FEEDER, unmetered=(Scheduled(2, unmetered_load(LAMP)),))
    lossy = measured({**ORDINARY, "b0": (705, 0)})
    assert judge(FEEDER, PARAMETERS, lossy).verdict is not Verdict.BALANCED
    found = judge(lit, PARAMETERS, lossy, NIGHT_S)
    assert (found.verdict, found.residual_wh, found.coverage_ppm) == (Verdict.BALANCED, 5, 10**6)
    assert judge(lit, PARAMETERS, lossy, NIGHT_S + 43_200).residual_wh == 105
    assert found.band_wh > judge(FEEDER, PARAMETERS, measured(ORDINARY)).band_wh
    active = 200**2 + 200**2 + 700**2
    assert found.loss.low_wh == RHO * active * 9 // 10 // UNIT


def weak(branch: int, ampacity_w: int) -> Feeder:
    return zone(
        lambda content: content["zones"][0]["branches"][branch].update(ampacity_w=ampacity_w)
    )


def test_the_line_rule_names_the_branch_that_carries_too_much() -> None:
    # 600 Wh in a quarter of an hour are 2.4 kW.
    assert judge(weak(0, 2_400), PARAMETERS, measured(ORDINARY)).overloaded == ()
    assert judge(weak(0, 2_396), PARAMETERS, measured(ORDINARY)).overloaded == ("bus-n1",)
    back = {**ORDINARY, "b0": (0, 1_396), "pv": (0, 1_300), "c1": (0, 0), "c2": (0, 0)}
    assert judge(weak(1, 4_396), PARAMETERS, measured(back)).overloaded == ("n1-n2",)


def test_a_branch_without_ampacity_carries_what_it_will() -> None:
    assert judge(weak(0, 0), PARAMETERS, measured({**ORDINARY, "c1": (90_000, 0)})).overloaded == ()


def test_reactive_flow_loads_a_branch_too() -> None:
    assert judge(weak(0, 2_500), PARAMETERS, with_reactive(0)).overloaded == ()
    assert judge(weak(0, 2_500), PARAMETERS, with_reactive(100)).overloaded == ("bus-n1",)


def test_a_missing_meter_accuses_a_branch_only_when_nothing_could_relieve_it() -> None:
    found = measured({**ORDINARY, "c1": (2_500, 0)})
    assert judge(weak(0, 8_000), PARAMETERS, found).overloaded == ("bus-n1",)
    del found["pv"]  # May have exported 1,376 Wh.
    assert judge(weak(0, 8_000), PARAMETERS, found).overloaded == ()
    found |= measured({"c2": (1_000, 0)})
    assert judge(weak(0, 8_000), PARAMETERS, found).overloaded == ("bus-n1",)


def test_the_line_rule_holds_in_a_zone_without_reference_too() -> None:
    def bare(content: dict[str, Any]) -> None:
        del content["meters"][0]
        content["zones"][0]["branches"][0]["ampacity_w"] = 1_000

    inner = {name: energy for name, energy in ORDINARY.items() if name != "b0"}
    found = judge(zone(bare), PARAMETERS, measured(inner))
    assert (found.verdict, found.overloaded) == (Verdict.UNREFERENCED, ("bus-n1",))


def test_what_starts_when_matters_to_schedules_only() -> None:
    ordinary = measured(ORDINARY)
    assert judge(FEEDER, PARAMETERS, ordinary, START_S) == judge(FEEDER, PARAMETERS, ordinary)
