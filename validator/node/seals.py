"""Who has sealed the newest block: the quorum that made it final, and whoever comes after it.

Decides that every valid seal is kept for the next block to carry, because seals show who is alive
(rule R1), and tells whether all who are taken to be alive have sealed. Signatures were checked
before.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from validator.consensus.messages import Commit
from wire import block
from wire.block import ValidatorSet


class Seals:
    """Seals of the newest block, by validator."""

    def __init__(self) -> None:
        """Begin with none."""
        self._votes: dict[str, Commit] = {}

    def begin(self, height: int) -> None:
        """Forget what is not about the block of this height."""
        self._votes = {name: vote for name, vote in self._votes.items() if vote.height == height}

    def add(self, vote: Commit) -> None:
        """Keep a validator's newest seal, which may come before the block is final."""
        self._votes[vote.sender] = vote

    def on(self, commit: bytes, members: ValidatorSet) -> bytes:
        """The block's encoded commit with every seal that is here."""
        return with_late_seals(commit, members, self._votes.values())

    def are_of(self, names: Collection[str], commit: bytes, members: ValidatorSet) -> bool:
        """Whether all of these validators have sealed the block of this commit."""
        if not commit:
            return False
        found = block.Commit.decode(self.on(commit, members)).seals
        return {members.ids[index] for index, _ in found} >= set(names)


def with_late_seals(commit: bytes, members: ValidatorSet, votes: Iterable[Commit]) -> bytes:
    """An encoded commit with the seals of the votes that are for the same block and round.

    Args:
        commit: seals that are known; empty before the first block.
        members: the set that seals that height.
        votes: COMMITs of that height whose signatures have been checked.
    """
    if not commit:
        return commit
    known = block.Commit.decode(commit)
    seals = dict(known.seals)
    for vote in votes:
        index = members.index(vote.sender)
        if index is not None and (vote.round, vote.digest) == (known.round, known.digest):
            seals.setdefault(index, vote.signature)
    return replace(known, seals=tuple(sorted(seals.items()))).encoded
