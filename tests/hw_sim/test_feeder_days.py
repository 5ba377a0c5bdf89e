"""Feeders' days under the rule that the validators seal zones by."""

import importlib.util
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hwsim import simbench_day
from hwsim.feeder import (
    INTERVALS,
    FeederDay,
    FeederMeter,
    registry_entries,
    rho,
    synthetic_day,
    write_profile,
)
from hwsim.vendors.eastron import RESOLUTION_WH
from meter.elements.simulated import SimulatedElement
from validator.app.registry import Registry
from validator.app.zone_seal import Measured, judge
from wire.errors import Unavailable
from wire.fields import identifier
from wire.genesis import Genesis
from wire.keys import EDDSA, SoftSigner
from wire.results import Verdict

ZONE = "z1"
GATEWAY = "gw-north"
SKEW_MS = 2_000
THEFT_W = 2_000
GRID = "1-LV-rural1--0-sw"
NAMEPLATES_W = [40_000, 78_381, 19_000, 23_000]
KEY = SoftSigner.generate(EDDSA).public.text


def registry(day: FeederDay, keys: dict[str, str]) -> Registry:
    """The day's feeder as validators register it."""
    readers = {each.id: GATEWAY for each in day.meters}
    meters, zone = registry_entries(day, ZONE, "PEA", readers, keys)
    gateway = {
        "id": GATEWAY,
        "operator": "PEA",
        "witness_key": SoftSigner.generate(EDDSA).public.text,
        "reader_key": SoftSigner.generate(EDDSA).public.text,
        "site": [day.meters[0].lat_e7, day.meters[0].lon_e7],
        "site_cos_ppm": 946_713,
        "radius_m": 200,
        "zones": [ZONE],
    }
    content: dict[str, Any] = {
        "format": 1,
        "name": "feeder",
        "time_ms": day.start_s * 1000,
        "paced_time": True,
        "parameters": {},
        "authorities": [{"id": "PEA", "name": "Provincial", "type": "PEA", "key": KEY}],
        "validators": [{"id": "val-pea", "authority": "PEA", "key": KEY}],
        "gateways": [gateway],
        "meters": meters,
        "zones": [zone],
        "unmetered": [],
    }
    return Registry.of(Genesis.from_json(json.dumps(content)))


def verdicts(day: FeederDay, keys: dict[str, str] | None = None) -> Counter[Verdict]:
    """Judge each interval of the day on what registers of the registered resolution show."""
    known = registry(day, keys or {})
    return Counter(
        judge(
            known.feeders[ZONE],
            known.parameters,
            {
                each.id: measured(each, index, known.meters[each.id].register_wh)
                for each in day.meters
            },
        ).verdict
        for index in range(len(day.meters[0].import_wh) - 1)
    )


def measured(meter: FeederMeter, index: int, step_wh: int) -> Measured:
    advances = [
        register[index + 1] // step_wh * step_wh - register[index] // step_wh * step_wh
        for register in (meter.import_wh, meter.export_wh)
    ]
    return Measured(advances[0], advances[1], SKEW_MS, step_wh)


