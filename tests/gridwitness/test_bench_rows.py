"""The table of `gridwitness bench` finds its figures of the validators."""

import pytest

from gridwitness.bench_limit import CheckRate, between
from gridwitness.bench_validators import STEPS, Step, _report
from gridwitness.bench_whole import ROWS


def test_the_validators_part_has_every_figure_of_its_rows() -> None:
    steps = [Step(each, 10_000, 5.0, (each / 2_000,), 4.0, 0.1) for each in STEPS]
    found = _report(steps, CheckRate(2, 40_000.0, 50e-6), 150.0)
    assert {row.key for row in ROWS if row.part == "validator"} <= found.keys()
    assert found["receipt_p99_blocks"] == 2.5, "of as many under way as a block holds"
    assert found["verify_per_s_per_core"] == 20_000
    assert found["ratio_to_limit"] == 0.2, "2,000 of 40,000 / 4"


def test_the_limit_is_the_mean_of_before_and_after() -> None:
    rate = between(CheckRate(2, 40_000.0, 50e-6), CheckRate(2, 20_000.0, 60e-6))
    assert rate.per_s == 30_000.0
    assert rate.cpu_s == pytest.approx(55e-6)
