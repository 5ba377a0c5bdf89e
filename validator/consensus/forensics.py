"""Who broke agreement: what transcripts of correct validators prove when they are laid together.

Up to f Byzantine validators agreement holds. Above that, but below q, it may break; then the
messages that correct validators have received and sent name at least 2q - n, that is f + 1 or more,
of those who broke it, and never a correct one. Why: value x was decided in round r, another one is
in a later round. Take the first later round in which a quorum prepared another value. One of that
quorum is correct and has kept the proposal with its q ROUND-CHANGEs; the highest claim among them
is older than r, or another value at r. Whoever sent COMMIT(r, x) and one of those ROUND-CHANGEs has
forgotten its COMMIT, and two quorums share 2q - n. In one and the same round they share as many who
sent two COMMITs.

Decides what follows from messages whose signatures stand; who collects them is left to others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from validator.consensus.evidence import Evidence, Offence, bare, contradict
from validator.consensus.messages import COMMIT, Message, Proposal, RoundChange
from wire.block import ValidatorSet


@dataclass(frozen=True, slots=True)
class Verdict:
    """What transcripts prove."""

    forks: tuple[int, ...]
    """Heights at which quorums have decided more than one value."""

    evidence: tuple[Evidence, ...]
    """One pair of messages for each offence."""

    @property
    def culprits(self) -> frozenset[str]:
        """Validators that have contradicted themselves."""
        return frozenset(each.sender for each in self.evidence)


def examine(transcripts: Iterable[Iterable[Message]], validators: ValidatorSet) -> Verdict:
    """Lay transcripts together.

    Args:
        transcripts: what each correct validator has received and sent, signatures checked.
        validators: the set of those heights.
    """
    said: dict[tuple[str, int], dict[tuple[str, int, bytes], Message]] = {}
    for each in statements(message for transcript in transcripts for message in transcript):
        of_sender = said.setdefault((each.sender, each.height), {})
        of_sender.setdefault((each.kind, each.round, _content(each)), each)
    found: dict[Offence, Evidence] = {}
    for key in sorted(said):
        for evidence in _contradictions(list(said[key].values())):
            found.setdefault(evidence.offence, evidence)
    votes = [each for messages in said.values() for each in messages.values()]
    return Verdict(_forks(votes, validators), tuple(found[key] for key in sorted(found)))


def statements(messages: Iterable[Message]) -> Iterator[Message]:
    """All that was signed: each message without its attachments, and the attached ones."""
    for message in messages:
        yield bare(message)
        if isinstance(message, Proposal):
            yield from message.round_changes
            yield from message.prepares
        elif isinstance(message, RoundChange):
            yield from message.prepares


def _content(message: Message) -> bytes:
    """What tells two messages of one slot apart."""
    if isinstance(message, RoundChange):
        return repr(message.claim).encode()
    return message.digest


def _contradictions(messages: list[Message]) -> Iterator[Evidence]:
    """Pairs of one sender's messages that an honest validator never signs both."""
    for place, one in enumerate(messages):
        for other in messages[place + 1 :]:
            if contradict(one, other):
                yield Evidence(one, other)
            elif contradict(other, one):
                yield Evidence(other, one)


def _forks(messages: Iterable[Message], validators: ValidatorSet) -> tuple[int, ...]:
    sealers: dict[tuple[int, int, bytes], set[str]] = {}
    for each in messages:
        if each.kind == COMMIT:
            sealers.setdefault((each.height, each.round, _content(each)), set()).add(each.sender)
    decided: dict[int, set[bytes]] = {}
    for (height, _, digest), names in sealers.items():
        if len(names) >= validators.quorum:
            decided.setdefault(height, set()).add(digest)
    return tuple(sorted(height for height, values in decided.items() if len(values) > 1))
