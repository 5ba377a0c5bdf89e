"""The balance verdict on one window of the village, and what its numbers are."""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import pytest

from tests.app.village import ORDINARY, genesis
from validator.app.registry import Registry
from validator.app.zone_seal import Judgement, Measured, judge
from wire.results import Verdict


def registry(edit: Callable[[dict[str, Any]], object] = lambda _: None) -> Registry:
    return Registry.of(genesis(edit))


def counted(
    energies: Mapping[str, tuple[int, int] | None], skew_ms: int = 1_000, step_wh: int = 1
) -> dict[str, Measured]:
    return {
        name: Measured(*energy, skew_ms, step_wh)
        for name, energy in {**ORDINARY, **energies}.items()
        if energy is not None
    }


def judged(
    edit: Callable[[dict[str, Any]], object] = lambda _: None,
    /,
    **energies: tuple[int, int] | None,
) -> Judgement:
    """Judge a window in which meters counted what is ordinary, or as given; None is missing."""
    known = registry(edit)
    return judge(known.feeders["z1"], known.parameters, counted(energies))


def test_an_ordinary_window_is_balanced() -> None:
    found = judged()
    assert found.verdict is Verdict.BALANCED
    assert found.residual_wh == 604 - (500 + 300 + 200 - 400)
    assert found.coverage_ppm == 1_000_000


def test_losses_follow_the_flows_through_the_tree() -> None:
    # Net flows: n3 200, n2 200 + 300 - 400, n1 100 + 500; gross: 200, 900, 1400. rho is 2.5e-6.
    net_wh = 2.5e-6 * (200**2 + 100**2 + 600**2)
    gross_wh = 2 * 2.5e-6 * (200**2 + 900**2 + 1400**2)
    found = judged()
    assert found.loss.low_wh == int(net_wh * 0.9)
    assert found.loss.high_wh == int(gross_wh) + 1


def test_no_load_loss_is_expected_of_a_transformer_inside_the_boundary() -> None:
    def add_transformer(content: dict[str, Any]) -> None:
        content["zones"][0]["p0_mw"] = 400_000

    found = judged(add_transformer, b0=(704, 0))
    assert found.verdict is Verdict.BALANCED
    assert found.loss.low_wh == int(100 * 0.9 + 2.5e-6 * (200**2 + 100**2 + 600**2) * 0.9)
    assert judged(add_transformer).residual_wh < found.loss.low_wh


def test_the_band_is_exact_one_more_wh_is_suspect() -> None:
    found = judged()
    tolerance_wh = (found.band_wh - (found.loss.high_wh - found.loss.low_wh)) // 2
    most = 600 + found.loss.high_wh + tolerance_wh
    # The boundary's own energy widens the tolerance a little while it is raised.
    last = max(wh for wh in range(600, most + 40) if judged(b0=(wh, 0)).verdict is Verdict.BALANCED)
    assert most - 1 <= last <= most + 1
    assert judged(b0=(last + 1, 0)).verdict is not Verdict.BALANCED


def test_the_tolerance_is_k_standard_deviations_of_class_common_steps_and_skew() -> None:
    found = judged()
    energies = {"b0": 604, "c1": 500, "c2": 300, "c3": 200, "pv": 400}
    limits = {"b0": 0.005, "c1": 0.01, "c2": 0.01, "c3": 0.01, "pv": 0.01}
    registers = {"b0": 2, "c1": 1, "c2": 1, "c3": 1, "pv": 2}
    v = sum((limits[name] * energy) ** 2 for name, energy in energies.items())
    v += (0.001 * sum(energies.values())) ** 2
    v += sum(n / 2 for n in registers.values())
    v += sum(2 * (energy / 900) ** 2 for energy in energies.values())
    tolerance_wh = (found.band_wh - (found.loss.high_wh - found.loss.low_wh)) // 2
    assert tolerance_wh == int(4 * sqrt(v / 3))


WRONG = [
    pytest.param({"c1": (0, 0)}, Verdict.IMPOSSIBLE, 1, id="an import shaved to nothing"),
    pytest.param({"b0": (1_104, 0)}, Verdict.IMPOSSIBLE, 1, id="theft of 2 kW"),
    pytest.param({"pv": (0, 900)}, Verdict.IMPOSSIBLE, 1, id="a forged export"),
    pytest.param({"pv": (0, 800)}, Verdict.IMPOSSIBLE, 1, id="an export counted twice"),
    pytest.param({"pv": (0, 0)}, Verdict.IMPOSSIBLE, -1, id="a shaved export"),
    pytest.param({"c2": (800, 0)}, Verdict.IMPOSSIBLE, -1, id="an inflated import"),
    pytest.param({"b0": (204, 0)}, Verdict.IMPOSSIBLE, -1, id="unregistered generation"),
    pytest.param({"b0": (654, 0)}, Verdict.SUSPECT, 1, id="theft of 200 W"),
]


@pytest.mark.parametrize(("energies", "verdict", "sign"), WRONG)
def test_what_does_not_add_up_is_seen_and_the_sign_says_which_way(
    energies: dict[str, tuple[int, int]], verdict: Verdict, sign: int
) -> None:
    found = judged(**energies)
    assert found.verdict is verdict
    if sign > 0:
        assert found.residual_wh > found.loss.high_wh
    else:
        assert found.residual_wh < found.loss.low_wh


def test_reverse_flow_balances_too() -> None:
    found = judged(b0=(0, 396), c1=(100, 0), c2=(0, 0), c3=(200, 0), pv=(0, 700))
    assert found.verdict is Verdict.BALANCED
    assert found.residual_wh == 4


