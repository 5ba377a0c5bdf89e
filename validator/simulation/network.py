"""A whole network of consensus machines in one process, in virtual time, from one seed.

Plays clock, wires, disks and applications: messages are lost, delayed, doubled and reordered, links
are cut, validators crash between two effects and come back with what their sign-state holds, and
Byzantine ones tell two stories. What is agreed is watched by `checkers`. The machines are the real
ones; keys are replaced by marks, because nobody here breaks a signature.
"""

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import (
    Message,
    PreparedCertificate,
    Proposal,
    RoundChange,
)
from validator.consensus.proposer import order
from validator.consensus.timeouts import Timeouts
from wire.block import ValidatorSet

BLOCK_INTERVAL_MS = 1_000
BUILD_MS = 20


def sign(message: Message) -> Message:
    """Put the mark on a message that stands for its sender's signature."""
    mark = hashlib.sha512(message.signed_bytes(bytes(32)) + message.sender.encode()).digest()
    return replace(message, signature=mark)


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong, each a probability or a bound, until the network heals."""

    loss: float = 0.05
    """Share of messages that are lost."""

    double: float = 0.05
    """Share of messages that arrive twice."""

    most_delay_ms: int = 400
    """Longest delay of a message."""

    crash: float = 0.002
    """Chance of a crash at each effect."""

    partition: float = 0.02
    """Chance that a link is cut, at each tick of the weather."""

    byzantine: int = 0
    """How many validators lie."""

    heal_at_ms: int = 60_000
    """Virtual time after which nothing goes wrong any more."""


@dataclass
class Disk:
    """What survives a crash of one validator."""

    said: dict[tuple[int, int, str], tuple[Message, PreparedCertificate | None]] = field(
        default_factory=dict
    )
    """Sign-state: the one message of each (height, round, kind)."""

    chain: list[do.Commit] = field(default_factory=list)
    """Committed blocks."""


@dataclass
class Node:
    """One validator in the simulation."""

    name: str
    """Validator id."""

    disk: Disk
    """What it does not forget."""

    machine: Machine | None = None
    """None while it is down."""

    life: int = 0
    """Counts restarts; timers of an earlier life are void."""

    liar: bool = False
    """Whether it tells two stories."""


class Network:
    """All nodes, their links and the virtual clock."""

    def __init__(
        self,
        validators: ValidatorSet,
        faults: Faults,
        seed: int,
        on_commit: Callable[[str, int, do.Commit], None],
        on_report: Callable[[str, str], None],
    ) -> None:
        """Make the nodes and let them begin; `on_commit` is told (name, height, block)."""
        self.validators = validators
        self.faults = faults
        self.random = random.Random(seed)
        self.now_ms = 0
        self.largest_round = 0
        self._on_commit = on_commit
        self._on_report = on_report
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._cut: set[frozenset[str]] = set()
        self._bodies: dict[bytes, bytes] = {}
        liars = set(self.random.sample(validators.ids, faults.byzantine))
        self.nodes = {name: Node(name, Disk(), liar=name in liars) for name in validators.ids}
        for node in self.nodes.values():
            self._begin_height(node)
        self._after(500, self._weather)

    @property
    def honest(self) -> list[Node]:
        """Nodes that do not lie."""
        return [node for node in self.nodes.values() if not node.liar]

    def run(self, until_ms: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Let virtual time pass."""
        while self._queue and self._queue[0][0] <= until_ms and not enough():
            self.now_ms, _, deed = heapq.heappop(self._queue)
            deed()

    @property
    def _healed(self) -> bool:
        return self.now_ms >= self.faults.heal_at_ms

    def _after(self, delay_ms: int, deed: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._count, deed))

    def _weather(self) -> None:
        """Cut and mend links, now and then."""
        if self._healed:
            self._cut.clear()
            return
        for one in self.validators.ids:
            for other in self.validators.ids:
                link = frozenset((one, other))
                if one < other and self.random.random() < self.faults.partition:
                    self._cut ^= {link}
        self._after(500, self._weather)

    # One node's life.

    def _begin_height(self, node: Node) -> None:
        height = len(node.disk.chain) + 1
        parent = _maker(node.disk.chain[-1].block) if node.disk.chain else None
        leaders = order(self.validators, parent, ())
        node.machine = Machine(node.name, height, self.validators, leaders, Timeouts())
        said = [kept for (at, _, _), kept in node.disk.said.items() if at == height]
        self._do(node, node.machine.restore(said))
        self._later(node, BLOCK_INTERVAL_MS, do.BlockTimer(height))

    def _later(self, node: Node, delay_ms: int, event: do.Event) -> None:
        life, machine = node.life, node.machine

        def happen() -> None:
            if node.life == life and node.machine is machine and machine is not None:
                self._do(node, machine.step(event))

        self._after(delay_ms, happen)

    def _crash(self, node: Node) -> None:
        node.life += 1
        node.machine = None
        down_ms = self.random.randrange(50, 8_000)
        self._after(down_ms, lambda: self._begin_height(node))

    def _do(self, node: Node, wanted: list[do.Effect]) -> None:
        life = node.life
        for effect in wanted:
            if node.life != life:
                return
            if not self._healed and self.random.random() < self.faults.crash:
                return self._crash(node)
            self._execute(node, effect)
        return None

    def _execute(self, node: Node, effect: do.Effect) -> None:
        match effect:
            case do.Speak(message, certificate):
                self._speak(node, message, certificate)
            case do.Resend(message):
                self._broadcast(node, message)
            case do.SetTimer(kind, height, round_number, delay_ms):
                self._later(node, delay_ms, do.Timeout(kind, height, round_number))
                self.largest_round = max(self.largest_round, round_number)
            case do.Commit():
                self._commit(node, effect)
            case do.Report(evidence):
                self._on_report(node.name, evidence.sender)
            case _:
                self._answer(node, effect)

    def _answer(self, node: Node, effect: do.Effect) -> None:
        match effect:
            case do.BuildBlock(height, round_number):
                digest, block = self._build(node, height, round_number)
                self._later(node, BUILD_MS, do.BlockBuilt(round_number, digest, block))
            case do.CheckBlock(digest, block, _):
                valid = hashlib.sha256(block).digest() == digest
                self._later(node, BUILD_MS, do.BlockChecked(digest, valid))
            case do.FetchBlock(digest, holders):
                self._fetch(node, digest, holders)

    def _build(self, node: Node, height: int, round_number: int) -> tuple[bytes, bytes]:
        block = f"{node.name}/{height}/{round_number}/{self.random.random()}".encode()
        digest = hashlib.sha256(block).digest()
        self._bodies[digest] = block
        return digest, block

    def _speak(self, node: Node, message: Message, certificate: PreparedCertificate | None) -> None:
        """Persist, then sign and send; a crash may fall between."""
        slot = (message.height, message.round, message.kind)
        known = node.disk.said.get(slot)
        signed = sign(message)
        if known is not None and not node.liar and known[0] != signed:
            raise AssertionError(f"{node.name} was about to sign twice for {slot}")
        node.disk.said[slot] = (signed, certificate)
        life = node.life
        if not self._healed and self.random.random() < self.faults.crash:
            return self._crash(node)
        self._broadcast(node, signed)
        if node.machine is not None and node.life == life:
            self._do(node, node.machine.step(do.Spoken(signed)))
        return None

    def _commit(self, node: Node, final: do.Commit) -> None:
        node.disk.chain.append(final)
        self._on_commit(node.name, len(node.disk.chain), final)
        self._begin_height(node)

    # Links.

    def _broadcast(self, node: Node, message: Message) -> None:
        for other in self.nodes.values():
            if other is not node:
                told = self._lie(node, other, message) if node.liar else message
                if told is not None:
                    self._send(node, other, told)

    def _lie(self, node: Node, other: Node, message: Message) -> Message | None:
        """A Byzantine node tells every second validator another story, or nothing."""
        if self.random.random() < 0.2:
            return None
        odd = self.validators.ids.index(other.name) % 2
        if not odd or self.random.random() < 0.5:
            return message
        match message:
            case Proposal():
                return self._propose_wrongly(node, message)
            case RoundChange():
                # It forgets what it saw prepared, or claims what nobody prepared.
                digest = self.random.choice([None, *self._bodies])
                before = None if digest is None else message.round - 1
                wrong = replace(message, prepared_round=before, prepared_digest=digest, prepares=())
                return sign(wrong)
            case _:
                known = self.random.choice([message.digest, *self._bodies])
                return sign(replace(message, digest=known))

    def _propose_wrongly(self, node: Node, message: Proposal) -> Proposal:
        """Propose a second block, or the right digest with a body that is not its own."""
        if self.random.random() < 0.5:
            return replace(message, block=b"nobody/0/0")
        digest, block = self._build(node, message.height, message.round)
        second = sign(replace(message, digest=digest, block=block))
        assert isinstance(second, Proposal)
        return second

    def _send(self, node: Node, other: Node, message: Message) -> None:
        copies = 1
        if not self._healed:
            cut = frozenset((node.name, other.name)) in self._cut
            copies = 0 if cut or self.random.random() < self.faults.loss else 1
            copies += copies and self.random.random() < self.faults.double
        for _ in range(copies):
            self._after(self._delay_ms(), lambda: self._receive(node, other, message))

    def _delay_ms(self) -> int:
        most = 100 if self._healed else self.faults.most_delay_ms
        return self.random.randrange(1, most)

    def _receive(self, sender: Node, node: Node, message: Message) -> None:
        if node.machine is None:
            return
        height = len(node.disk.chain) + 1
        if message.height > height:
            self._after(self._delay_ms(), lambda: self._sync(node, sender))
        elif message.height < height:
            # A laggard speaks: it is offered what is final.
            self._after(self._delay_ms(), lambda: self._sync(sender, node))
        elif message.height == height:
            self._do(node, node.machine.step(do.Received(message)))

    def _fetch(self, node: Node, digest: bytes, holders: tuple[str, ...]) -> None:
        if holders and digest in self._bodies:
            event = do.BlockFetched(digest, self._bodies[digest])
            self._later(node, self._delay_ms(), event)

    def _sync(self, node: Node, source: Node) -> None:
        """Rule R11: take the next committed block from a peer that has it."""
        height = len(node.disk.chain)
        if node.machine is None or source.liar or len(source.disk.chain) <= height:
            return
        self._commit(node, source.disk.chain[height])


def _maker(block: bytes) -> str:
    return block.split(b"/")[0].decode()
