"""What each validator may do next, for the exhaustive search, given all that was said so far.

Decides which messages are worth delivering, and what the liar adds to them: votes for everything,
claims that PREPAREs prove or nearly prove, proposals with every justification that can be put
together. Whether those stand the real checks decide. Sets of words are integers, one bit a word,
and every answer is kept by the words that it depends on.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from validator.consensus.justification import Committee, Unjustified, check_proposal
from validator.consensus.messages import (
    COMMIT,
    PREPARE,
    PROPOSAL,
    ROUND_CHANGE,
    UNSIGNED,
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
)
from validator.simulation.actors import HEIGHT, Actor, Claim, Word, make
from validator.simulation.marks import sign
from wire.block import ValidatorSet

Key = tuple[int, int, str, int, int]
"""A validator's place, its state, what kind of words, of which round, and which are there."""

NOTHING: Claim = (None, None)
LIES = 2
"""Values of the liar's own."""


class Bound(NamedTuple):
    """What is explored."""

    last_round: int
    """Nobody goes beyond it."""

    liar: int | None
    """Place of the validator that is not correct; None when all are."""

    silent: bool = False
    """Whether it says nothing, rather than everything."""


class Move(NamedTuple):
    """One thing that a validator may do."""

    after: int
    """Number of its state afterwards."""

    label: str
    """What happens, for people."""


