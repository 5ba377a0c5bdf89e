"""What Byzantine validators say: with their own key anything, with others' only what these said.

Decides what a liar tells each of the others in place of an honest message, and what it adds. A liar
has some of the tricks, drawn from the seed, and is honest half of the time, because who always lies
is soon ignored. Forged attachments without their signer's mark are told too; the network drops them
as a real node drops a bad signature.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
)
from validator.simulation.marks import sign

Plot = dict[tuple[int, int], tuple[Proposal, Proposal]]
"""What conspirators agreed on: for a height and round, one proposal for each half of the others."""

Story = Callable[[Message], tuple[bytes, bytes]]
"""Makes another block for a message's height: digest and body."""

MOST_HEARD = 64
"""Messages of others that a liar remembers to use again."""

FURTHEST = 2**31
"""Round that it rushes to at most."""

TRICKS = ("conspire", "equivocate", "forge", "withhold", "forget", "rush", "replay", "silent")


class Liar:
    """One Byzantine validator's tongue."""

    def __init__(
        self,
        name: str,
        chance: random.Random,
        another: Story,
        plot: Plot,
        signed: Callable[[Message], Message] = sign,
    ) -> None:
        """Draw its tricks.

        Args:
            name: its validator id.
            chance: from the run's seed.
            another: makes a second block.
            plot: shared by all liars.
            signed: puts its signature on a message.
        """
        self.name = name
        self.tricks = tuple(chance.sample(TRICKS, chance.randrange(1, len(TRICKS))))
        self._chance = chance
        self._another = another
        self._plot = plot
        self._sign = signed
        self._heard: deque[Message] = deque(maxlen=MOST_HEARD)
        self._digests: deque[bytes] = deque(maxlen=16)

    @property
    def withholds(self) -> bool:
        """Whether it answers questions for blocks at times only."""
        return "withhold" in self.tricks or "silent" in self.tricks

    @property
    def forgets(self) -> bool:
        """Whether it loses its sign-state in a crash."""
        return "forget" in self.tricks

    def hear(self, message: Message) -> None:
        """Remember what another has said."""
        self._heard.append(message)
        if not isinstance(message, RoundChange):
            self._digests.append(message.digest)

    def told(self, odd: bool, message: Message) -> Sequence[Message]:
        """What one of the others is told in place of an honest message.

        Args:
            odd: which half of the others it belongs to.
            message: what an honest validator would tell.
        """
        plotted = self._plot.get((message.height, message.round))
        if plotted is not None and "conspire" in self.tricks:
            return self._conspire(plotted[odd], message)
        if self._chance.random() < 0.5:
            return (message,)
        return self._play(self._chance.choice(self.tricks), odd, message)

    def _play(self, trick: str, odd: bool, message: Message) -> Sequence[Message]:
        match trick, message:
            case "conspire", Proposal():
                return (self._plan(message)[odd],)
            case "equivocate", _:
                return self._equivocate(odd, message)
            case "forge", _:
                return (message, *self._forge(message))
            case "forget", RoundChange():
                return (self._claim(message, None, None),)
            case "rush", _:
                return (message, self._rush(message))
            case "replay", _ if self._heard:
                return (message, self._chance.choice(self._heard))
            case (("withhold" | "silent"), _):
                return ()
        return (message,)

    def _rush(self, message: Message) -> Message:
        """Want a round that nobody is in."""
        ahead = message.round + self._chance.choice((1, 2, 3, 7, 2**20))
        return self._sign(RoundChange(message.height, min(ahead, FURTHEST), self.name, None, None))

    def _plan(self, message: Proposal) -> tuple[Proposal, Proposal]:
        """Two proposals for one round, for which all conspirators will vote."""
        digest, block = self._another(message)
        other = self._sign(replace(message, digest=digest, block=block))
        assert isinstance(other, Proposal)
        return self._plot.setdefault((message.height, message.round), (message, other))

    def _conspire(self, story: Proposal, message: Message) -> Sequence[Message]:
        """Give one half all votes for its story, though nothing is prepared."""
        match message:
            case Proposal():
                return (story,)
            case RoundChange():
                return (message,)
            case _:
                vote = Prepare(message.height, message.round, self.name, story.digest)
                seal = Commit(message.height, message.round, self.name, story.digest)
                return (self._sign(vote), self._sign(seal))

    def _equivocate(self, odd: bool, message: Message) -> Sequence[Message]:
        """Another story for every second validator; now and then both stories for one."""
        other: Message
        match message:
            case Proposal():
                if self._chance.random() < 0.3:  # The right digest with a body not its own.
                    return (replace(message, block=b"nobody/0/0"),)
                digest, block = self._another(message)
                other = self._sign(replace(message, digest=digest, block=block))
            case RoundChange():
                other = self._claim(message, max(0, message.round - 1), self._some_digest())
            case _:
                other = self._sign(replace(message, digest=self._some_digest()))
        if self._chance.random() < 0.1:
            return (message, other)
        return (other,) if odd else (message,)

    def _forge(self, message: Message) -> Sequence[Message]:
        """Say what nothing justifies."""
        match message:
            case Proposal():
                return self._forge_proposal(message)
            case RoundChange():
                return (self._forge_claim(message),)
            case _:
                # A vote for what nobody proposed, in this round and another.
                away = message.round + self._chance.choice((-1, 1, 5))
                wrong = replace(message, round=max(0, away), digest=self._some_digest())
                return (self._sign(wrong), self._out_of_turn(message))

    def _forge_proposal(self, message: Proposal) -> Sequence[Message]:
        """Choose, double, leave out and invent what is attached."""
        digest, block = self._another(message)
        fresh = replace(message, digest=digest, block=block)
        changes, mine = message.round_changes, self._own_claim(message)
        unclaimed = tuple(each for each in changes if each.prepared_round is None)
        variants = [
            replace(fresh, prepares=()),
            replace(fresh, round_changes=(*unclaimed, *unclaimed, mine), prepares=()),
            replace(fresh, round_changes=(mine,) * max(1, len(changes)), prepares=()),
            replace(message, prepares=message.prepares[:1] * len(message.prepares)),
            replace(fresh, prepares=self._prepares(message.height)),
            replace(
                fresh,
                round_changes=tuple(
                    replace(each, prepared_round=None, prepared_digest=None) for each in changes
                ),
                prepares=(),
            ),
            replace(message, round=message.round + 1),
        ]
        return (self._sign(self._chance.choice(variants)),)

    def _forge_claim(self, message: RoundChange) -> Message:
        """Claim what is not proved: too few, doubled, or of different rounds."""
        known = self._prepares(message.height)
        digest = known[0].digest if known else self._some_digest()
        before = self._chance.randrange(max(1, message.round))
        wrong = replace(
            message,
            prepared_round=self._chance.choice((before, message.round, message.round + 1)),
            prepared_digest=digest,
            prepares=self._chance.choice((known, known * 2, known[:1] * 9, ())),
        )
        return self._sign(wrong)

    def _out_of_turn(self, message: Prepare) -> Message:
        digest, block = self._another(message)
        changes = [
            each.bare()
            for each in self._heard
            if isinstance(each, RoundChange) and each.height == message.height
        ]
        rounds = [each.round for each in changes] or [message.round]
        at = self._chance.choice(rounds)
        attached = tuple(each for each in changes if each.round == at)
        wrong = Proposal(message.height, at, self.name, digest, block, bytes(64), attached)
        return self._sign(wrong)

    def _own_claim(self, message: Message) -> RoundChange:
        made = self._sign(RoundChange(message.height, message.round, self.name, None, None))
        assert isinstance(made, RoundChange)
        return made

    def _claim(
        self, message: RoundChange, prepared_round: int | None, digest: bytes | None
    ) -> Message:
        wrong = replace(message, prepared_round=prepared_round, prepared_digest=digest, prepares=())
        return self._sign(wrong)

    def _prepares(self, height: int) -> tuple[Prepare, ...]:
        """PREPAREs of others that it has heard at a height, whatever for."""
        return tuple(
            each
            for each in self._heard
            if isinstance(each, Prepare) and not isinstance(each, Commit) and each.height == height
        )

    def _some_digest(self) -> bytes:
        return self._chance.choice(self._digests) if self._digests else bytes(32)
