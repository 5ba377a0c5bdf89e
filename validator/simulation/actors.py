"""One validator's states and steps, for the exhaustive search: the real machine, forked each time.

A state is what can still matter: the round, the accepted value, the certificate, what was said, and
the round changes that it holds. All else in the machine are votes that it has acted upon. Equal
steps are computed once.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from validator.consensus import effects as do
from validator.consensus.accusations import Accusations
from validator.consensus.bodies import Bodies
from validator.consensus.evidence import contradict
from validator.consensus.machine import Machine
from validator.consensus.messages import (
    PROPOSAL,
    Message,
    PreparedCertificate,
    RoundChange,
)
from validator.consensus.timeouts import Timeouts
from validator.consensus.votes import Ballots, RoundChanges, Sightings, Spoken
from validator.simulation.marks import sign
from wire.block import ValidatorSet

HEIGHT = 1

_FORKED = (Machine, Accusations, Ballots, Bodies, RoundChanges, Sightings, Spoken)

Claim = tuple[int | None, bytes | None]

Said = tuple[Message, PreparedCertificate | None]


class Word(NamedTuple):
    """What a message says, whoever reads it: equal words have equal effects."""

    sender: str
    """Validator id."""

    kind: str
    """Kind of message."""

    round: int
    """Its round."""

    claim: Claim
    """(None, digest); of a ROUND-CHANGE what it claims to be prepared: (round, digest)."""


def word(message: Message) -> Word:
    """What a message says."""
    claim: Claim
    if isinstance(message, RoundChange):
        claim = (message.prepared_round, message.prepared_digest)
    else:
        claim = (None, message.digest)
    return Word(message.sender, message.kind, message.round, claim)


def fork(thing: Any) -> Any:
    """A copy of a machine that goes its own way; messages are shared."""
    if isinstance(thing, dict):
        return {key: fork(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return list(thing)
    if isinstance(thing, set):
        return set(thing)
    if isinstance(thing, _FORKED):
        copy = object.__new__(type(thing))
        vars(copy).update({name: fork(value) for name, value in vars(thing).items()})
        return copy
    return thing


def make(words: str) -> tuple[bytes, bytes]:
    """A block and its digest."""
    block = words.encode()
    return hashlib.sha256(block).digest(), block


@dataclass
class Local:
    """One validator's state."""

    machine: Machine
    """The machine in it; never stepped, only forked."""

    said: tuple[Said, ...]
    """What it has signed, in order."""

    words: frozenset[Word]
    """The same, as others see it."""

    round: int
    """Its round."""

    accepted: bytes | None
    """Digest that it has accepted in its round."""

    fault: str
    """What it has signed that a correct validator never does, in words; empty as a rule."""


@dataclass
class Step:
    """What a fork did with some events."""

    machine: Machine
    """The fork afterwards."""

    said: list[Said]
    """What it has signed by then."""

    committed: list[bytes]
    """Digests that it has committed."""


class Actor:
    """One correct validator: its states by number, and the steps between them."""

    def __init__(self, name: str, validators: ValidatorSet, bodies: dict[bytes, bytes]) -> None:
        """Begin it; `bodies` are the blocks that anyone has made, by digest, shared by all."""
        self.name = name
        self.messages: dict[Word, Message] = {}
        """What it has ever said, in any state."""
        self.locals: list[Local] = []
        self._validators = validators
        self._bodies = bodies
        self._numbers: dict[Any, int] = {}
        self._known: dict[tuple[int, Any], int] = {}
        self.start = self._number(self._play(self._fresh(), [], [do.BlockTimer(HEIGHT)]))

    def after(self, number: int, event: Any, messages: Iterable[Message]) -> int:
        """The state after messages arrive; `event` names them."""
        key = (number, event)
        if key not in self._known:
            known = self.locals[number]
            events = [do.Received(message) for message in messages]
            step = self._play(fork(known.machine), list(known.said), events)
            self._known[key] = self._number(step)
        return self._known[key]

    def timed_out(self, number: int) -> int:
        """The state after the round's timer has run out."""
        key = (number, "timeout")
        if key not in self._known:
            known = self.locals[number]
            late = do.Timeout(do.ROUND_TIMER, HEIGHT, known.machine.round)
            self._known[key] = self._number(
                self._play(fork(known.machine), list(known.said), [late])
            )
        return self._known[key]

    def restarted(self, number: int) -> int:
        """The state after a crash: all is lost but what its key has signed (R12)."""
        key = (number, "restart")
        if key not in self._known:
            said = list(self.locals[number].said)
            machine = self._fresh()
            step = Step(machine, said, [])
            self._do(step, machine.restore(tuple(said)))
            self._step(step, do.BlockTimer(HEIGHT))
            self._known[key] = self._number(step)
        return self._known[key]

    def committed(self, number: int, messages: Iterable[Message]) -> list[bytes]:
        """What it would commit when these messages arrive."""
        known = self.locals[number]
        events = [do.Received(message) for message in messages]
        return self._play(fork(known.machine), list(known.said), events).committed

    def _fresh(self) -> Machine:
        return Machine(self.name, HEIGHT, self._validators, self._validators.ids, Timeouts())

    def _play(self, machine: Machine, said: list[Said], events: Iterable[do.Event]) -> Step:
        step = Step(machine, said, [])
        for event in events:
            self._step(step, event)
        return step

    def _number(self, step: Step) -> int:
        machine, said = step.machine, tuple(step.said)
        accepted = machine._accepted
        words = frozenset(word(message) for message, _ in said)
        proof = machine.certificate
        certified = None if proof is None else (proof.round, proof.digest)
        key = (machine.round, accepted, certified, words, self._awaited(machine, words))
        if key not in self._numbers:
            self._numbers[key] = len(self.locals)
            self.locals.append(
                Local(machine, said, words, machine.round, accepted, self._fault(said))
            )
            self.messages.update({word(message): message for message, _ in said})
        return self._numbers[key]

    def _awaited(self, machine: Machine, words: frozenset[Word]) -> frozenset[Word]:
        """Round changes that a leader holds and has not proposed upon."""
        number = machine.round
        leads = number > 0 and machine.leader(number) == self.name
        if not leads or any(each[1:3] == (PROPOSAL, number) for each in words):
            return frozenset()
        held = (machine._changes.by(name) for name in self._validators.ids)
        return frozenset(word(each) for each in held if each and each.round == number)

    def _fault(self, said: Sequence[Said]) -> str:
        for one, _ in said:
            for other, _ in said:
                if contradict(one, other):
                    words = f"{one.kind} {one.round} and {other.kind} {other.round}"
                    return f"{self.name} signed {words}, which contradict each other"
        return ""

    def _step(self, step: Step, event: do.Event) -> None:
        self._do(step, step.machine.step(event))

    def _do(self, step: Step, wanted: Iterable[do.Effect]) -> None:
        for effect in wanted:
            match effect:
                case do.Speak(message, certificate):
                    signed = sign(message)
                    step.said.append((signed, certificate))
                    self._step(step, do.Spoken(signed))
                case do.BuildBlock(_, round_number):
                    digest, block = make(f"{self.name}/{HEIGHT}/{round_number}")
                    self._bodies[digest] = block
                    self._step(step, do.BlockBuilt(round_number, digest, block))
                case do.CheckBlock(digest, block, _):
                    valid = hashlib.sha256(block).digest() == digest
                    self._step(step, do.BlockChecked(digest, valid))
                case do.FetchBlock(digest, _):
                    self._step(step, do.BlockFetched(digest, self._bodies[digest]))
                case do.Commit(digest, _, _):
                    step.committed.append(digest)
