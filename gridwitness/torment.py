"""Real validators on this machine under faults, with batches flowing.

Decides what must hold: after every fault the chain goes on within a bound that follows from the
network's timeouts, at the end all ledgers are the same, every batch is final, and no key has signed
two different things for one slot, of all votes that sign-states ever held.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridwitness.torment_faults import Torment
from gridwitness.torment_ground import SILENCE_S, TIMES, Ground
from gridwitness.torment_offer import Offering

START_UP_S = 10.0
"""A Python process that reads its ledger and connects, on a machine whose cores are shared."""

RECONNECT_S = 10.0
"""As the mesh: a pause of 5 s and a handshake of 5 s at most."""


def bound_s(validators: int, outage_s: float = 0.0) -> float:
    """Within so many seconds after a fault every validator has a block that it had not before.

    TCP sends again what was lost within the time that the links were cut (its pauses double), or
    the mesh gives the link up after 30 s; who was away starts and connects; the round in progress
    ends (one capped timeout); f leaders in a row may still be catching up, a capped timeout each;
    then a round at the base, and its block.
    """
    faulty = (validators - 1) // 3
    rounds_ms = (1 + faulty) * TIMES["round_timeout_cap_ms"] + 2 * TIMES["round_timeout_ms"]
    interval_ms = TIMES["empty_block_interval_ms"]
    links_s = min(outage_s, SILENCE_S) + RECONNECT_S
    return START_UP_S + links_s + (rounds_ms + interval_ms) / 1000


@dataclass
class Report:
    """What a torment came to."""

    validators: int
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    height: int = 0
    batches: int = 0
    votes: int = 0
    recovery_s: list[float] = field(default_factory=list)
    bound_s: float = 0.0
    double_signs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """As JSON."""
        slowest = max(self.recovery_s, default=0.0)
        return {
            "validators": self.validators,
            "seconds": round(self.seconds, 1),
            "faults": len(self.faults),
            "height": self.height,
            "batches_final": self.batches,
            "votes_seen": self.votes,
            "slowest_recovery_s": round(slowest, 1),
            "recovery_bound_s": self.bound_s,
            "double_signs": self.double_signs,
            "failures": self.failures,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    faults: tuple[str, ...]
    """Of these one after the other; all in this order when there is no time to fill."""

    seed: int
    """Decides who suffers, and the order."""

    seconds: float = 0.0
    """Goes on for so long; 0 for each fault once."""

    longest_s: float = 4.0
    """A fault lasts so long at most."""

    apart: bool = False
    """Each validator in a network namespace; this process is in one that it has entered."""


def torment(
    folder: Path, validators: int, plan: Plan, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Make a network in a folder, torment it, and say what came of it."""
    started = time.monotonic()
    report = Report(validators, bound_s=bound_s(validators, plan.longest_s + 1))
    intervals = 1 + int(plan.seconds / 60)
    say(f"{intervals * 1000} readings are signed, keys are made")
    ground = Ground(folder, validators, intervals, apart=plan.apart)
    try:
        ground.broker.start()
        ground.start()
        offering = Offering(ground, every_s=0.4)
        try:
            _recover(ground, report)
            _suffer(Torment(ground, random.Random(plan.seed), plan.longest_s), plan, report, say)
            if not offering.drain(report.bound_s):
                report.failures.append(f"{offering.waiting} batches are not final")
            if offering.refused:
                report.failures.append(f"{offering.refused} refusals of good batches")
        finally:
            offering.close()
        _judge(ground, report)
        report.batches = offering.sent - offering.waiting
    finally:
        ground.close()
    report.seconds = time.monotonic() - started
    return report


def _suffer(torment: Torment, plan: Plan, report: Report, say: Callable[[str], None]) -> None:
    ends = time.monotonic() + plan.seconds
    order = list(plan.faults)
    while order:
        did = torment.faults[order.pop(0)]()
        recovery_s = _recover(torment.ground, report)
        report.faults.append(did)
        say(f"{did}: goes on after {recovery_s:.1f} s, at height {report.height}")
        failed = report.failures or torment.failures
        if plan.seconds and time.monotonic() < ends and not failed:
            order = order or torment.chance.sample(plan.faults, len(plan.faults))
        elif plan.seconds:
            break
    report.failures += torment.failures


def _recover(ground: Ground, report: Report) -> float:
    """Wait until every validator has a block that none had; a failure when the bound passes."""
    began = time.monotonic()
    highest = max(ground.heights().values())
    while min(ground.heights().values()) <= highest:
        if time.monotonic() - began > report.bound_s:
            report.failures.append(f"no block after {highest} everywhere: {ground.heights()}")
            break
        ground.watch(0.1)
    report.height = max(ground.heights().values())
    report.recovery_s.append(time.monotonic() - began)
    return report.recovery_s[-1]


def _judge(ground: Ground, report: Report) -> None:
    ground.look()
    report.votes = len(ground.votes)
    report.double_signs = list(ground.contradictions)
    offences = ground.offences()
    if offences:
        report.double_signs.append(f"{offences} offences are told")
    differ = ground.disagreement()
    if differ:
        report.failures.append(differ)
    for name, program in ground.programs.items():
        if not program.alive:
            report.failures.append(f"{name} ended: {program.last_words()}")
        if "Traceback" in program.log.read_text(errors="replace"):
            report.failures.append(f"{name} logged a traceback")
