"""Honest validators against a forger: any order, loss, time-outs, crashes, at one height."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.consensus.size import kept_objects
from validator.consensus import effects as do
from validator.consensus.forensics import examine
from validator.consensus.machine import Machine
from validator.consensus.messages import (
    Message,
    PreparedCertificate,
    encode_message,
    open_message,
)
from validator.consensus.timeouts import Timeouts
from validator.simulation.forgers import Forger
from wire.block import ValidatorSet, verify_commit
from wire.errors import Refused
from wire.keys import EDDSA, SoftSigner

NETWORK = b"\x22" * 32
HEIGHT = 3
CALM_ROUNDS = 14
KEYS = [SoftSigner.from_private(EDDSA, bytes([9] * 31 + [number])) for number in range(10)]


def most_objects(count: int) -> int:
    """What a machine may keep: so much for each validator, and sixteen bodies with verdicts."""
    return 80 * count + 100


@dataclass
class Fighter:
    name: str
    machine: Machine
    said: list[tuple[Message, PreparedCertificate | None]] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list)
    final: do.Commit | None = None


class Battle:
    """One fight; every chance comes from `chance`."""

    def __init__(self, chance: random.Random, count: int, liars: int) -> None:
        names = [f"v{number}" for number in range(count)]
        self._signers = dict(zip(names, KEYS, strict=False))
        self.validators = ValidatorSet(tuple((name, self._signers[name].public) for name in names))
        self._chance = chance
        self.liars = set(chance.sample(names, liars))
        self.fighters = [
            Fighter(name, self._machine(name)) for name in names if name not in self.liars
        ]
        keys = {name: self._signers[name] for name in self.liars}
        honest = [fighter.name for fighter in self.fighters]
        self.forger = Forger(chance, NETWORK, HEIGHT, keys, honest)
        self._bodies: dict[bytes, bytes] = {}
        for words in (b"good/forged", b"bad/forged"):
            digest = hashlib.sha256(words).digest()
            self._bodies[digest] = words
            self.forger.values.append((digest, words))
        self._under_way: list[tuple[Fighter, bytes]] = []
        self._opened: dict[bytes, Message | None] = {}
        self.refused = self.taken = 0
        self.wrong: list[str] = []
        for fighter in self.fighters:
            self._do(fighter, fighter.machine.step(do.BlockTimer(HEIGHT)))

    def _machine(self, name: str) -> Machine:
        return Machine(name, HEIGHT, self.validators, self.validators.ids, Timeouts())

    def fight(self, turns: int) -> None:
        for turn in range(turns):
            self._turn()
            if turn % 50 == 0:
                self._weigh()
        self._weigh()

    def _turn(self) -> None:
        chance, fighter = self._chance.random(), self._chance.choice(self.fighters)
        if chance < 0.30:
            self._hear(fighter, self.forger.forge())
        elif chance < 0.86 and self._under_way:
            at = self._chance.randrange(len(self._under_way))
            to, data = self._under_way.pop(at)
            if self._chance.random() < 0.9:
                self._hear(to, data)
        elif chance < 0.93:
            self._time(fighter, do.ROUND_TIMER)
        elif chance < 0.97:
            self._time(fighter, do.RESEND_TIMER)
        else:
            self._restart(fighter)

    def calm(self) -> bool:
        """The forger falls silent, all arrives: whether everybody has the block soon."""
        for _ in range(CALM_ROUNDS):
            while self._under_way:
                self._hear(*self._under_way.pop(0))
            waiting = [each for each in self.fighters if each.final is None]
            if len(waiting) < len(self.fighters):
                return True  # The others take it from there (R11).
            earliest = min(each.machine.round for each in waiting)
            for fighter in waiting:
                self._time(fighter, do.RESEND_TIMER)
                if fighter.machine.round == earliest:
                    self._time(fighter, do.ROUND_TIMER)
        return False

    def _time(self, fighter: Fighter, kind: str) -> None:
        late = do.Timeout(kind, HEIGHT, fighter.machine.round)
        self._do(fighter, fighter.machine.step(late))

    def _restart(self, fighter: Fighter) -> None:
        if fighter.final is None:
            fighter.machine = self._machine(fighter.name)
            self._do(fighter, fighter.machine.restore(tuple(fighter.said)))
            self._do(fighter, fighter.machine.step(do.BlockTimer(HEIGHT)))

    def _hear(self, fighter: Fighter, data: bytes) -> None:
        if data not in self._opened:
            try:
                self._opened[data] = open_message(data, NETWORK, self.validators)
            except Refused:
                self._opened[data] = None
        message = self._opened[data]
        if message is None:
            self.refused += 1
            return
        self.taken += 1
        fighter.heard.append(message)
        self._do(fighter, fighter.machine.step(do.Received(message)))

    def _do(self, fighter: Fighter, wanted: Sequence[do.Effect]) -> None:
        for effect in wanted:
            match effect:
                case do.Speak(message, certificate):
                    self._speak(fighter, message, certificate)
                case do.Resend(message):
                    self._send(fighter, message)
                case do.Report(evidence):
                    if evidence.sender not in self.liars:
                        self.wrong.append(f"{fighter.name} accused {evidence.sender}")
                case do.Commit():
                    self._commit(fighter, effect)
                case _:
                    self._answer(fighter, effect)

    def _answer(self, fighter: Fighter, effect: do.Effect) -> None:
        match effect:
            case do.BuildBlock(_, number):
                block = f"good/{fighter.name}/{number}".encode()
                digest = hashlib.sha256(block).digest()
                self._bodies[digest] = block
                self._step(fighter, do.BlockBuilt(number, digest, block))
            case do.CheckBlock(digest, block, _):
                valid = hashlib.sha256(block).digest() == digest and block.startswith(b"good/")
                self._step(fighter, do.BlockChecked(digest, valid))
            case do.FetchBlock(digest, _) if digest in self._bodies:
                self._step(fighter, do.BlockFetched(digest, self._bodies[digest]))

    def _step(self, fighter: Fighter, event: do.Event) -> None:
        self._do(fighter, fighter.machine.step(event))

    def _speak(
        self, fighter: Fighter, message: Message, certificate: PreparedCertificate | None
    ) -> None:
        signature = self._signers[fighter.name].sign(message.signed_bytes(NETWORK))
        signed: Message = replace(message, signature=signature)
        for known, _ in fighter.said:
            if (known.kind, known.round) == (signed.kind, signed.round) and known != signed:
                self.wrong.append(f"{fighter.name} signed twice for {signed.kind} {signed.round}")
        fighter.said.append((signed, certificate))
        fighter.heard.append(signed)
        self._send(fighter, signed)
        self._step(fighter, do.Spoken(signed))

    def _send(self, fighter: Fighter, message: Message) -> None:
        self.forger.see(message)
        data = encode_message(message)
        for other in self.fighters:
            if other is not fighter and (other, data) not in self._under_way:
                self._under_way.append((other, data))

    def _commit(self, fighter: Fighter, final: do.Commit) -> None:
        fighter.final = final
        verify_commit(final.commit, self.validators, NETWORK, HEIGHT)
        if hashlib.sha256(final.block).digest() != final.digest:
            self.wrong.append(f"{fighter.name} committed a wrong body")
        if not final.block.startswith(b"good/"):
            self.wrong.append(f"{fighter.name} committed what is not valid")
        others = {each.final.digest for each in self.fighters if each.final is not None}
        if len(others) > 1:
            self.wrong.append("two values are final")

    def _weigh(self) -> None:
        for fighter in self.fighters:
            kept = kept_objects(fighter.machine)
            if kept > most_objects(len(self.validators)):
                self.wrong.append(f"{fighter.name} keeps {kept} objects")

    def blamed(self) -> frozenset[str]:
        """Whom the transcripts of the honest ones name."""
        return examine([each.heard for each in self.fighters], self.validators).culprits
