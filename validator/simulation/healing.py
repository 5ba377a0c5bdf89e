"""Whether agreement comes out of a state that the exhaustive search has reached.

From there on the network is whole and the liar is silent: what was said reaches everybody, own
messages are sent again, and timers run out only where the machine has set them. Somebody must
commit within a few rounds; then the others have the block from him (R11). A state from which nobody
does would be a deadlock.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import Message
from validator.simulation.actors import HEIGHT, fork, make
from validator.simulation.marks import sign
from validator.simulation.moves import Moves

MOST_TURNS = 24
"""Half rounds after which it counts as a deadlock."""


@dataclass
class Patient:
    """One correct validator, from that state on."""

    machine: Machine
    """A fork."""

    inbox: deque[Message] = field(default_factory=deque)
    """What has arrived."""


class Ward:
    """The correct validators of one state."""

    def __init__(self, moves: Moves, state: Sequence[int]) -> None:
        """Take them over, with all that they have said."""
        self._bodies = moves.bodies
        found = [actor.locals[number] for actor, number in zip(moves.actors, state, strict=True)]
        self._patients = [Patient(fork(local.machine)) for local in found]
        self.committed = False
        for patient, local in zip(self._patients, found, strict=True):
            for message, _ in local.said:
                self._send(patient, message)

    def heals(self) -> bool:
        """Whether somebody commits."""
        for _ in range(MOST_TURNS):
            self._settle()
            if self.committed:
                return True
            rounds = [each.machine.round for each in self._patients]
            for patient in self._patients:
                self._turn(patient, min(rounds))
        return False

    def _turn(self, patient: Patient, earliest: int) -> None:
        """Half a round passes; the earliest round, when it is timed, ends."""
        machine = patient.machine
        self._step(patient, do.Timeout(do.RESEND_TIMER, HEIGHT, machine.round))
        if machine._timed and machine.round == earliest:
            self._step(patient, do.Timeout(do.ROUND_TIMER, HEIGHT, machine.round))

    def _settle(self) -> None:
        while any(patient.inbox for patient in self._patients):
            for patient in self._patients:
                if patient.inbox:
                    self._step(patient, do.Received(patient.inbox.popleft()))

    def _send(self, patient: Patient, message: Message) -> None:
        for other in self._patients:
            if other is not patient:
                other.inbox.append(message)

    def _step(self, patient: Patient, event: do.Event) -> None:
        for effect in patient.machine.step(event):
            match effect:
                case do.Speak(message):
                    signed = sign(message)
                    self._send(patient, signed)
                    self._step(patient, do.Spoken(signed))
                case do.Resend(message):
                    self._send(patient, message)
                case do.Commit():
                    self.committed = True
                case _:
                    self._answer(patient, effect)

    def _answer(self, patient: Patient, effect: do.Effect) -> None:
        match effect:
            case do.BuildBlock(_, number):
                digest, block = make(f"{patient.machine.me}/{HEIGHT}/{number}")
                self._bodies[digest] = block
                self._step(patient, do.BlockBuilt(number, digest, block))
            case do.CheckBlock(digest, block, _):
                valid = hashlib.sha256(block).digest() == digest
                self._step(patient, do.BlockChecked(digest, valid))
            case do.FetchBlock(digest, _):
                self._step(patient, do.BlockFetched(digest, self._bodies[digest]))
