"""One run of the simulator from one seed, judged: safe at every step, alive after healing."""

from dataclasses import dataclass, replace

from validator.simulation.checkers import Checkers
from validator.simulation.network import Faults, Network, sign
from wire.block import ValidatorSet
from wire.keys import EDDSA, SoftSigner

RECOVERY_MS = 75_000
"""After healing every honest validator commits two more heights within this virtual time.

The longest round lasts 30 s, a round change is sent again every half round, and at most f leaders
in a row are silent or lie.
"""

EXTRA_HEIGHTS = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed."""

    seed: int
    """Reproduces the run, with the same commit."""

    heights: int
    """Committed by every honest validator."""

    max_round: int
    """Largest round that anyone entered."""

    safety: tuple[str, ...]
    """Violations of agreement or accountability, in words."""

    alive: bool
    """Whether all honest validators went on after healing."""

    recovery_ms: int
    """Virtual milliseconds from healing until then."""

    reported: frozenset[str]
    """Validators against whom there is evidence."""


def validators(count: int) -> ValidatorSet:
    """A set of that many validators with fixed keys."""
    keys = [
        SoftSigner.from_private(EDDSA, number.to_bytes(32, "big")).public
        for number in range(1, count + 1)
    ]
    return ValidatorSet(tuple((f"v{index:03}", key) for index, key in enumerate(keys)))


def run(members: ValidatorSet, faults: Faults, seed: int) -> Outcome:
    """Run one seed until it has recovered, or the bound has passed."""
    checkers = Checkers(members, sign)
    network = Network(members, faults, seed, checkers.committed, checkers.report)
    checkers.honest = frozenset(node.name for node in network.honest)
    network.run(faults.heal_at_ms)
    target = max(len(node.disk.chain) for node in network.honest) + EXTRA_HEIGHTS

    def recovered() -> bool:
        return all(len(node.disk.chain) >= target for node in network.honest)

    network.run(faults.heal_at_ms + RECOVERY_MS * max(1, members.faulty), recovered)
    return Outcome(
        seed,
        min(len(node.disk.chain) for node in network.honest),
        network.largest_round,
        tuple(checkers.violations),
        recovered(),
        network.now_ms - faults.heal_at_ms,
        frozenset(checkers.reported),
    )


def vary(faults: Faults, seed: int) -> Faults:
    """Change the weather with the seed: calm, lossy, crashing and cut networks all occur."""
    scale = (0.0, 0.5, 1.0, 3.0)[seed % 4]
    return replace(
        faults,
        loss=faults.loss * scale,
        crash=faults.crash * (0.0, 1.0, 4.0)[seed % 3],
        partition=faults.partition * (0.0, 1.0, 3.0)[seed // 4 % 3],
    )
