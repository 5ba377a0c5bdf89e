"""Four validators' messages made by hand, and one machine that they are given to."""

import hashlib
from dataclasses import replace
from typing import Any

from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
)
from validator.consensus.timeouts import Timeouts
from wire.block import ValidatorSet
from wire.keys import EDDSA, SoftSigner

NETWORK = b"\x11" * 32
HEIGHT = 5
NAMES = ("a", "b", "c", "d")
SIGNERS = {
    name: SoftSigner.from_private(EDDSA, bytes(31) + bytes([n])) for n, name in enumerate(NAMES, 1)
}
VALIDATORS = ValidatorSet(tuple((name, SIGNERS[name].public) for name in NAMES))


def value(words: str) -> tuple[bytes, bytes]:
    """A block and its digest."""
    block = words.encode()
    return hashlib.sha256(block).digest(), block


DIGEST, BLOCK = value("block")
OTHER, OTHER_BLOCK = value("another block")


def signed(message: Any) -> Any:
    signature = SIGNERS[message.sender].sign(message.signed_bytes(NETWORK))
    return replace(message, signature=signature)


def prepare(sender: str, round_number: int = 0, digest: bytes = DIGEST) -> Prepare:
    made: Prepare = signed(Prepare(HEIGHT, round_number, sender, digest))
    return made


def commit(sender: str, round_number: int = 0, digest: bytes = DIGEST) -> Commit:
    made: Commit = signed(Commit(HEIGHT, round_number, sender, digest))
    return made


def certificate(round_number: int = 0, digest: bytes = DIGEST) -> PreparedCertificate:
    return PreparedCertificate(tuple(prepare(name, round_number, digest) for name in "abc"))


def change(sender: str, round_number: int, known: PreparedCertificate | None = None) -> RoundChange:
    claim: tuple[int | None, bytes | None] = (None, None)
    if known is not None:
        claim = (known.round, known.digest)
    prepares = () if known is None else known.prepares
    made: RoundChange = signed(RoundChange(HEIGHT, round_number, sender, *claim, prepares=prepares))
    return made


def proposal(
    sender: str,
    round_number: int = 0,
    content: tuple[bytes, bytes] = (DIGEST, BLOCK),
    changes: tuple[RoundChange, ...] = (),
    prepares: tuple[Prepare, ...] = (),
) -> Proposal:
    bare = tuple(each.bare() for each in changes)
    digest, block = content
    made: Proposal = signed(
        Proposal(HEIGHT, round_number, sender, digest, block, round_changes=bare, prepares=prepares)
    )
    return made


class Hand:
    """One machine, its driver played by hand: what it says is signed and given back to it."""

    def __init__(self, me: str = "b", leaders: tuple[str, ...] = NAMES) -> None:
        self.machine = Machine(me, HEIGHT, VALIDATORS, leaders, Timeouts(1_000, 8_000))
        self.said: list[Message] = []
        self.effects: list[do.Effect] = []
        self.certificates: list[PreparedCertificate | None] = []
        self.valid = True

    def give(self, *events: do.Event) -> list[do.Effect]:
        """Give events; speak, check and build at once; returns all effects."""
        found: list[do.Effect] = []
        waiting = list(events)
        while waiting:
            for effect in self.machine.step(waiting.pop(0)):
                found.append(effect)
                waiting += self._answer(effect)
        self.effects += found
        return found

    def hear(self, *messages: Message) -> list[do.Effect]:
        return self.give(*(do.Received(message) for message in messages))

    def _answer(self, effect: do.Effect) -> list[do.Event]:
        match effect:
            case do.Speak(message, known):
                spoken = signed(message)
                self.said.append(spoken)
                self.certificates.append(known)
                return [do.Spoken(spoken)]
            case do.CheckBlock(digest, _, _):
                return [do.BlockChecked(digest, self.valid)]
            case do.BuildBlock(_, round_number):
                digest, block = value(f"built in {round_number}")
                return [do.BlockBuilt(round_number, digest, block)]
        return []

    def time_out(self) -> list[do.Effect]:
        return self.give(do.Timeout(do.ROUND_TIMER, HEIGHT, self.machine.round))

    def spoke(self) -> list[tuple[str, int]]:
        return [(message.kind, message.round) for message in self.said]


def of_kind(found: list[do.Effect], kind: type) -> list[Any]:
    return [effect for effect in found if isinstance(effect, kind)]
