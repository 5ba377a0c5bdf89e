"""Who proposes: round robin past the parent's proposer, unhealthy ones last (rule R1).

Decides from committed blocks only, so that every validator agrees: never from what one node has
seen. Changes nobody's voting power: an ineligible validator still votes, still may lead a later
round, and is back after its next seal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wire.block import ValidatorSet


@dataclass(frozen=True, slots=True)
class Decided:
    """What a committed block and its canonical commit say about validators."""

    proposer: str
    """Who made the block."""

    failed: tuple[str, ...]
    """Leaders of its height's earlier rounds."""

    sealers: frozenset[str]
    """Whose seals are in the commit that the next block carries."""

    members: frozenset[str]
    """Who could have sealed it: the set of its height."""


def window(validators: ValidatorSet) -> int:
    """How many committed blocks count: 4n."""
    return 4 * len(validators)


def ineligible(validators: ValidatorSet, history: Sequence[Decided]) -> frozenset[str]:
    """At most f that have no seal, or two failed slots, in the window; fewest seals first.

    A seal is missed only by who was a validator in the whole window: one that has joined since is
    given its time.
    """
    recent = history[-window(validators) :]
    if len(recent) < window(validators):
        return frozenset()
    seals = {name: sum(name in each.sealers for each in recent) for name in validators.ids}
    failures = {name: 0 for name in validators.ids}
    for each in recent:
        for name in each.failed:
            if name in failures and name != each.proposer:
                failures[name] += 1
    old = frozenset.intersection(*(each.members for each in recent))
    silent = {name for name in validators.ids if not seals[name] and name in old}
    suspects = [name for name in validators.ids if name in silent or failures[name] >= 2]
    suspects.sort(key=lambda name: (seals[name], name))
    return frozenset(suspects[: validators.faulty])


def order(
    validators: ValidatorSet, parent_proposer: str | None, history: Sequence[Decided]
) -> tuple[str, ...]:
    """Leaders of rounds 0, 1, … of the next height; the list repeats.

    Args:
        validators: the set of that height.
        parent_proposer: header's proposer of the block before; None before the first.
        history: committed blocks with canonical commits, oldest first.
    """
    ids = validators.ids
    first = 0
    if parent_proposer is not None:
        # Past the parent's proposer; one that has left the set counts as its place would.
        first = sum(name <= parent_proposer for name in ids) % len(ids)
    rotated = ids[first:] + ids[:first]
    last = ineligible(validators, history)
    return tuple(sorted(rotated, key=lambda name: name in last))


def leader(leaders: Sequence[str], round_number: int) -> str:
    """Rule R1: the leader of a round."""
    return leaders[round_number % len(leaders)]
