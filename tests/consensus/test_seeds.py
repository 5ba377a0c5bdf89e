"""Networks from seeds: safe at every step, alive after healing; and planted bugs are found.

Bugs that a history in `nineteen.py` kills (no f+1 skip, rounds timed alone, messages counted
instead of signers) are not planted again here.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from validator.consensus import accusations, evidence, machine
from validator.consensus.justification import Committee
from validator.consensus.timeouts import Timeouts
from validator.simulation.cli import add_consensus_command
from validator.simulation.faults import CALM, Faults
from validator.simulation.runs import Outcome, run, validators, vary


def outcomes(count: int, byzantine: int, seeds: range) -> list[Outcome]:
    members = validators(count)
    faults = Faults(byzantine=byzantine, heal_at_ms=30_000)
    return [run(members, vary(faults, seed), seed) for seed in seeds]


@pytest.mark.parametrize(
    ("count", "byzantine", "seeds"), [(1, 0, 10), (4, 0, 80), (4, 1, 160), (7, 2, 60)]
)
def test_no_seed_breaks_agreement_or_stays_stuck(count: int, byzantine: int, seeds: int) -> None:
    found = outcomes(count, byzantine, range(seeds))
    assert [each.seed for each in found if each.safety] == []
    assert [each.seed for each in found if not each.alive] == []
    assert max(each.max_round for each in found) > 0 or count == 1


def test_a_seed_gives_the_same_run_again() -> None:
    assert outcomes(4, 1, range(7, 9)) == outcomes(4, 1, range(7, 9))


def test_a_network_without_quorum_stands_still_and_says_so() -> None:
    """Two of four lie: nobody is promised progress, but the checkers notice what happens."""
    found = outcomes(4, 2, range(30))
    assert any(each.safety or not each.alive for each in found)


def weak_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    def committee(height: int, leaders: Any, quorum: int, faulty: int) -> Any:
        return Committee(height, leaders, quorum - 1, faulty)

    monkeypatch.setattr(machine, "Committee", committee)


def forget_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are forgotten at a round change: two values may be committed."""
    real = machine.Machine._move

    def move(self: machine.Machine, round_number: int) -> None:
        self.certificate = None
        real(self, round_number)

    monkeypatch.setattr(machine.Machine, "_move", move)


def trust_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are taken from proposals as they come: what is committed is not what was voted for."""
    real = machine.Machine._on_proposal

    def on_proposal(self: machine.Machine, proposal: Any) -> None:
        self._bodies.keep(proposal.digest, proposal.block)
        real(self, proposal)

    monkeypatch.setattr(machine.Machine, "_on_proposal", on_proposal)


def endless_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts without a cap: recovery takes as long as the outage did."""
    monkeypatch.setattr(Timeouts, "round_ms", lambda self, r: self.base_ms << min(r, 30))


def blame_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that a crash could make: any two rounds of one sender."""

    def wrong(commit: Any, change: Any) -> bool:
        return bool(commit.sender == change.sender and change.round > commit.round)

    monkeypatch.setattr(accusations, "is_amnesia", wrong)
    monkeypatch.setattr(evidence, "is_amnesia", wrong)


ROUGH = Faults(0.3, 0.1, 2_500, 0.01, 0.1, 1, 30_000)
WRONG_CLOCKS = replace(CALM, heal_at_ms=600_000, skew_ms=60_000)
"""Every new value is refused, and round follows round, for ten minutes."""


@pytest.mark.parametrize(
    ("plant", "faults"),
    [
        (weak_quorum, ROUGH),
        (forget_certificate, ROUGH),
        (blame_restarts, ROUGH),
        (trust_bodies, ROUGH),
        (endless_rounds, WRONG_CLOCKS),
    ],
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], faults: Faults
) -> None:
    members = validators(4)
    healthy = run(members, faults, 0)
    assert healthy.alive
    assert not healthy.safety
    plant(monkeypatch)
    for seed in range(400):
        found = run(members, faults, seed)
        if found.safety or not found.alive:
            return
    pytest.fail("400 seeds saw nothing wrong")


def test_the_command_prints_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_consensus_command(parser.add_subparsers())
    args = parser.parse_args(["consensus", "--seeds", "5", "--byzantine", "1", "--json"])
    assert args.run(args) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["seeds"] == 5
    assert summary["failing_seeds"] == []
    assert parser.parse_args(["consensus", "--byzantine", "4"]).byzantine == 4
    args = parser.parse_args(["consensus", "--byzantine", "4"])
    assert args.run(args) == 2
