"""Votes by distinct signers, in memory that no flood can grow.

Keeps the first vote of each sender for each round, the rounds of a sender bounded, and finds the
two that contradict each other. Decides nothing about what a quorum means.
"""

from typing import Generic, TypeVar

from validator.consensus.evidence import Evidence, contradict, is_amnesia
from validator.consensus.messages import Commit, Message, Prepare, Proposal, RoundChange

KEPT_ROUNDS = 8
"""Rounds kept of one sender; the oldest goes first."""

Vote = TypeVar("Vote", Prepare, Commit, Proposal)


class Ballots(Generic[Vote]):
    """One kind of vote of one height."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_sender: dict[str, dict[int, Vote]] = {}

    def add(self, vote: Vote) -> Evidence | None:
        """Keep a vote; return evidence when its sender has voted otherwise in that round."""
        rounds = self._by_sender.setdefault(vote.sender, {})
        known = rounds.get(vote.round)
        if known is not None:
            return Evidence(known, vote) if contradict(known, vote) else None
        rounds[vote.round] = vote
        if len(rounds) > KEPT_ROUNDS:
            del rounds[min(rounds)]
        return None

    def of(self, round_number: int, digest: bytes) -> list[Vote]:
        """Votes of distinct senders for one value in one round."""
        found = (rounds.get(round_number) for rounds in self._by_sender.values())
        return [vote for vote in found if vote is not None and vote.digest == digest]

    def by(self, sender: str) -> list[Vote]:
        """All kept votes of one sender."""
        return list(self._by_sender.get(sender, {}).values())

    def all(self) -> list[Vote]:
        """All kept votes, by sender."""
        return [vote for sender in sorted(self._by_sender) for vote in self.by(sender)]


class RoundChanges:
    """The newest ROUND-CHANGE of each sender at one height."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_sender: dict[str, RoundChange] = {}

    def add(self, change: RoundChange) -> tuple[bool, Evidence | None]:
        """Keep it when newer than the sender's last; evidence when it contradicts that one."""
        known = self._by_sender.get(change.sender)
        if known is not None and change.round <= known.round:
            return False, Evidence(known, change) if contradict(known, change) else None
        self._by_sender[change.sender] = change
        return True, None

    def at(self, round_number: int) -> list[RoundChange]:
        """Those for exactly this round, by sender."""
        found = (self._by_sender[sender] for sender in sorted(self._by_sender))
        return [change for change in found if change.round == round_number]

    def above(self, round_number: int) -> list[int]:
        """Rounds above this one that distinct senders want, ascending."""
        rounds = (change.round for change in self._by_sender.values())
        return sorted(each for each in rounds if each > round_number)

    def by(self, sender: str) -> RoundChange | None:
        """The sender's newest."""
        return self._by_sender.get(sender)


class Sightings:
    """The latest round that each sender was seen in, by whatever it said."""

    def __init__(self) -> None:
        """Start empty."""
        self._latest: dict[str, int] = {}

    def add(self, message: Message) -> None:
        """Its sender has entered its round."""
        known = self._latest.get(message.sender, 0)
        self._latest[message.sender] = max(known, message.round)

    def reached(self, round_number: int) -> int:
        """How many distinct senders have entered this round or a later one."""
        return sum(latest >= round_number for latest in self._latest.values())


def amnesia(commits: list[Commit], change: RoundChange | None) -> Evidence | None:
    """Evidence when a sender's ROUND-CHANGE forgets one of its COMMITs."""
    if change is None:
        return None
    for commit in commits:
        if is_amnesia(commit, change):
            return Evidence(commit, change)
    return None
