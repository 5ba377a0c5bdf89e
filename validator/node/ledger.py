"""What is agreed on, and what its history says of validators.

Decides nothing new: gathers from committed blocks what rule R1 needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from validator.app.application import Application
from validator.consensus.proposer import Decided, order, window
from validator.node.candidate import Blocks, Tip
from validator.node.store import Store
from wire.block import ValidatorSet
from wire.genesis import Genesis


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is agreed on, and what checks it."""

    genesis: Genesis
    """The beginning."""

    store: Store
    """Blocks on disk."""

    application: Application
    """The rules and their state, as of the newest block."""

    blocks: Blocks
    """Makes and checks blocks."""

    def tip(self) -> Tip:
        """The newest block on the disk."""
        stored = self.store.block(self.store.height)
        return Tip.genesis(self.genesis) if stored is None else Tip.of(stored.block, stored.commit)

    def validators(self, height: int) -> ValidatorSet:
        """The set that seals a height, as far as it is decided: two heights after the tip."""
        return self.application.ruling.validators(height)


def decided(store: Store, validators: Callable[[int], ValidatorSet], last: int) -> list[Decided]:
    """What committed blocks with canonical commits say of validators, oldest first (rule R1).

    A block's canonical commit is the one that the next block carries. Failed are the leaders that
    stood before its proposer in the plain rotation, as many as rounds were lost.

    Args:
        store: the blocks.
        validators: tells the set of a height.
        last: height of the newest block.
    """
    most = window(validators(last + 1))
    found = store.headers(max(1, last - most - 1), last)
    history = []
    for (before, _), (header, _), (_, commit) in zip(found, found[1:], found[2:], strict=False):
        members = validators(header.height)
        leaders = order(members, before.proposer, ())
        failed = tuple(leaders[: min(commit.round, len(leaders))])
        sealers = frozenset(members.ids[index] for index, _ in commit.seals)
        history.append(Decided(header.proposer, failed, sealers, frozenset(members.ids)))
    return history