def test_collusion_that_adds_up_is_not_seen() -> None:
    assert judged(c1=(400, 0), c2=(400, 0)).verdict is Verdict.BALANCED


@pytest.mark.parametrize("meter", ["c1", "c2", "c3", "pv", "b0"])
def test_a_missing_meter_is_inconclusive_never_balanced(meter: str) -> None:
    found = judged(**{meter: None})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.coverage_ppm == 800_000
    assert found.band_wh > 1_000


def test_energy_that_no_missing_meter_explains_is_still_impossible() -> None:
    # c1 may have taken 3,751 Wh at most; its class and skew widen the tolerance to their largest.
    assert judged(c1=None, b0=(4_100, 0)).verdict is Verdict.INCONCLUSIVE
    assert judged(c1=None, b0=(4_300, 0)).verdict is Verdict.SUSPECT
    found = judged(c1=None, b0=(14_000, 0))
    assert found.verdict is Verdict.IMPOSSIBLE
    assert found.residual_wh == 14_000 - 100


def test_energy_from_nowhere_is_impossible_though_a_consumer_is_missing() -> None:
    assert judged(c1=None, b0=(0, 20_000)).verdict is Verdict.IMPOSSIBLE


def test_what_a_missing_meter_counted_never_turns_an_accusation() -> None:
    """The whole band is tested: no reading within capacity contradicts a verdict without it."""
    for boundary_wh in range(0, 9_000, 500):
        without = judged(c1=None, b0=(boundary_wh, 0)).verdict
        if without in (Verdict.SUSPECT, Verdict.IMPOSSIBLE):
            for wh in range(0, 3_751, 250):
                assert judged(c1=(wh, 0), b0=(boundary_wh, 0)).verdict is not Verdict.BALANCED


def test_a_zone_without_a_boundary_meter_is_unreferenced() -> None:
    def remove(content: dict[str, Any]) -> None:
        del content["meters"][0]

    found = judged(remove, b0=None)
    assert (found.verdict, found.band_wh) == (Verdict.UNREFERENCED, 0)


def test_light_load_has_the_wider_class_limit() -> None:
    member = next(m for m in registry().feeders["z1"].inner if m.id == "c1")
    # 5 % of 15 kW for a quarter of an hour is 187.5 Wh: from 188 Wh on class 1 holds.
    assert [each[:2] for each in member.limits] == [(188, 10_000), (0, 15_000)]
    assert member.worst == (0, 15_000, 15_000**2)


def test_transformers_of_the_boundary_meter_widen_its_limit() -> None:
    def add(content: dict[str, Any]) -> None:
        content["meters"][0]["ct_ppm"] = 7_500

    assert registry(add).feeders["z1"].boundary[0].limits == ((0, 12_500, 5_000**2 + 7_500**2),)
    assert judged(add).band_wh > judged().band_wh


def test_errors_of_a_meter_and_of_its_transformers_are_two_not_one() -> None:
    """Two limits of 6,000 ppm are worth one of 8,485, and 12,000 in the worst case only."""

    def of(class_ppm: int, ct_ppm: int) -> Callable[[dict[str, Any]], None]:
        def add(content: dict[str, Any]) -> None:
            content["meters"][0] |= {"class_ppm": [[0, class_ppm]], "ct_ppm": ct_ppm}

        return add

    two, one, added = of(6_000, 6_000), of(8_485, 0), of(12_000, 0)
    large: dict[str, tuple[int, int] | None] = {"b0": (10_000, 0)}
    assert judged(two, **large).band_wh == judged(one, **large).band_wh
    assert judged(two, **large).band_wh < judged(added, **large).band_wh


def test_no_forgery_above_the_published_band_settles_wherever_the_honest_sum_lay() -> None:
    """The band counts the tolerance on both sides: the honest residual may lie at its lower end."""
    lowest = min(wh for wh in range(590, 604) if judged(b0=(wh, 0)).verdict is Verdict.BALANCED)
    settled = [
        (exported - 400, found.band_wh)
        for exported in range(401, 700)
        if (found := judged(b0=(lowest, 0), pv=(0, exported))).verdict is Verdict.BALANCED
    ]
    assert settled
    assert all(forged_wh <= band_wh for forged_wh, band_wh in settled)
    assert settled[-1][0] > settled[-1][1] * 3 // 4


def test_coarse_registers_and_skew_are_variance_and_widen_the_band() -> None:
    known = registry()
    feeder, parameters = known.feeders["z1"], known.parameters
    coarse = judge(feeder, parameters, counted({}, step_wh=10))
    skewed = judge(feeder, parameters, counted({}, skew_ms=10_000))
    assert min(coarse.band_wh, skewed.band_wh) > judged().band_wh


def test_a_dead_zone_may_hide_what_it_hides() -> None:
    def add(content: dict[str, Any]) -> None:
        content["meters"][2]["dead_wh"] = 3

    idle: dict[str, tuple[int, int] | None] = {"c2": (0, 0), "b0": (304, 0)}
    assert judged(add, **idle).loss.high_wh == judged(**idle).loss.high_wh + 3
    assert judged(add).loss == judged().loss


def test_a_zone_of_nothing_is_balanced() -> None:
    nothing: dict[str, tuple[int, int] | None] = dict.fromkeys(ORDINARY, (0, 0))
    found = judged(**nothing)
    assert (found.verdict, found.residual_wh, found.loss) == (Verdict.BALANCED, 0, (0, 0))
