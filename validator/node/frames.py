"""What validators say to each other: votes, heights, and asking for blocks and batches by hash.

Decides encodings and bounds; every frame is deterministic CBOR behind its length. What a frame is
worth is decided by who reads it: votes carry signatures, blocks and batches their hashes.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from wire import cbor, fields
from wire.errors import Malformed

MOST_FRAME = 4 * 1024 * 1024
"""Bytes; a frame that says more closes the connection."""

MOST_BLOCKS = 16
"""Blocks in one answer."""

MOST_BATCHES = 256
"""Batches that may be asked for at once."""

CONSENSUS, BLOCKS, BATCHES = range(3)
"""Classes of frames, most urgent first; each has a queue of its own."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A message of the consensus machine."""

    message: bytes
    """As `messages.encode_message` gives it."""

    kind: ClassVar[int] = 1
    urgency: ClassVar[int] = CONSENSUS

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.message]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        return cls(fields.blob(*fields.items(value, "vote", 1), "message"))


@dataclass(frozen=True, slots=True)
class Tip:
    """How far the sender's ledger reaches."""

    height: int
    """Height of its newest block."""

    kind: ClassVar[int] = 2
    urgency: ClassVar[int] = BLOCKS

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.height]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        return cls(fields.uint(*fields.items(value, "tip", 1), "height", most=2**62))


@dataclass(frozen=True, slots=True)
class AskBlock:
    """Who has the block with this digest?"""

    digest: bytes
    """32 bytes."""

    kind: ClassVar[int] = 3
    urgency: ClassVar[int] = CONSENSUS

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.digest]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        return cls(fields.octets(*fields.items(value, "ask", 1), "digest", 32))


@dataclass(frozen=True, slots=True)
class HereBlock:
    """The block that was asked for."""

    block: bytes
    """Encoded."""

    kind: ClassVar[int] = 4
    urgency: ClassVar[int] = CONSENSUS

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.block]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        return cls(fields.blob(*fields.items(value, "here", 1), "block"))


@dataclass(frozen=True, slots=True)
class AskChain:
    """Send final blocks from this height on."""

    first: int
    """Height."""

    kind: ClassVar[int] = 5
    urgency: ClassVar[int] = BLOCKS

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.first]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        return cls(fields.uint(*fields.items(value, "ask", 1), "height", most=2**62))


@dataclass(frozen=True, slots=True)
class HereChain:
    """Final blocks, each with its commit, in order of height."""

    blocks: tuple[tuple[bytes, bytes], ...]
    """(block, commit), encoded."""

    kind: ClassVar[int] = 6
    urgency: ClassVar[int] = BLOCKS

    def items(self) -> list[Any]:
        """As encoded."""
        return [[list(each) for each in self.blocks]]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        pairs = fields.items(*fields.items(value, "chain", 1), "chain")
        if len(pairs) > MOST_BLOCKS:
            raise Malformed(f"more than {MOST_BLOCKS} blocks in one frame")
        blocks = []
        for pair in pairs:
            block, commit = fields.items(pair, "block with commit", 2)
            blocks.append((fields.blob(block, "block"), fields.blob(commit, "commit")))
        return cls(tuple(blocks))


@dataclass(frozen=True, slots=True)
class AskBatches:
    """Send these batches, each in a frame of its own."""

    ids: tuple[bytes, ...]
    """Batch ids, 32 bytes each."""

    kind: ClassVar[int] = 7
    urgency: ClassVar[int] = BLOCKS

    def items(self) -> list[Any]:
        """As encoded."""
        return [list(self.ids)]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        ids = fields.items(*fields.items(value, "ask", 1), "batch ids")
        if len(ids) > MOST_BATCHES:
            raise Malformed(f"more than {MOST_BATCHES} batches asked for at once")
        return cls(tuple(fields.octets(each, "batch id", 32) for each in ids))


@dataclass(frozen=True, slots=True)
class HereBatch:
    """A batch that was asked for."""

    batch: bytes
    """Encoded."""

    kind: ClassVar[int] = 8
    urgency: ClassVar[int] = BATCHES

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.batch]

    @classmethod
    def from_items(cls, value: list[Any]) -> Self:
        """Read it; raises Malformed."""
        return cls(fields.blob(*fields.items(value, "here", 1), "batch"))


Frame = Vote | Tip | AskBlock | HereBlock | AskChain | HereChain | AskBatches | HereBatch

_KINDS: dict[int, type[Frame]] = {
    each.kind: each
    for each in (Vote, Tip, AskBlock, HereBlock, AskChain, HereChain, AskBatches, HereBatch)
}


def encode(frame: Frame) -> bytes:
    """The frame behind its length, 4 bytes big-endian."""
    content = cbor.encode([frame.kind, *frame.items()])
    return len(content).to_bytes(4, "big") + content


def decode(content: bytes) -> Frame:
    """Read a frame without its length; raises Malformed."""
    kind, *rest = fields.items(cbor.decode(content), "frame") or [None]
    known = _KINDS.get(kind) if type(kind) is int else None
    if known is None:
        raise Malformed("a frame of an unknown kind")
    return known.from_items(rest)


async def read(reader: asyncio.StreamReader) -> Frame:
    """Read the next frame.

    Raises:
        Malformed: too long, or not a frame.
        asyncio.IncompleteReadError: the connection ended.
    """
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MOST_FRAME:
        raise Malformed(f"a frame of {size} bytes; at most {MOST_FRAME}")
    return decode(await reader.readexactly(size))
