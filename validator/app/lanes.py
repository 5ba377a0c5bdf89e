"""The readings that a block accepts, lane by lane, beside the newest that the state has of each.

Decides which accepted reading is next in sequence, and which are of one interval. Within a lane
interval starts follow sequences (rule T, `validator.app.neighbours`), so that one order serves
both. As a rule a lane's readings come in order, and what is asked for is the newest.
"""

from bisect import bisect_left, bisect_right

from validator.app.records import AcceptedReading

Placed = tuple[int, AcceptedReading | None]
"""A sequence and the accepted reading that has it; -1 and None: there is none."""

NOWHERE: Placed = (-1, None)


class Lane:
    """One lane while a block is executed."""

    __slots__ = ("_held", "_sequences", "_starts", "newest")

    def __init__(self, newest: Placed) -> None:
        """Begin with the newest that the state has, and none of the block."""
        self.newest = newest
        """The accepted reading of the highest sequence."""

        self._sequences: list[int] = []
        self._starts: list[int] = []
        self._held: list[tuple[bytes, AcceptedReading]] = []

    def accept(self, sequence: int, row: bytes, record: AcceptedReading) -> None:
        """Take in a reading of the block, which fits between its neighbours, and its row."""
        if sequence > self.newest[0]:
            self.newest = (sequence, record)
        at = bisect_left(self._sequences, sequence)
        self._sequences.insert(at, sequence)
        self._starts.insert(at, record.start_s)
        self._held.insert(at, (row, record))

    def reading(self, sequence: int) -> AcceptedReading | None:
        """The block's reading of that sequence, None when there is none."""
        at, record = self.after(sequence - 1)
        return record if at == sequence else None

    def before(self, sequence: int) -> Placed:
        """The block's reading of the highest sequence below."""
        at = bisect_left(self._sequences, sequence) - 1
        return (self._sequences[at], self._held[at][1]) if at >= 0 else NOWHERE

    def after(self, sequence: int) -> Placed:
        """The block's reading of the lowest sequence above."""
        at = bisect_right(self._sequences, sequence)
        there = at < len(self._sequences)
        return (self._sequences[at], self._held[at][1]) if there else NOWHERE

    def of(self, start_s: int, late: int) -> list[tuple[bytes, AcceptedReading]]:
        """The block's readings of an interval with their rows, late ones or the others."""
        first = bisect_left(self._starts, start_s)
        held = self._held[first : bisect_right(self._starts, start_s, first)]
        # In one block all of an interval are late, or none.
        return held if held and held[0][1].late == late else []

    @property
    def newest_start_s(self) -> int:
        """The latest interval start of the block's readings that are not late, or 0."""
        starts = (each.start_s for _, each in reversed(self._held) if not each.late)
        return next(starts, 0)
