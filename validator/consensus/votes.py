"""Votes by distinct signers, in memory that no flood can grow.

Keeps the first vote of each sender for each round, the rounds of a sender bounded, and finds the
two that contradict each other. Decides nothing about what a quorum means.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from validator.consensus.evidence import Evidence, contradict
from validator.consensus.messages import Commit, Message, Prepare, Proposal, RoundChange
from wire.block import ValidatorSet

KEPT_ROUNDS = 8
"""Rounds kept of one sender; the oldest goes first."""

_ORDER = (RoundChange.kind, Proposal.kind, Prepare.kind, Commit.kind)

MOST_SLOTS = len(_ORDER) * KEPT_ROUNDS
"""Own messages kept: four kinds in each of so many rounds."""

Vote = TypeVar("Vote", Prepare, Commit, Proposal)


def _pair(known: Message | None, other: Message) -> Evidence | None:
    if known is None or not contradict(known, other):
        return None
    return Evidence(known, other)


class Ballots(Generic[Vote]):
    """One kind of vote of one height."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_sender: dict[str, dict[int, Vote]] = {}

    def add(self, vote: Vote) -> Evidence | None:
        """Keep a vote; return evidence when its sender has voted otherwise in that round."""
        rounds = self._by_sender.setdefault(vote.sender, {})
        if vote.round in rounds:
            return self.against(vote)
        rounds[vote.round] = vote
        if len(rounds) > KEPT_ROUNDS:
            del rounds[min(rounds)]
        return None

    def against(self, vote: Vote) -> Evidence | None:
        """Evidence when a vote, kept or not, contradicts the one that is kept of its round."""
        known = self._by_sender.get(vote.sender, {}).get(vote.round)
        return _pair(known, vote)

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
            return False, self.against(change)
        self._by_sender[change.sender] = change
        return True, None

    def against(self, change: RoundChange) -> Evidence | None:
        """Evidence when a claim, kept or not, contradicts the sender's newest."""
        return _pair(self._by_sender.get(change.sender), change)

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


class Spoken:
    """What oneself has said, or asked to say, from the present round on."""

    def __init__(self) -> None:
        """Start silent."""
        self._slots: dict[tuple[str, int], Message | None] = {}

    def take(self, message: Message) -> bool:
        """Take the slot of a message that is to be said; False when it is taken."""
        if self.taken(message.kind, message.round):
            return False
        self._slots[(message.kind, message.round)] = None
        return True

    def taken(self, kind: str, round_number: int) -> bool:
        """Whether the slot is taken."""
        return (kind, round_number) in self._slots

    def keep(self, message: Message) -> None:
        """Keep a signed message of one's own.

        One may come of a round that this machine has not reached, when its memory was lost. Of
        those the nearest are kept, in case a copy of this key speaks without end; the sign-state
        beside the key knows all of them.
        """
        self._slots[(message.kind, message.round)] = message
        if len(self._slots) > MOST_SLOTS:
            del self._slots[max(self._slots, key=lambda slot: slot[1])]

    def get(self, kind: str, round_number: int) -> Message | None:
        """The signed message of a slot."""
        return self._slots.get((kind, round_number))

    def of(self, round_number: int) -> list[Message]:
        """Signed messages of a round, in the order in which they are said."""
        kept = (self._slots.get((kind, round_number)) for kind in _ORDER)
        return [message for message in kept if message is not None]

    def forget_below(self, round_number: int) -> None:
        """Earlier rounds are over for this validator: nothing is said in them any more."""
        self._slots = {slot: kept for slot, kept in self._slots.items() if slot[1] >= round_number}


def senders(votes: Sequence[Prepare], but: str) -> tuple[str, ...]:
    """Who has voted, oneself left out."""
    return tuple(vote.sender for vote in votes if vote.sender != but)


def seals_of(votes: Sequence[Commit], validators: ValidatorSet) -> tuple[tuple[int, bytes], ...]:
    """The COMMITs of one round and value as a block carries them: (place in the set, signature)."""
    indexed = ((validators.index(vote.sender), vote.signature) for vote in votes)
    return tuple(sorted((index, seal) for index, seal in indexed if index is not None))
