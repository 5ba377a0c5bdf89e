"""What simulated validators agree on: small blocks with transactions, and the rules they obey.

A block is text, `maker/height/time_ms/parent/parent commit/transactions`, its digest the SHA-256 of
that. Decides whether a block may follow a chain, as a real node's application and header rules do:
parent, time, the parent's seals, transactions that clients really sent and that are not yet in.
"""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property

from validator.consensus.effects import Commit
from validator.consensus.proposer import Decided, order
from validator.simulation.marks import is_final
from validator.simulation.set_changes import Rule, Sets
from wire.block import Commit as BlockCommit
from wire.block import ValidatorSet
from wire.errors import Refused

PRECISION_MS = 500
"""A new block's time may be so far ahead of one's own clock."""

DELAY_MS = 15_000
"""And so far behind, beside the precision."""

MOST_TRANSACTIONS = 20

GENESIS = bytes(32)


@dataclass(frozen=True)
class Value:
    """One simulated block."""

    maker: str
    """Validator id."""

    height: int
    """Block height."""

    time_ms: int
    """By the maker's clock."""

    parent: bytes
    """Digest of the block before, 32 bytes."""

    parent_commit: bytes
    """Encoded seals of the block before; empty for the first."""

    transactions: tuple[str, ...]
    """What clients sent."""

    @cached_property
    def encoded(self) -> bytes:
        """As it travels."""
        fields = (
            self.maker,
            str(self.height),
            str(self.time_ms),
            self.parent.hex(),
            self.parent_commit.hex(),
            ",".join(self.transactions),
        )
        return "/".join(fields).encode()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoding."""
        return hashlib.sha256(self.encoded).digest()

    @classmethod
    def decode(cls, data: bytes) -> "Value | None":
        """Read a block; None when it is none."""
        try:
            maker, height, time_ms, parent, commit, listed = data.decode().split("/")
            transactions = tuple(listed.split(",")) if listed else ()
            sealed = bytes.fromhex(commit)
            return cls(
                maker, int(height), int(time_ms), bytes.fromhex(parent), sealed, transactions
            )
        except ValueError:
            return None


def next_value(
    maker: str, chain: Sequence[Commit], clock_ms: int, transactions: tuple[str, ...]
) -> Value:
    """Make a block that follows a chain, with the time of the maker's clock."""
    if not chain:
        return Value(maker, 1, clock_ms, GENESIS, b"", transactions)
    last = chain[-1]
    before = Value.decode(last.block)
    time_ms = clock_ms if before is None else max(clock_ms, before.time_ms + 1)
    sealed = last.commit.encoded
    return Value(maker, len(chain) + 1, time_ms, last.digest, sealed, transactions)


def follows(
    value: Value,
    chain: Sequence[Commit],
    members: ValidatorSet,
    taken: Container[str],
    sent: Container[str],
    sealers: ValidatorSet | None = None,
) -> bool:
    """Whether a block may follow a chain; its time against a clock is checked apart.

    Args:
        value: the block.
        chain: final blocks, oldest first.
        members: the validators of its height.
        taken: transactions that the chain holds.
        sent: transactions that clients really sent.
        sealers: the validators of the height before, where they are others.
    """
    parent = chain[-1].digest if chain else GENESIS
    once = len(set(value.transactions)) == len(value.transactions) <= MOST_TRANSACTIONS
    if value.height != len(chain) + 1 or value.parent != parent or not once:
        return False
    if value.maker not in members.ids:
        return False
    if any(each in taken or each not in sent for each in value.transactions):
        return False
    before = Value.decode(chain[-1].block) if chain else None
    if before is None:
        return value.parent_commit == b""
    try:
        sealed = BlockCommit.decode(value.parent_commit)
    except Refused:
        return False
    final = sealed.digest == parent and is_final(sealed, sealers or members, len(chain))
    return final and value.time_ms > before.time_ms


def is_timely(value: Value, clock_ms: int) -> bool:
    """Whether a new block's time is near enough to a clock (proposer-based timestamps)."""
    return clock_ms - DELAY_MS - PRECISION_MS <= value.time_ms <= clock_ms + PRECISION_MS


class History:
    """What rule R1 needs of a chain, gathered block by block."""

    def __init__(self, rule: Rule) -> None:
        """Start before the first block."""
        self._sets = Sets(rule)
        self._values: list[Value] = []
        self._decided: list[Decided] = []

    def add(self, value: Value) -> None:
        """A block is final; with it the canonical commit of the one before is known."""
        self._values.append(value)
        self._sets.add(value.transactions)
        if len(self._values) < 3:
            return
        before, judged = self._values[-3:-1]
        members = self.members(judged.height)
        commit = BlockCommit.decode(value.parent_commit)
        plain = order(members, before.maker, ())
        failed = tuple(plain[: min(commit.round, len(plain))])
        sealers = frozenset(members.ids[index] for index, _ in commit.seals)
        self._decided.append(Decided(judged.maker, failed, sealers, frozenset(members.ids)))

    def members(self, height: int) -> ValidatorSet:
        """The validators of a height."""
        return self._sets.at(height)

    def leaders(self) -> tuple[str, ...]:
        """Leaders of the next height, round by round."""
        parent = self._values[-1].maker if self._values else None
        return order(self.members(len(self._values) + 1), parent, self._decided)
