"""What the ledger on disk gives back: a block, a result, a reading's place, a seal.

And which of a meter's readings are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from wire import cbor
from wire.block import Block, Commit, Header


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A final block."""

    block: Block
    """The block."""

    commit: Commit
    """The seals that this validator saw; another may hold others of the quorum."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What became of a batch or a registry transaction."""

    height: int
    """Block that has it."""

    position: int
    """Its place among the block's transactions."""

    tx_result: bytes
    """Encoded TxResult."""

    reading_results: tuple[bytes, ...]
    """Encoded ReadingResults, in order of the batch; none of a registry transaction."""


@dataclass(frozen=True, slots=True)
class StoredReading:
    """Where an accepted reading is, and what it counted."""

    meter: str
    """Meter id."""

    sequence: int
    """Record sequence."""

    start_s: int
    """Interval start, Unix seconds."""

    zone: str
    """Its zone."""

    batch_id: bytes
    """Batch that brought it, 32 bytes."""

    position: int
    """Its place in the batch."""

    status: int
    """Its status bits."""

    import_wh: int
    """Import register at the interval's end, Wh."""

    export_wh: int
    """Export register at the interval's end, Wh."""

    import_advance_wh: int
    """Import within the interval, Wh."""

    export_advance_wh: int
    """Export within the interval, Wh."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which readings of a meter, and how many of them."""

    after: int = -1
    """Sequences above this one."""

    from_s: int = 0
    """Intervals that start then or later, Unix seconds."""

    until_s: int = 2**63 - 1
    """Intervals that start before, Unix seconds."""

    most: int = 100
    """Rows."""


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A zone seal and what it used."""

    height: int
    """Block that derived it."""

    position: int
    """Its place among the block's seals."""

    seal: bytes
    """Encoded ZoneSeal."""

    inputs: tuple[bytes, ...]
    """SHA-256 of the readings that it used, in order."""

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """A row of the seals' table: height, position, seal, inputs one after the other."""
        height, position, seal, inputs = row
        hashes = tuple(inputs[at : at + 32] for at in range(0, len(inputs), 32))
        return cls(int(height), int(position), seal, hashes)


def header_of(block: bytes) -> tuple[Header, Commit]:
    """Header and parent commit of a stored block, whose transactions were checked when it came."""
    header, _, parent_commit, _ = cbor.decode(block)
    commit = Commit.decode(parent_commit) if parent_commit else Commit(0, bytes(32), ())
    return Header.decode(header), commit
