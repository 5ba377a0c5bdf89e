"""Making a block, and checking one that another validator made.

Decides the header: what it must say follows from the block before, the application's execution and
the clock. Nothing here waits, stores or sends.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from validator.app.application import Application, Execution, InvalidBlock, SignatureBook
from wire.block import NO_COMMIT, VERSION, Block, Commit, Header, ValidatorSet, verify_commit
from wire.errors import Refused
from wire.genesis import Genesis
from wire.transaction import Transaction, is_registry_transaction
from wire.witness import Batch, SignedWitness


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest block, as the next one sees it."""

    height: int
    """Its height, 0 before the first."""

    digest: bytes
    """Its digest; the network id before the first."""

    time_ms: int
    """Its network time; the genesis time before the first."""

    proposer: str | None
    """Who made it."""

    commit: bytes
    """Its encoded commit; empty before the first."""

    @classmethod
    def genesis(cls, genesis: Genesis) -> "Tip":
        """The tip of an empty ledger."""
        return cls(0, genesis.network, genesis.time_ms, None, NO_COMMIT)

    @classmethod
    def of(cls, block: Block, commit: Commit) -> "Tip":
        """The tip after a block."""
        header = block.content
        return cls(header.height, block.digest, header.time_ms, header.proposer, commit.encoded)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block with what its execution gave."""

    block: Block
    """The block."""

    execution: Execution
    """Its execution on the tip's state."""

    batches: tuple[Batch, ...]
    """Its batches, in order of transactions; registry transactions stand in the block whole."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a proposer's clock may be from one's own, network milliseconds."""

    precision_ms: int
    """How far clocks differ."""

    delay_ms: int
    """How long a proposal may be on its way."""


class Blocks:
    """Makes and checks blocks of one network."""

    def __init__(self, genesis: Genesis, application: Application, book: SignatureBook) -> None:
        """Take the parts that decide."""
        self._network = genesis.network
        self._validators = genesis.validators
        self._application = application
        self._book = book
        parameters = genesis.parameters
        self._bounds = Bounds(
            parameters.get("block_precision_ms", 500), parameters.get("block_delay_ms", 15_000)
        )

    @property
    def validators(self) -> ValidatorSet:
        """The set that seals."""
        return self._validators

    def make(
        self,
        me: str,
        tip: Tip,
        now_ms: int,
        waiting: Sequence[Batch],
        changes: Sequence[Transaction] = (),
    ) -> Candidate:
        """Make the next block from what waits: registry transactions first, then batches."""
        time_ms = max(now_ms, tip.time_ms + 1)
        picked = self._application.pick_transactions(time_ms, changes, self._book)
        batches = tuple(self._application.pick(time_ms, waiting))
        transactions = (
            *(change.encoded for change in picked),
            *(batch.witness.encoded for batch in batches),
        )
        execution = self._execute(tip.height + 1, time_ms, transactions, batches)
        header = self._header(tip, time_ms, me, execution)
        return Candidate(Block(header.encoded, transactions, tip.commit), execution, batches)

    def check(self, tip: Tip, block: Block, batches: Sequence[Batch]) -> Candidate:
        """Check every field of a block that follows the tip, by executing it.

        Raises:
            Refused: it is not a block that an honest validator makes or seals.
        """
        header = block.content
        execution = self._execute(header.height, header.time_ms, block.transactions, batches)
        if header.time_ms <= tip.time_ms:
            raise InvalidBlock("time does not go on")
        if self._validators.index(header.proposer) is None:
            raise InvalidBlock(f"{header.proposer} is no validator")
        expected = self._header(tip, header.time_ms, header.proposer, execution, block)
        if header != expected:
            wrong = [
                name
                for name in Header.__dataclass_fields__
                if getattr(header, name) != getattr(expected, name)
            ]
            raise InvalidBlock(f"the header's {', '.join(wrong)} is not what follows")
        self._check_parent_commit(tip, block)
        return Candidate(block, execution, tuple(batches))

    def check_time(self, block: Block, now_ms: int) -> None:
        """Check a new value's time against one's own clock (proposer-based timestamps).

        Raises:
            InvalidBlock: the proposer's clock is too far away.
        """
        early_ms = block.content.time_ms - now_ms - self._bounds.precision_ms
        late_ms = now_ms - block.content.time_ms
        if early_ms > 0 or late_ms > self._bounds.delay_ms + self._bounds.precision_ms:
            raise InvalidBlock(f"block time is {-late_ms} ms from this validator's clock")

    def _execute(
        self, height: int, time_ms: int, transactions: Sequence[bytes], batches: Sequence[Batch]
    ) -> Execution:
        by_id: Mapping[bytes, Batch] = {batch.batch_id: batch for batch in batches}
        return self._application.execute(height, time_ms, transactions, by_id, self._book)

    def _header(
        self, tip: Tip, time_ms: int, me: str, execution: Execution, carried: Block | None = None
    ) -> Header:
        parent_commit = tip.commit if carried is None else carried.parent_commit
        return Header(
            version=VERSION,
            network=self._network,
            height=tip.height + 1,
            time_ms=time_ms,
            parent=tip.digest,
            proposer=me,
            validators_hash=self._validators.hash,
            next_validators_hash=self._validators.hash,
            params_hash=execution.params_hash,
            parent_commit_hash=hashlib.sha256(parent_commit).digest(),
            tx_root=execution.tx_root,
            results_root=execution.results_root,
            zone_root=execution.zone_root,
            evidence_hash=execution.evidence_hash,
            state_root=execution.state_root,
        )

    def _check_parent_commit(self, tip: Tip, block: Block) -> None:
        if tip.height == 0:
            if block.parent_commit != NO_COMMIT:
                raise InvalidBlock("the first block has no parent commit")
            return
        commit = Commit.decode(block.parent_commit)
        if commit.digest != tip.digest:
            raise InvalidBlock("the parent commit is for another block")
        verify_commit(commit, self._validators, self._network, tip.height)


def batch_ids(block: Block) -> list[bytes]:
    """Ids of the batches that a block names; raises Refused."""
    return [
        SignedWitness.open(transaction).batch_id
        for transaction in block.transactions
        if not is_registry_transaction(transaction)
    ]


class InvalidBlockDigest(Refused):
    """Another block than the one that was asked for."""

    code = "invalid-block-digest"


def decode_block(data: bytes, digest: bytes) -> Block:
    """Read a block and compare its digest; raises Refused."""
    block = Block.decode(data)
    if block.digest != digest:
        raise InvalidBlockDigest("the block is not the one that was asked for")
    return block