class Moves:
    """All moves of all correct validators."""

    def __init__(self, validators: ValidatorSet, bound: Bound) -> None:
        """Take the set and the bound."""
        self._bound = bound
        self._ids = validators.ids
        self._quorum = validators.quorum
        self._committee = Committee(HEIGHT, self._ids, validators.quorum, validators.faulty)
        self.bodies = dict(make(f"lie {number}") for number in range(LIES))
        """Blocks that anyone has made, by digest."""
        self._lies = tuple(self.bodies)
        liar = None if bound.liar is None else self._ids[bound.liar]
        self._speaker = None if bound.silent else liar
        self.actors = [Actor(name, validators, self.bodies) for name in self._ids if name != liar]
        self._words: list[Word] = []
        self._bits: dict[Word, int] = {}
        self._masks: dict[Any, int] = {}
        self._kept: dict[Any, Any] = {}

    def of(self, place: int, number: int, said: int) -> Iterator[Move]:
        """Moves of one validator in one of its states, when so much was said."""
        local = self.actors[place].locals[number]
        yield from self._once((place, number, "", local.round, 0), self._alone)
        if local.accepted is not None:
            words = said & self._mask(PREPARE, local.round, local.accepted)
            yield from self._once((place, number, PREPARE, local.round, words), self._prepares)
        for later in range(local.round, self._bound.last_round + 1):
            if local.accepted is None or later > local.round:
                relevant = self._mask(PROPOSAL, later) | self._relevant_to_changes(later)
                yield from self._once(
                    (place, number, PROPOSAL, later, said & relevant), self._proposals
                )
            relevant = self._relevant_to_changes(later)
            yield from self._once(
                (place, number, ROUND_CHANGE, later, said & relevant), self._changes
            )

    def decisions(self, place: int, number: int, said: int) -> frozenset[bytes]:
        """Values that a validator would commit, each when all COMMITs for it arrive."""
        words = said & self._masks.get(COMMIT, 0)
        if not words:
            return frozenset()
        key = (place, number, COMMIT, words)
        if key not in self._kept:
            self._kept[key] = frozenset(self._decisions(self.actors[place], number, words))
        kept: frozenset[bytes] = self._kept[key]
        return kept

    def said(self, place: int, number: int) -> int:
        """The words of a validator in one of its states."""
        key = ("said", place, number)
        if key not in self._kept:
            self._kept[key] = sum(
                self._bit(each) for each in self.actors[place].locals[number].words
            )
        kept: int = self._kept[key]
        return kept

    # Words as bits.

    def _bit(self, word: Word) -> int:
        if word not in self._bits:
            self._bits[word] = bit = 1 << len(self._words)
            self._words.append(word)
            names = (word.kind, (word.kind, word.round), (*word[1:3], word.claim[1]))
            for name in names:
                self._masks[name] = self._masks.get(name, 0) | bit
        return self._bits[word]

    def _mask(self, *name: Any) -> int:
        return self._masks.get(name, 0)

    def _read(self, words: int) -> list[Word]:
        return [word for word in self._words if self._bits[word] & words]

    def _relevant_to_changes(self, number: int) -> int:
        """Round changes; and what the liar may claim in them."""
        prepares = self._masks.get(PREPARE, 0) if self._speaker else 0
        return self._mask(ROUND_CHANGE, number) | prepares

    def _once(
        self, key: Key, find: Callable[[Actor, int, int, list[Word]], Iterable[Move]]
    ) -> list[Move]:
        """Moves that change something, computed once; each depends on its key alone."""
        if key not in self._kept:
            place, number, _, about, words = key
            found = find(self.actors[place], number, about, self._read(words))
            moves = {move.after: move for move in found if move.after != number}
            self._kept[key] = list(moves.values())
        kept: list[Move] = self._kept[key]
        return kept

    # Moves.

    def _alone(self, actor: Actor, number: int, now: int, _: list[Word]) -> Iterator[Move]:
        if now < self._bound.last_round:
            yield Move(actor.timed_out(number), f"{actor.name} times out")
        yield Move(actor.restarted(number), f"{actor.name} crashes and comes back")

    def _prepares(self, actor: Actor, number: int, now: int, said: list[Word]) -> Iterator[Move]:
        accepted = actor.locals[number].accepted
        assert accepted is not None
        votes = self._votes(PREPARE, now, accepted, said)
        names = "".join(f" {vote.sender}" for vote in votes)
        label = f"{actor.name} hears PREPAREs of{names}"
        yield Move(actor.after(number, (PREPARE, now, names), votes * 2), label)

    def _proposals(self, actor: Actor, number: int, later: int, said: list[Word]) -> Iterator[Move]:
        found = [self._message(each) for each in said if each.kind == PROPOSAL]
        if self._leader(later) == self._speaker:
            found += self._lies_in(later, said)
        for each in found:
            if isinstance(each, Proposal):
                again = "again " if each.prepares else ""
                what = f"{self._value(each.digest)} {again}in round {later}"
                event = (PROPOSAL, later, each.digest, again)
                label = f"{actor.name} hears {each.sender} propose {what}"
                yield Move(actor.after(number, event, [each]), label)

    def _changes(self, actor: Actor, number: int, later: int, said: list[Word]) -> Iterator[Move]:
        """Upon round changes acts the leader of their round, and who is pulled along."""
        now, leads = actor.locals[number].round, self._leader(later) == actor.name
        options = self._options(said, later)
        options.pop(actor.name, None)
        if later > now:
            options = {sender: found[:1] for sender, found in options.items()}
        elif not leads or not later:
            return
        size = self._quorum - 1 if later == now else self._committee.faulty + 1
        for chosen in _choices(options, size):
            messages = [self._change(each, said) for each in chosen]
            claims = ", ".join(f"{each.sender} ({self._value(each.claim[1])})" for each in chosen)
            label = f"{actor.name} hears ROUND-CHANGEs for round {later} of {claims}"
            proofs = tuple(len(each.prepares) for each in messages)
            yield Move(actor.after(number, (chosen, proofs), messages), label)

    def _decisions(self, actor: Actor, number: int, words: int) -> Iterator[bytes]:
        said = self._read(words)
        for digest in {each.claim[1] for each in said}:
            assert digest is not None
            rounds = range(self._bound.last_round + 1)
            votes = [vote for each in rounds for vote in self._votes(COMMIT, each, digest, said)]
            yield from actor.committed(number, votes * 2)

    # Messages, and what the liar makes of them.

    def _leader(self, number: int) -> str:
        return self._ids[number % len(self._ids)]

    def _value(self, digest: bytes | None) -> str:
        return "nothing" if digest is None else self.bodies[digest].decode()

    def _message(self, said: Word) -> Message:
        """What a correct validator has said."""
        return next(actor.messages[said] for actor in self.actors if actor.name == said.sender)

    def _votes(self, kind: str, number: int, digest: bytes, said: Iterable[Word]) -> list[Prepare]:
        """Votes for a value: of the correct ones who have said them, and of the liar."""
        made = Prepare if kind == PREPARE else Commit
        wanted = (kind, number, digest)
        senders = {each.sender for each in said if (*each[1:3], each.claim[1]) == wanted}
        if self._speaker is not None:
            senders.add(self._speaker)
        votes = [sign(made(HEIGHT, number, name, digest)) for name in sorted(senders)]
        return [vote for vote in votes if isinstance(vote, Prepare)]

    def _proof(self, claim: Claim, said: Iterable[Word]) -> tuple[Prepare, ...]:
        number, digest = claim
        if number is None or digest is None:
            return ()
        return tuple(self._votes(PREPARE, number, digest, said))

    def _claims(self, said: Iterable[Word], before: int) -> list[Claim]:
        """What the liar may claim in a round: nothing, or what is proved, or nearly."""
        votes = [each for each in said if each.kind == PREPARE and each.round < before]
        found: set[Claim] = {(each.round, each.claim[1]) for each in votes}
        proved = [each for each in found if len(self._proof(each, said)) >= self._quorum - 1]
        return [NOTHING, *sorted(proved, key=str)]

    def _change(self, change: Word, said: Iterable[Word]) -> RoundChange:
        if change.sender != self._speaker:
            known = self._message(change)
            assert isinstance(known, RoundChange)
            return known
        return replace(_bare(change), prepares=self._proof(change.claim, said))

    def _options(self, said: Iterable[Word], number: int) -> dict[str, list[Word]]:
        """Round changes for a round, by sender; the liar's with every claim that it can make."""
        found: dict[str, list[Word]] = {}
        for each in said:
            if each.kind == ROUND_CHANGE and each.round == number:
                found.setdefault(each.sender, []).append(each)
        if self._speaker is not None:
            claims = self._claims(said, number)
            found[self._speaker] = [
                Word(self._speaker, ROUND_CHANGE, number, claim) for claim in claims
            ]
        return found

    def _lies_in(self, number: int, said: list[Word]) -> list[Proposal]:
        """One proposal of the liar for each value that it can justify, new and again."""
        if number == 0:
            return [self._proposal(0, digest) for digest in self._lies]
        found: dict[tuple[bytes, bool], Proposal] = {}
        for proposal in self._attempts(number, said):
            try:
                new = check_proposal(proposal, self._committee)
            except Unjustified:
                continue
            found.setdefault((proposal.digest, new), proposal)
        return list(found.values())

    def _attempts(self, number: int, said: list[Word]) -> Iterator[Proposal]:
        """Everything that the liar could attach to a proposal."""
        proofs = [self._proof(claim, said) for claim in self._claims(said, number)]
        values = dict.fromkeys([*self._lies, *(votes[0].digest for votes in proofs if votes)])
        options = self._options(said, number)
        for size in range(self._quorum - 1, len(self._ids) + 1):
            for chosen in _choices(options, size):
                bare = tuple(_bare(each) for each in chosen)
                for digest, proof in itertools.product(values, proofs):
                    yield self._proposal(number, digest, bare, proof)

    def _proposal(
        self,
        number: int,
        digest: bytes,
        changes: tuple[RoundChange, ...] = (),
        prepares: tuple[Prepare, ...] = (),
    ) -> Proposal:
        assert self._speaker is not None
        head = (HEIGHT, number, self._speaker, digest, self.bodies[digest])
        made = sign(Proposal(*head, UNSIGNED, changes, prepares))
        assert isinstance(made, Proposal)
        return made


def _bare(said: Word) -> RoundChange:
    made = sign(RoundChange(HEIGHT, said.round, said.sender, *said.claim))
    assert isinstance(made, RoundChange)
    return made


def _choices(options: dict[str, list[Word]], size: int) -> Iterator[tuple[Word, ...]]:
    for names in itertools.combinations(sorted(options), size):
        yield from itertools.product(*(options[name] for name in names))
