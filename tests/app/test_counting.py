"""Which reading of a meter and interval counts, and what its status bits do."""

from typing import Any

import pytest

from tests.app.test_sealing import credits_of, seals_of
from tests.app.village import ORDINARY, Register, Village, signer
from validator.app.records import CASE
from validator.app.registry import BadRegistry
from wire.reading import ReactiveEnergy
from wire.results import LATE, REASONS

DAYS = 36 * 96


def two_readers(content: dict[str, Any]) -> None:
    content["meters"][3]["also_read_by"] = ["gw-b"]


def by_the_other(village: Village) -> Register:
    """The meter c3 as gw-b reads it."""
    other = Register(village.meters["c3"].entry)
    other.signer = signer("gw-b reader")
    return other


def test_either_reader_of_a_meter_is_heard() -> None:
    village = Village(two_readers)
    other = by_the_other(village)
    assert village.decide(other.close(0, 200, 0), 0, gateway="gw-b") == "accepted"
    assert village.decide(village.meters["c3"].close(0, 201, 0), 0) == "accepted"


def test_a_stranger_is_no_reader() -> None:
    village = Village()
    assert village.decide(by_the_other(village).close(0, 200, 0), 0) == "unknown-key"


def test_the_first_reader_counts_when_two_read_a_meter() -> None:
    village = Village(two_readers)
    other, readings = by_the_other(village), village.close(0)
    village.commit([village.batch([other.close(0, 203, 0), *readings.values()], 0)], 0)
    assert seals_of(village) == [(0, 0, "BALANCED")]
    assert credits_of(village, 0)["c3"] == (200, 0)


def test_the_other_reader_counts_when_the_first_is_silent_and_what_is_credited_stays() -> None:
    village = Village(two_readers)
    other, readings = by_the_other(village), village.close(0)
    first = readings.pop("c3")
    village.commit([village.batch([other.close(0, 203, 0), *readings.values()], 0)], 0)
    assert credits_of(village, 0)["c3"] == (203, 0)
    assert village.decide(first, 0) == "accepted"
    assert seals_of(village) == [(0, 0, "BALANCED"), (0, 1, "BALANCED")]
    assert credits_of(village, 0)["c3"] == (203, 0)


@pytest.mark.parametrize("bit", [2, 18])
def test_a_value_that_is_no_measurement_is_on_the_ledger_and_counts_as_missing(bit: int) -> None:
    village = Village()
    readings = village.close(0, c1=None)
    readings["c1"] = village.meters["c1"].close(0, 500, 0, status=1 << bit)
    assert village.commit([village.batch(readings.values(), 0)], 0) == [["accepted"] * 5]
    assert seals_of(village) == [(0, 0, "INCONCLUSIVE")]


@pytest.mark.parametrize("bit", [0, 8, 9, 10, 11, 12, 13, 14])
def test_a_mark_is_counted_in_the_seal_and_changes_no_verdict(bit: int) -> None:
    village = Village()
    readings = village.close(0, c1=None, c2=None)
    for name in ("c1", "c2"):
        close = village.meters[name].close
        readings[name] = close(0, *ORDINARY[name], status=1 << bit | 1 << 19)
    village.commit([village.batch(readings.values(), 0)], 0)
    assert seals_of(village) == [(0, 0, "BALANCED")]
    assert village.seals[0].marked == 2


@pytest.mark.parametrize("bit", [1, 5, 7, 15, 16, 17, 19, 40])
def test_other_bits_are_the_meters_own_business(bit: int) -> None:
    village = Village()
    readings = village.close(0, c1=None)
    readings["c1"] = village.meters["c1"].close(0, 500, 0, status=1 << bit)
    village.commit([village.batch(readings.values(), 0)], 0)
    assert (seals_of(village), village.seals[0].marked) == ([(0, 0, "BALANCED")], 0)


def test_reactive_registers_narrow_the_band_of_the_seal() -> None:
    def slot(village: Village, **changes: Any) -> int:
        readings = [
            village.meters[name].close(0, *energy, **changes) for name, energy in ORDINARY.items()
        ]
        village.commit([village.batch(readings, 0)], 0)
        return village.seals[0].loss_high_wh - village.seals[0].loss_low_wh

    def lossy(content: dict[str, Any]) -> None:
        for each in content["zones"][0]["branches"]:
            each["rho"] = 10_000_000

    reactive = ReactiveEnergy(1_000, 0, 10, 0)
    assert slot(Village(lossy), reactive=reactive) < slot(Village(lossy))


def test_c_more_reactive_energy_than_the_fuse_lets_through_is_refused() -> None:
    village = Village()
    meter = village.meters["c1"]
    most = meter.close(0, 0, 0, reactive=ReactiveEnergy(5_000, 5_000, 3_000, 751))
    assert village.decide(most, 0) == "accepted"
    more = meter.close(1, 0, 0, reactive=ReactiveEnergy(9_000, 9_000, 3_000, 752))
    assert village.decide(more, 1) == "over-rating-reactive"


def test_late_readings_are_on_the_ledger_and_settle_nothing() -> None:
    village = Village()
    readings = village.close(0)
    late = readings.pop("c2")
    village.commit([village.batch(readings.values(), 0)], 0)
    village.commit([], DAYS)
    assert village.decide(late, DAYS) == REASONS[LATE].name
    assert [each for each in seals_of(village) if each[0] == 0] == [(0, 0, "INCONCLUSIVE")]
    assert credits_of(village, 0) == {}


def test_an_inconclusive_window_becomes_a_case_when_its_acceptance_window_ends() -> None:
    village = Village()
    village.commit([village.batch(village.close(0, c2=None).values(), 0)], 0)
    village.commit([], 6)
    village.commit([], 35 * 96 - 1)
    assert list(village.app.state.rows(CASE)) == []
    village.commit([], 35 * 96)
    assert len(list(village.app.state.rows(CASE))) == 1


def test_a_window_that_is_sealed_and_ends_in_one_block_becomes_a_case_in_the_next() -> None:
    village = Village()
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    village.commit([], 40)
    village.commit([], 35 * 96 + 40)
    village.commit([], 35 * 96 + 40)
    village.commit([], 35 * 96 + 40)
    first = [row for row, _ in village.app.state.rows(CASE)]
    assert len(first) == 40, "windows 1 to 40"


def test_a_reader_that_is_no_gateway_or_serves_another_zone_is_refused() -> None:
    def stranger(content: dict[str, Any]) -> None:
        content["meters"][3]["also_read_by"] = ["gw-x"]

    with pytest.raises(BadRegistry, match="gw-x"):
        Village(stranger)
