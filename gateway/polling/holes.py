"""Blocks that a meter does not read in one piece, because a register in between is missing: pure.

Decides when a refused block is believed to have a hole: when it was refused twice running; and for
how long, so that one odd exception, which noise on the line can make, disables nothing for ever.
Whoever reads splits a block with a hole into the pieces that it needs (`polling.samples`).
"""

from gateway.meters.template import Block

REFUSALS = 2
HOLE_S = 6 * 3_600.0
"""Real time after which a block is asked for in one piece again."""


class Holes:
    """What one meter refused to read in one piece."""

    def __init__(self) -> None:
        self._refusals: dict[Block, int] = {}
        self._split_until_s: dict[Block, float] = {}

    def splits(self, block: Block, now_s: float) -> bool:
        """Whether a block is not worth asking for in one piece."""
        until_s = self._split_until_s.get(block)
        if until_s is not None and now_s >= until_s:
            del self._split_until_s[block]
            self._refusals[block] = REFUSALS - 1  # One more refusal will do.
        return block in self._split_until_s

    def refused(self, block: Block, now_s: float) -> None:
        """The block was refused in one piece."""
        self._refusals[block] = self._refusals.get(block, 0) + 1
        if self._refusals[block] >= REFUSALS:
            self._split_until_s[block] = now_s + HOLE_S

    def answered(self, block: Block) -> None:
        """The block was read in one piece."""
        self._refusals.pop(block, None)


def pieces(block: Block, offset: int, used: list[tuple[int, int]]) -> list[Block]:
    """The parts of a block that are needed.

    Args:
        block: the registers that are read in one request.
        offset: place of its first word among all words that the template reads.
        used: places and sizes of the registers that the values come from, in order.
    """
    return [
        Block(block.function, block.address + at - offset, size)
        for at, size in used
        if offset <= at < offset + block.words
    ]
