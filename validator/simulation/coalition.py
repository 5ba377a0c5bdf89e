"""Liars that act together, more than agreement withstands, and what their victims can prove.

One height. Correct validators are split into two sides; every liar runs one machine for each side,
with one key, and now and then lets one forget everything. What correct ones say may leak to the
other side or be lost. Afterwards the correct ones lay what they heard and said together
(`forensics`). One correct validator may crash at any effect and come back with what its disk has:
it is blamed for nothing.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from validator.consensus import effects as do
from validator.consensus.forensics import Verdict, examine
from validator.consensus.machine import Machine
from validator.consensus.messages import Message, PreparedCertificate
from validator.consensus.timeouts import Timeouts
from validator.simulation.marks import sign
from wire.block import ValidatorSet

HEIGHT = 1
ROUNDS = 6
"""How often whoever waits is timed out."""


class Torn(Enum):
    """How far a crash lets an effect go. Of a vote the slot is kept first, then its signature."""

    BEFORE = "nothing of it"
    SLOT = "its slot is on the disk"
    KEPT = "its signature too, but nobody has it"


class Crash(NamedTuple):
    """One correct validator stops at one of its effects."""

    place: int
    """Which of the correct ones."""

    effect: int
    """At its so-manyth effect."""

    torn: Torn
    """How far that one goes."""


@dataclass
class Face:
    """One running copy of a validator."""

    name: str
    """Validator id."""

    side: int
    """Side that it speaks to."""

    machine: Machine
    """The real machine."""

    liar: bool
    """Whether it has another face."""

    disk: list[tuple[Message, PreparedCertificate | None]] = field(default_factory=list)
    """Its sign-state."""

    heard: list[Message] = field(default_factory=list)
    """Its transcript: all that it was sent and has said."""

    committed: bytes | None = None
    """What it has committed."""

    effects: int = 0
    """How many effects it has executed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one seed."""

    seed: int
    """Reproduces it, with the same commit."""

    liars: frozenset[str]
    """Who lied."""

    values: int
    """How many different blocks correct validators have committed."""

    effects: int
    """How many effects the correct validators have executed, the busiest of them."""

    verdict: Verdict
    """What they can prove together."""


class Coalition:
    """One run."""

    def __init__(
        self, validators: ValidatorSet, liars: int, seed: int, crash: Crash | None = None
    ) -> None:
        """Choose who lies and who stands on which side."""
        self._validators = validators
        self._random = random.Random(seed)
        self._seed, self._crash = seed, crash
        self._liars = frozenset(self._random.sample(validators.ids, liars))
        self._loss = self._random.choice((0.0, 0.05, 0.2))
        self._leak = self._random.choice((0.0, 0.1, 0.5))
        self._forgets = self._random.choice((0.0, 0.2, 0.5))
        honest = [name for name in validators.ids if name not in self._liars]
        self._random.shuffle(honest)
        self._correct = [self._face(name, at % 2, False) for at, name in enumerate(honest)]
        self._lying = [self._face(name, at, True) for name in sorted(self._liars) for at in (0, 1)]
        self._faces = [*self._correct, *self._lying]
        self._bodies: dict[bytes, bytes] = {}
        self._under_way: list[tuple[Face, Message]] = []

    def play(self) -> Ending:
        """Play it to its end."""
        for face in self._faces:
            self._step(face, do.BlockTimer(HEIGHT))
        for _ in range(ROUNDS):
            self._settle()
            for face in self._lying:
                if self._random.random() < self._forgets:
                    self._forget(face)
            self._time_out()
        self._settle()
        committed = {face.committed for face in self._correct} - {None}
        verdict = examine([face.heard for face in self._correct], self._validators)
        most = max(face.effects for face in self._correct)
        return Ending(self._seed, self._liars, len(committed), most, verdict)

    def _face(self, name: str, side: int, liar: bool) -> Face:
        return Face(name, side, self._machine(name), liar)

    def _machine(self, name: str) -> Machine:
        return Machine(name, HEIGHT, self._validators, self._validators.ids, Timeouts())

    def _forget(self, face: Face) -> None:
        face.disk.clear()
        face.machine = self._machine(face.name)
        self._step(face, do.BlockTimer(HEIGHT))

    def _time_out(self) -> None:
        for face in self._faces:
            if not face.machine.finished and self._random.random() < 0.8:
                self._step(face, do.Timeout(do.ROUND_TIMER, HEIGHT, face.machine.round))
            if self._random.random() < 0.5:
                self._step(face, do.Timeout(do.RESEND_TIMER, HEIGHT, face.machine.round))

    def _settle(self) -> None:
        """Let arrive what is not lost, in any order."""
        while self._under_way:
            at = self._random.randrange(len(self._under_way))
            self._under_way[at], self._under_way[-1] = self._under_way[-1], self._under_way[at]
            face, message = self._under_way.pop()
            if self._random.random() >= self._loss:
                face.heard.append(message)
                self._step(face, do.Received(message))

    def _step(self, face: Face, event: do.Event) -> None:
        self._do(face, face.machine.step(event))

    def _do(self, face: Face, wanted: Sequence[do.Effect]) -> None:
        machine = face.machine
        for effect in wanted:
            if face.machine is not machine:
                return
            face.effects += 1
            if self._falls(face):
                return self._restart(face, effect)
            self._execute(face, effect)
        return None

    def _falls(self, face: Face) -> bool:
        crash = self._crash
        return crash is not None and (
            face is self._correct[crash.place] and face.effects == crash.effect
        )

    def _restart(self, face: Face, effect: do.Effect) -> None:
        """Crash in the midst of an effect, and come back."""
        assert self._crash is not None
        if isinstance(effect, do.Speak) and self._crash.torn is not Torn.BEFORE:
            # A slot without its signature is signed on the way back: they are the same bytes.
            face.disk.append((sign(effect.message), effect.certificate))
        face.machine = self._machine(face.name)
        if self._crash.torn is Torn.KEPT:
            face.heard += [message for message, _ in face.disk]
        self._do(face, face.machine.restore(tuple(face.disk)))
        self._step(face, do.BlockTimer(HEIGHT))

    def _execute(self, face: Face, effect: do.Effect) -> None:
        match effect:
            case do.Speak(message, certificate):
                signed = sign(message)
                face.disk.append((signed, certificate))
                self._send(face, signed)
                self._step(face, do.Spoken(signed))
            case do.Resend(message):
                self._send(face, message)
            case do.Commit(digest, _, _):
                face.committed = digest
            case do.BuildBlock(_, round_number):
                self._build(face, round_number)
            case do.CheckBlock(digest, block, _):
                valid = hashlib.sha256(block).digest() == digest
                self._step(face, do.BlockChecked(digest, valid))
            case do.FetchBlock(digest, _):
                self._step(face, do.BlockFetched(digest, self._bodies[digest]))

    def _build(self, face: Face, round_number: int) -> None:
        block = f"{face.name}/{HEIGHT}/{round_number}/{face.side}/{face.effects}".encode()
        digest = hashlib.sha256(block).digest()
        self._bodies[digest] = block
        self._step(face, do.BlockBuilt(round_number, digest, block))

    def _send(self, face: Face, message: Message) -> None:
        face.heard.append(message)
        for other in self._faces:
            same = other.side == face.side
            leaks = not face.liar and self._random.random() < self._leak
            if other is not face and other.name != face.name and (same or leaks):
                self._under_way.append((other, message))


def ending(validators: ValidatorSet, liars: int, seed: int, crash: Crash | None = None) -> Ending:
    """Play one seed."""
    return Coalition(validators, liars, seed, crash).play()


def failures(members: ValidatorSet, end: Ending) -> list[str]:
    """What the promise of accountability would not allow, in words."""
    named, found = end.verdict.culprits, []
    if named - end.liars:
        found.append(f"seed {end.seed}: {sorted(named - end.liars)} are blamed and correct")
    if end.values > 1 and len(named) <= members.faulty:
        found.append(f"seed {end.seed}: a fork, and only {sorted(named)} are named")
    return found
