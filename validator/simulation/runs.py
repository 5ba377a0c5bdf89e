"""One run of the simulator from one seed, judged: safe at every step, alive after healing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from validator.consensus.timeouts import ROUND_TRIPS, Timeouts
from validator.simulation.checkers import Judge
from validator.simulation.clients import AGAIN_MS
from validator.simulation.faults import HEALED_DELAY_MS, MOST_DOWN_MS, Faults, vary
from validator.simulation.greetings import GREETING_MS
from validator.simulation.marks import key_of, sign
from validator.simulation.network import BLOCK_INTERVAL_MS, Network
from validator.simulation.set_changes import EXTRA, Rule
from wire.block import ValidatorSet

__all__ = ["Outcome", "recovery_ms", "run", "validators", "vary"]

EXTRA_HEIGHTS = 2
"""After healing every honest validator commits so many more heights."""


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
    """Violations of what the checkers watch, in words."""

    alive: bool
    """Whether all honest validators went on within the bound, with all that clients had sent."""

    recovery_ms: int
    """Virtual milliseconds from healing until then."""

    bound_ms: int
    """The bound."""

    reported: frozenset[str]
    """Validators against whom there is evidence."""

    sets: int = 1
    """Validator sets that the blocks were sealed by."""

    keys: int = 0
    """How many of them differ from the one before in a key alone."""


def recovery_ms(members: ValidatorSet, faults: Faults, timeouts: Timeouts) -> int:
    """Within this virtual time after healing everybody has all that was sent, and two more heights.

    Who is down comes back, hears a greeting of each of the others, and catches up. Whoever is in a
    late round hears the others within half a round, and the round under way ends: then all honest
    validators are in rounds that differ by one at most, for a round is timed only when a quorum is
    in it. At most f leaders in a row are bad, each for one capped round. A height after that costs
    its interval and the rounds of f bad leaders, by a base that may still be that of the slowest
    round trips before; f makers may leave out what clients sent. Clocks that were fast have to be
    caught up with.
    """
    bad = members.faulty
    slowest_ms = ROUND_TRIPS * 2 * max(faults.most_delay_ms, HEALED_DELAY_MS)
    timeouts = replace(timeouts, base_ms=min(timeouts.cap_ms, max(timeouts.base_ms, slowest_ms)))
    capped_ms = timeouts.cap_ms + HEALED_DELAY_MS
    back_ms = MOST_DOWN_MS + len(members) * GREETING_MS + 4 * HEALED_DELAY_MS
    late_ms = capped_ms // 2 + (bad + 2) * capped_ms
    rounds_ms = sum(timeouts.round_ms(number) + HEALED_DELAY_MS for number in range(bad + 1))
    fresh_ms = (EXTRA_HEIGHTS + bad) * (BLOCK_INTERVAL_MS + rounds_ms)
    skewed_ms = 2 * faults.skew_ms + timeouts.cap_ms * faults.drift_permille // 1_000
    return back_ms + late_ms + fresh_ms + AGAIN_MS + skewed_ms


def validators(count: int) -> ValidatorSet:
    """A set of that many validators with their first keys."""
    names = [f"v{index:03}" for index in range(count)]
    return ValidatorSet(tuple((name, key_of(name)) for name in names))


def run(
    members: ValidatorSet,
    faults: Faults,
    seed: int,
    tell: Callable[[int, str, str], None] | None = None,
) -> Outcome:
    """Run one seed until it has recovered, or the bound has passed.

    Args:
        members: who agrees.
        faults: what goes wrong.
        seed: of all chance.
        tell: told what happens: virtual milliseconds, validator, words.
    """
    everyone = validators(len(members) + EXTRA) if faults.changes else members
    rule = Rule(everyone, members)
    judge = Judge(everyone, sign, rule=rule)
    if tell is not None:
        judge.tell = tell
    network = Network(everyone, faults, seed, judge, rule=rule)
    judge.honest = frozenset(node.name for node in network.honest)
    judge.sent = network.clients.sent
    network.run(faults.heal_at_ms)
    target = max(len(node.chain) for node in network.honest) + EXTRA_HEIGHTS
    owed = set(network.clients.sent)

    def recovered() -> bool:
        return all(len(node.chain) >= target and owed <= node.taken for node in network.honest)

    bound_ms = recovery_ms(everyone, faults, Timeouts())
    network.run(faults.heal_at_ms + bound_ms, recovered)
    return Outcome(
        seed,
        min(len(node.chain) for node in network.honest),
        network.largest_round,
        tuple(judge.violations),
        recovered(),
        network.now_ms - faults.heal_at_ms,
        bound_ms,
        frozenset(judge.reported),
        judge.sets,
        judge.keys,
    )
