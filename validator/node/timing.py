"""Network time, and how fast blocks follow each other by the parameters in force at a height.

Decides defaults only; what follows from the durations is the driver's and the machine's business.
"""

from dataclasses import dataclass
from typing import Protocol, Self

from validator.consensus.timeouts import Timeouts
from validator.node.candidate import Blocks


class NetworkClock(Protocol):
    """Tells network time."""

    def now_ms(self) -> int:
        """Network time, Unix milliseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of one height."""

    timeouts: Timeouts
    """Of its rounds."""

    interval_s: float
    """From block to block while something waits."""

    empty_s: float
    """From block to block while nothing does."""

    @classmethod
    def of(cls, blocks: Blocks, height: int) -> Self:
        """As the parameters of that height say."""
        return cls(
            Timeouts(
                blocks.parameter("round_timeout_ms", height, 2_000),
                blocks.parameter("round_timeout_cap_ms", height, 30_000),
            ),
            blocks.parameter("block_interval_ms", height, 4_000) / 1000,
            blocks.parameter("empty_block_interval_ms", height, 60_000) / 1000,
        )