def without(day: FeederDay, name: str, stolen_w: int) -> FeederDay:
    """The same day, one customer's meter bypassed by so much power."""
    meter = day.meter(name)
    shaved = tuple(value - index * stolen_w // 4 for index, value in enumerate(meter.import_wh))
    return replace(
        day,
        meters=tuple(
            replace(each, import_wh=shaved) if each.id == name else each for each in day.meters
        ),
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache: a day from the machine's own would show what an older version computed."""
    return tmp_path_factory.mktemp("days")


@pytest.fixture(scope="module")
def village(cache: Path) -> FeederDay:
    """A SimBench grid's day."""
    return simbench_day.simbench_day(GRID, cache)


def all_sign(day: FeederDay) -> dict[str, str]:
    return {each.id: SoftSigner.generate(EDDSA).public.text for each in day.meters}


def test_the_synthetic_day_balances_whatever_its_meters_are() -> None:
    day = synthetic_day()
    assert verdicts(day) == {Verdict.BALANCED: INTERVALS}
    assert verdicts(day, all_sign(day)) == {Verdict.BALANCED: INTERVALS}


@pytest.mark.parametrize("customers", [1, 12])
def test_a_synthetic_street_of_any_length_balances(customers: int) -> None:
    assert verdicts(synthetic_day(customers)) == {Verdict.BALANCED: INTERVALS}


def test_two_kilowatts_stolen_in_the_synthetic_street_never_balance() -> None:
    day = without(synthetic_day(), "customer-2", THEFT_W)
    assert verdicts(day, all_sign(day))[Verdict.BALANCED] == 0


def test_a_benchmark_grid_balances_whatever_its_meters_are(village: FeederDay) -> None:
    assert verdicts(village) == {Verdict.BALANCED: INTERVALS}
    assert verdicts(village, all_sign(village)) == {Verdict.BALANCED: INTERVALS}


def test_two_kilowatts_stolen_in_a_benchmark_grid_are_seen(village: FeederDay) -> None:
    customer = next(each for each in village.meters if each.role == "customer")
    found = verdicts(without(village, customer.id, THEFT_W), all_sign(village))
    assert found[Verdict.BALANCED] <= INTERVALS // 10


def test_a_benchmark_grid_has_a_summers_day_that_feeds_back(village: FeederDay) -> None:
    boundary = village.meters[0]
    assert boundary.role == "boundary"
    assert boundary.export_wh[-1] - boundary.export_wh[0] > 100_000
    plants = [each for each in village.meters if each.role == "source"]
    assert [each.installed_w for each in plants] == NAMEPLATES_W
    for plant in plants:
        given = plant.export_wh
        assert given[16] - given[0] <= 2  # Nothing before four in the morning.
        assert given[-1] - given[0] > plant.installed_w  # More than an hour at full power.


def test_ratings_hold_what_the_day_asks_of_them(village: FeederDay) -> None:
    for day in (synthetic_day(), village):
        for each in day.meters:
            steps = [
                after - before
                for register in (each.import_wh, each.export_wh)
                for before, after in pairwise(register)
            ]
            assert max(steps) * 4 <= each.rating_w
            assert each.installed_w <= each.rating_w
        # A low-voltage cable: more than the whole feeder asks, far less than a megawatt.
        for line in day.branches:
            assert day.meters[0].rating_w < line.ampacity_w < 1_000_000


def test_registers_never_run_backwards_and_fit_a_float32_of_whole_watthours(
    village: FeederDay,
) -> None:
    for day in (synthetic_day(), village):
        for each in day.meters:
            for register in (each.import_wh, each.export_wh):
                assert len(register) == INTERVALS + 1
                assert list(register) == sorted(register)
                assert register[-1] < 16_777_000


def test_every_name_is_an_identifier(village: FeederDay) -> None:
    for day in (synthetic_day(), village):
        for each in day.meters:
            identifier(each.id, "meter", most=20)
            identifier(each.node, "node")
        for line in day.branches:
            for name in (line.id, line.from_node, line.to_node):
                identifier(name, "branch")


def test_a_day_survives_its_file(tmp_path: Path) -> None:
    day = synthetic_day(customers=2, intervals=4)
    day.save(tmp_path / "day.json")
    assert FeederDay.load(tmp_path / "day.json") == day


def test_energy_flows_evenly_between_boundaries_and_stands_outside_the_day() -> None:
    day = synthetic_day(intervals=2)
    meter = day.meter("customer-1")
    first, second, last = (value * 1000 for value in meter.import_wh)
    start_ms = day.start_s * 1000
    assert day.registers_mwh(meter.id, start_ms - 5_000)[0] == first
    assert day.registers_mwh(meter.id, start_ms + 450_000)[0] == first + (second - first) // 2
    assert day.registers_mwh(meter.id, start_ms + 900_000)[0] == second
    assert day.registers_mwh(meter.id, start_ms + 9_000_000)[0] == last


def test_the_firmwares_element_plays_the_same_day(tmp_path: Path) -> None:
    day = synthetic_day(intervals=4)
    for meter in day.meters:
        write_profile(day, meter.id, tmp_path / meter.id)
        element = SimulatedElement(str(tmp_path / meter.id))
        for offset_ms in (0, 1, 450_000, 900_000, 3_000_123, 9_000_000):
            at_ms = day.start_s * 1000 + offset_ms
            assert element.read(at_ms) == day.registers_mwh(meter.id, at_ms)


def test_rho_is_the_loss_of_one_watthour_squared() -> None:
    # 10 kW through 0.1 ohm at 400 V lose 62.5 W, so 15.6 Wh in a quarter of an hour.
    assert rho(0.1) * 2_500**2 / 10**12 == pytest.approx(0.1 * (10_000 / 400) ** 2 / 4)


def test_an_unknown_grid_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(simbench_day.UnknownGrid, match="no-such-grid") as raised:
        simbench_day.simbench_day("no-such-grid", tmp_path)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_without_simbench_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match=r"pip install -e '\.\[sim\]'"):
        simbench_day.simbench_day(GRID, tmp_path)


def test_a_cached_day_is_used_and_a_damaged_one_is_computed_anew(
    village: FeederDay, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = cache.iterdir()
    computed: list[str] = []

    def compute(grid: str, file: Path) -> None:
        computed.append(grid)
        village.save(file)

    monkeypatch.setattr(simbench_day, "_compute_apart", compute)
    assert simbench_day.simbench_day(GRID, cache) == village
    assert computed == []
    kept.write_bytes(kept.read_bytes()[:500])
    assert simbench_day.simbench_day(GRID, cache) == village
    assert computed == [GRID]
    assert list(cache.iterdir()) == [kept]


def test_a_meter_is_registered_with_the_step_that_its_registers_have() -> None:
    known = registry(synthetic_day(), {"plant": KEY})
    assert known.meters["plant"].register_wh == 1
    assert known.meters["customer-1"].register_wh == RESOLUTION_WH
