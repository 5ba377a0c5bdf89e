"""Real validators under faults: the short of `gridwitness sim torment`, which goes on for hours.

What must hold is judged there: the chain goes on within a bound after each fault, all ledgers are
the same at the end, no batch is lost, and no key signs two things for one slot.
"""

from pathlib import Path

import pytest

from gridwitness.torment import Plan, bound_s, torment


@pytest.mark.parametrize(
    ("validators", "faults"),
    [
        pytest.param(4, ("restore",), id="4, one restored from a backup"),
        pytest.param(7, ("freeze", "disk", "kill-all"), id="7, frozen, disks full, all killed"),
    ],
)
def test_the_chain_survives(tmp_path: Path, validators: int, faults: tuple[str, ...]) -> None:
    report = torment(tmp_path, validators, Plan(faults, seed=1, longest_s=1.0))
    assert (report.failures, report.double_signs) == ([], [])
    assert len(report.faults) == len(faults)
    assert report.votes > report.height > 0
    assert report.batches > 0
    assert max(report.recovery_s) <= bound_s(validators)
