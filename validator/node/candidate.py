"""Making a block, and checking one that another validator made.

Decides the header: what it must say follows from the block before, the application's execution and
the clock. Nothing here waits, stores or sends.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from validator.app.application import (
    Application,
    Execution,
    InvalidBlock,
    Misbehaviour,
    SignatureBook,
)
from validator.consensus.evidence import Evidence
from validator.node.frames import check_size
from validator.node.mempool import Waiting
from wire.block import (
    MOST_EVIDENCE,
    NO_COMMIT,
    VERSION,
    Block,
    Commit,
    Header,
    ValidatorSet,
    evidence_hash,
    verify_commit,
)
from wire.errors import Refused
from wire.genesis import Genesis
from wire.transaction import is_registry_transaction
from wire.witness import Batch, SignedWitness

EVIDENCE_AGE_BLOCKS = 50_000
"""Evidence of an older height proves nothing any more: some two days of full blocks."""

PRECISION_MS = 500
"""How far clocks differ, unless a parameter says otherwise."""

DELAY_MS = 15_000
"""How long a proposal may be on its way, unless a parameter says otherwise."""

MOST_ITEMS = 6_000
"""CBOR items of a block: its transactions, at most one for each reading, and its evidence."""

LONGEST_ITEM = 64 * 1024
"""Bytes of a transaction, of evidence, of the parent commit."""


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


class Blocks:
    """Makes and checks blocks of one network."""

    def __init__(self, genesis: Genesis, application: Application, book: SignatureBook) -> None:
        """Take the parts that decide."""
        self._network = genesis.network
        self._application = application
        self._book = book

    def validators(self, height: int) -> ValidatorSet:
        """The set that seals a height: known two heights after the newest block, and before."""
        return self._application.ruling.validators(height)

    def parameter(self, name: str, height: int, otherwise: int) -> int:
        """A parameter in force at a height, or its default."""
        return int(self._application.ruling.table(height).values.get(name, otherwise))

    def make(self, me: str, tip: Tip, now_ms: int, waiting: Waiting) -> Candidate:
        """Make the next block from what waits: evidence, registry transactions, then batches."""
        time_ms = max(now_ms, tip.time_ms + 1)
        fit = [each for each in waiting.evidence if self.is_fit(each, tip.height + 1)]
        evidence = tuple(each.encoded for each in fit[:MOST_EVIDENCE])
        picked, chosen = self._application.prepare_proposal(
            time_ms, waiting.changes, waiting.batches, self._book
        )
        batches = tuple(chosen)
        transactions = (
            *(change.encoded for change in picked),
            *(batch.witness.encoded for batch in batches),
        )
        bare = Block(b"", transactions, tip.commit, evidence)
        execution = self._execute(tip.height + 1, time_ms, bare, batches)
        header = self._header(tip, time_ms, me, execution, bare)
        return Candidate(replace(bare, header=header.encoded), execution, batches)

    def open_evidence(self, data: bytes) -> Evidence:
        """Read evidence and check what it proves; raises Refused."""
        height = Evidence.decode(data).first.height
        return Evidence.open(data, self._network, self.validators(height))

    def is_fit(self, evidence: Evidence, height: int) -> bool:
        """Whether a block of that height may carry this evidence."""
        offence = evidence.offence
        age = self.parameter("evidence_age_blocks", height, EVIDENCE_AGE_BLOCKS)
        if not height - age <= offence.height <= height:
            return False
        return not self._application.is_held_against(Misbehaviour(*offence))

    def check(self, tip: Tip, block: Block, batches: Sequence[Batch]) -> Candidate:
        """Check every field of a block that follows the tip, by executing it.

        Raises:
            Refused: it is not a block that an honest validator makes or seals.
        """
        header = block.content
        execution = self._execute(header.height, header.time_ms, block, batches)
        if header.time_ms <= tip.time_ms:
            raise InvalidBlock("time does not go on")
        if self.validators(header.height).index(header.proposer) is None:
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
        height = block.content.height
        precision_ms = self.parameter("block_precision_ms", height, PRECISION_MS)
        delay_ms = self.parameter("block_delay_ms", height, DELAY_MS)
        early_ms = block.content.time_ms - now_ms - precision_ms
        late_ms = now_ms - block.content.time_ms
        if early_ms > 0 or late_ms > delay_ms + precision_ms:
            raise InvalidBlock(f"block time is {-late_ms} ms from this validator's clock")

    def _execute(
        self, height: int, time_ms: int, block: Block, batches: Sequence[Batch]
    ) -> Execution:
        by_id: Mapping[bytes, Batch] = {batch.batch_id: batch for batch in batches}
        offences = [self._offence(data, height) for data in block.evidence]
        return self._application.process_proposal(
            height, time_ms, block.transactions, by_id, self._book, offences
        )

    def _offence(self, data: bytes, height: int) -> Misbehaviour:
        evidence = self.open_evidence(data)
        if not self.is_fit(evidence, height):
            raise InvalidBlock(f"evidence of {evidence.offence} is too old, early or known")
        return Misbehaviour(*evidence.offence)

    def _header(
        self, tip: Tip, time_ms: int, me: str, execution: Execution, carried: Block
    ) -> Header:
        return Header(
            version=VERSION,
            network=self._network,
            height=tip.height + 1,
            time_ms=time_ms,
            parent=tip.digest,
            proposer=me,
            validators_hash=self.validators(tip.height + 1).hash,
            next_validators_hash=self.validators(tip.height + 2).hash,
            params_hash=execution.params_hash,
            parent_commit_hash=hashlib.sha256(carried.parent_commit).digest(),
            tx_root=execution.tx_root,
            results_root=execution.results_root,
            zone_root=execution.zone_root,
            evidence_hash=evidence_hash(carried.evidence),
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
        verify_commit(commit, self.validators(tip.height), self._network, tip.height)


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


def open_block(data: bytes) -> Block:
    """Read a block from another validator; raises Refused."""
    check_size(data, MOST_ITEMS, LONGEST_ITEM)
    return Block.decode(data)


def decode_block(data: bytes, digest: bytes) -> Block:
    """Read a block and compare its digest; raises Refused."""
    block = open_block(data)
    if block.digest != digest:
        raise InvalidBlockDigest("the block is not the one that was asked for")
    return block
