"""When the next block is due (rule R2).

Decides how long a height waits: the interval while something waits for a block, the longer one
while nothing does, and not at all where a leader has a crowded block behind it and as much again
waiting. Such a leader waits until everybody who is taken to be present has sealed the block before:
who is a little slower than the quorum would seem to be absent (rule R1), and stay behind.
"""

from collections.abc import Collection

from validator.node.seals import Seals
from validator.node.timing import Timing
from wire.block import MAX_READINGS, ValidatorSet

CROWD = MAX_READINGS // 2
"""Readings that are worth a block of their own: one costs some 15 ms besides its readings."""


class Pacing:
    """The newest block's time, its readings and seals; the next one's durations."""

    def __init__(self, timing: Timing) -> None:
        """Begin without a block."""
        self.timing = timing
        """Durations of the present height."""
        self.seals = Seals()
        """Of the newest block."""
        self._at_s = 0.0
        self._crowded = False
        self._commit = b""
        self._members: ValidatorSet | None = None
        self._present: frozenset[str] = frozenset()

    def final(self, readings: int, now_s: float) -> None:
        """A block with so many accepted readings has become final now; junk hurries nothing."""
        self._at_s, self._crowded = now_s, readings >= CROWD

    def begin(
        self, timing: Timing, commit: bytes, members: ValidatorSet, absent: Collection[str]
    ) -> None:
        """Begin a height.

        Args:
            timing: its durations.
            commit: the newest block's commit, encoded; empty before the first block.
            members: the set that seals the newest block.
            absent: those of them that the ledger says are absent.
        """
        self.timing, self._commit, self._members = timing, commit, members
        self._present = frozenset(members.ids).difference(absent)

    def carried(self) -> bytes:
        """The newest block's commit with every seal that has come, for the next one to carry."""
        assert self._members is not None, "no height has begun"
        return self.seals.on(self._commit, self._members)

    def wait_s(self, now_s: float, busy: bool, leader_has: int) -> float:
        """Seconds until the next block is due.

        Args:
            now_s: now, by the clock that `final` was told.
            busy: whether anything waits for a block.
            leader_has: readings that wait here, 0 where another validator leads the first round.
        """
        if self._crowded and leader_has >= CROWD and self._all_have_sealed():
            return 0.0
        waits = self.timing.interval_s if busy else self.timing.empty_s
        return max(0.0, self._at_s + waits - now_s)

    def _all_have_sealed(self) -> bool:
        assert self._members is not None, "no height has begun"
        return self.seals.are_of(self._present, self._commit, self._members)
