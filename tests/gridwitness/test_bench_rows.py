"""The table of `gridwitness bench` finds its figures of the validators."""

from gridwitness.bench_validators import STEPS, Step, _report
from gridwitness.bench_whole import ROWS


def test_the_validators_part_has_every_figure_of_its_rows() -> None:
    steps = [Step(each, 10_000, 5.0, (each / 2_000,), 4.0, 0.1) for each in STEPS]
    found = _report(steps, 20_000.0, 150.0)
    assert {row.key for row in ROWS if row.part == "validator"} <= found.keys()
    assert found["receipt_p99_blocks"] == 2.5, "of as many under way as a block holds"
