"""One simulated validator: what its disk, its memory and its clock hold, and what a crash takes."""

from dataclasses import dataclass, field

from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import (
    Message,
    PreparedCertificate,
    decode_message,
    encode_message,
)
from validator.consensus.timeouts import Pace
from validator.simulation.disks import Disk
from validator.simulation.liars import Liar
from validator.simulation.set_changes import Rule
from validator.simulation.values import History, Value
from wire import cbor
from wire.block import Commit as BlockCommit
from wire.block import ValidatorSet

_SAID, _FINAL, _BODY = 0, 1, 2

Slot = tuple[int, int, str]
"""Height, round and kind of a message."""


def said_record(message: Message, certificate: PreparedCertificate | None) -> bytes:
    """What the sign-state keeps of a message."""
    kept = b"" if certificate is None else certificate.encoded
    return cbor.encode([_SAID, encode_message(message), kept])


def final_record(final: do.Commit) -> bytes:
    """What the ledger keeps of a block."""
    return cbor.encode([_FINAL, final.block, final.commit.encoded])


def body_record(block: bytes) -> bytes:
    """What is kept of a block before a vote speaks for it."""
    return cbor.encode([_BODY, block, b""])


@dataclass
class Node:
    """One validator in the simulation."""

    name: str
    """Validator id."""

    place: int
    """Its index in the set."""

    history: History
    """What its chain says of leaders."""

    pace: Pace
    """Its timeouts."""

    disk: Disk = field(default_factory=Disk)
    """What it does not forget."""

    machine: Machine | None = None
    """None while it is down."""

    chain: list[do.Commit] = field(default_factory=list)
    """Committed blocks."""

    taken: set[str] = field(default_factory=set)
    """Transactions that the chain holds."""

    said: dict[Slot, tuple[Message, PreparedCertificate | None]] = field(default_factory=dict)
    """The one message of each slot of the present height."""

    bodies: dict[bytes, bytes] = field(default_factory=dict)
    """Blocks of the present height that it built or found valid."""

    waiting: dict[str, None] = field(default_factory=dict)
    """Transactions that wait for a block, in order of arrival; a crash loses them."""

    early: dict[str, list[Message]] = field(default_factory=dict)
    """Messages of the next height, by sender; a crash loses them."""

    life: int = 0
    """Counts restarts; timers of an earlier life are void."""

    liar: Liar | None = None
    """Its tricks when it is Byzantine."""

    skew_ms: int = 0
    """How far its clock is from virtual time."""

    drift_permille: int = 0
    """How much slower its timers run; negative is faster."""

    boundaries: int = 0
    """Effect boundaries that it has passed."""

    asked_ms: int = -1_000
    """When it last asked for final blocks."""

    busy_until_us: int = 0
    """Until then its processor has work."""

    @property
    def height(self) -> int:
        """Height that it is agreeing on."""
        return len(self.chain) + 1

    def crash(self) -> None:
        """Lose everything but the disk; a liar that forgets loses that too."""
        self.life += 1
        self.machine = None
        self.waiting.clear()
        self.early.clear()
        if self.liar is not None and self.liar.forgets:
            self.disk.wipe()

    @property
    def members(self) -> ValidatorSet:
        """The validators of the height that it is agreeing on."""
        return self.history.members(self.height)

    def recover(self, rule: Rule) -> None:
        """Take back what the disk holds."""
        self.history = History(rule)
        self.chain, self.taken, self.said, self.bodies = [], set(), {}, {}
        for kind, first, second in map(cbor.decode, self.disk.read()):
            if kind == _SAID:
                message = decode_message(first)
                certificate = PreparedCertificate.decode(second) if second else None
                self.said[(message.height, message.round, message.kind)] = message, certificate
            elif kind == _FINAL:
                commit = BlockCommit.decode(second)
                self.append(do.Commit(commit.digest, first, commit))
            else:
                value = Value.decode(first)
                assert value is not None, "only valid blocks are kept"
                self.bodies[value.digest] = first
        present = self.height
        self.said = {slot: kept for slot, kept in self.said.items() if slot[0] == present}

    def append(self, final: do.Commit) -> None:
        """A block is final; what was kept for its height is of no more use."""
        value = Value.decode(final.block)
        self.chain.append(final)
        self.said.clear()
        self.bodies.clear()
        if value is not None:
            self.history.add(value)
            self.taken.update(value.transactions)
            for each in value.transactions:
                self.waiting.pop(each, None)

    def body(self, digest: bytes) -> bytes | None:
        """A block that it can serve."""
        known = self.bodies.get(digest)
        if known is None and self.chain and self.chain[-1].digest == digest:
            return self.chain[-1].block
        return known
