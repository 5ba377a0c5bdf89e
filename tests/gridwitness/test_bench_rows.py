"""The table of `gridwitness bench` finds its figures of the validators."""

import pytest

from gridwitness.bench_limit import CheckRate, between, busy
from gridwitness.bench_validators import STEPS, Step, _report
from gridwitness.bench_whole import ROWS, Row


def test_the_validators_part_has_every_figure_of_its_rows() -> None:
    steps = [Step(each, 10_000, 5.0, (each / 2_000,), 4.0, 0.1) for each in STEPS]
    found = _report(steps, CheckRate(2, 50e-6, 0.7), 150.0)
    assert {row.key for row in ROWS if row.part == "validator"} <= found.keys()
    assert found["receipt_p99_blocks"] == 2.5, "of as many under way as a block holds"
    assert found["verify_per_s_per_core"] == 20_000
    assert found["ratio_to_limit"] == 0.2, "2,000 of 40,000 / 4"


def test_the_limit_is_that_of_a_quiet_machine_and_a_busy_one_is_told() -> None:
    rate = between(CheckRate(2, 50e-6, 0.5), CheckRate(2, 30e-6, 0.9))
    assert rate.per_s == pytest.approx(50_000.0)
    assert rate.share == pytest.approx(0.7)
    assert "others used 30% of the cores" in busy(rate.share)


def test_a_row_says_whether_its_aim_is_met() -> None:
    least, most = Row("", "", "", "", least=0.75), Row("", "", "", "", most=65_536)
    assert least.verdict(0.75) == "at least 0.75 met"
    assert least.verdict(0.74) == "at least 0.75 NOT MET"
    assert most.verdict(65_536) == "at most 65,536 met"
    assert most.verdict(65_537) == "at most 65,536 NOT MET"
    assert Row("", "", "", "", remark="the limit").verdict(1) == "the limit"
