"""The state: tables of bytes, an overlay for speculation, and the root that commits to both.

Decides how a block's writes become the next root, and which rows stand beside a reading in
sequence and in time. What the rows mean is decided by `validator.app.records` and the rules.

Where there is a disk behind it (`validator.app.paging`), only the newest rows of the tables that
grow for ever are in memory; without one everything is.

The root is a chain: SHA-256 over a tag, the root before, the height and the block's writes in order
of (table, key). It costs a block's writes, not the state's size; two validators with equal roots
have applied equal writes since genesis. It proves no single row: that is what the other roots of a
header are for. The newest root is a row itself, so that `State.restore` finds it.
"""

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from copy import copy
from itertools import groupby
from operator import itemgetter
from typing import Self

from validator.app.lanes import NOWHERE, Lane, Placed
from validator.app.paging import PAGED, PagedIndex, RecentRows, Shelf
from validator.app.records import READING, ROOT, AcceptedReading, key, time_of

Write = tuple[str, bytes, bytes | None]
"""Table, key, value; None removes the row."""

_TAG = b"gridwitness/state/1"


class Index:
    """Finds readings by their neighbours in sequence and by meter and interval."""

    def __init__(self) -> None:
        self._sequences: dict[bytes, list[int]] = {}
        self._claims: dict[tuple[bytes, int], tuple[bytes, ...]] = {}
        self._late: dict[tuple[bytes, int], tuple[bytes, ...]] = {}
        self._newest: dict[bytes, int] = {}

    def add(self, reading_key: bytes, start_s: int, late: bool) -> None:
        """Take in an accepted reading of an interval, late or not."""
        sequences = self._sequences.setdefault(reading_key[:-8], [])
        insort(sequences, int.from_bytes(reading_key[-8:], "big"))
        meter = reading_key[: reading_key.index(0) + 1]
        claim, claims = (meter, start_s), self._late if late else self._claims
        claims[claim] = (*claims.get(claim, ()), reading_key)
        if not late and start_s > self._newest.get(meter, 0):
            self._newest[meter] = start_s

    def newest(self, lane: bytes) -> int:
        """The highest known sequence, -1 when there is none."""
        sequences = self._sequences.get(lane)
        return -1 if sequences is None else sequences[-1]

    def before(self, lane: bytes, sequence: int) -> int | None:
        """The highest known sequence below."""
        sequences = self._sequences.get(lane, ())
        place = bisect_left(sequences, sequence)
        return sequences[place - 1] if place else None

    def after(self, lane: bytes, sequence: int) -> int | None:
        """The lowest known sequence above."""
        sequences = self._sequences.get(lane, ())
        place = bisect_right(sequences, sequence)
        return sequences[place] if place < len(sequences) else None

    def claims(self, meter: bytes, start_s: int) -> tuple[bytes, ...]:
        """Keys of the readings for one meter and interval start that are not late."""
        return self._claims.get((meter, start_s), ())

    def late(self, meter: bytes, start_s: int) -> tuple[bytes, ...]:
        """Keys of the late ones."""
        return self._late.get((meter, start_s), ())

    def newest_s(self, meter: bytes) -> int:
        """The latest interval start that a meter (its id and a NUL) has a reading for, or 0."""
        return self._newest.get(meter, 0)


class State:
    """The tables after some block."""

    def __init__(self, network: bytes, shelf: Shelf | None = None) -> None:
        """The state before the first block; `shelf` has the rows that are not held in memory."""
        self.height = 0
        """Height of the newest block applied; 0 at the beginning."""

        self.root = hashlib.sha256(_TAG + network).digest()
        """State root after that block, 32 bytes."""

        self.index: Index | PagedIndex = Index() if shelf is None else PagedIndex(shelf)
        """Of the readings table."""

        self._shelf = shelf
        self._recent = None if shelf is None else RecentRows(shelf)
        self._tables: dict[str, dict[bytes, bytes]] = {}

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""
        if self._recent is not None and table in PAGED:
            return self._recent.get(table, row)
        return self._tables.get(table, {}).get(row)

    def aside(self) -> "State":
        """The same rows for another thread, as of now.

        What it reads from the disk it keeps for itself: what blocks are decided by is kept by those
        who commit them alone, else a row read before a commit could be kept after it.
        """
        if self._shelf is None:
            return self
        found = copy(self)
        found.index, found._recent = PagedIndex(self._shelf), RecentRows(self._shelf)
        return found

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Rows of a table that is held in memory, in order of key."""
        return iter(sorted(self._tables.get(table, {}).items()))

    def apply(self, writes: Iterable[Write]) -> None:
        """Apply a block's writes, of which one is the new root; the disk, if any, has them."""
        for table, group in groupby(writes, key=itemgetter(0)):
            rows = [(row, value) for _, row, value in group]
            if table == READING:
                self._take_in(rows)
            if self._recent is not None and table in PAGED:
                self._recent.put(table, rows)
                continue
            held = self._tables.setdefault(table, {})
            for row, value in rows:
                if value is None:
                    held.pop(row, None)
                else:
                    held[row] = value
                    if table == ROOT:
                        self.height, self.root = int.from_bytes(value[:8], "big"), value[8:]

    def _take_in(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put accepted readings beside the others; none is ever written twice or removed."""
        add = self.index.add
        for row, value in rows:
            if value is not None:
                add(row, *time_of(value))

    @classmethod
    def restore(
        cls,
        network: bytes,
        rows: Iterable[tuple[str, bytes, bytes]],
        shelf: Shelf | None = None,
    ) -> Self:
        """The state whose tables have these rows, in whatever order they come.

        With a shelf the rows of paged tables stay there.
        """
        state = cls(network, shelf)
        state.apply(rows)
        return state


class Overlay:
    """Writes of a block that is being executed, over a state that stays as it is."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: defaultdict[str, dict[bytes, bytes | None]] = defaultdict(dict)
        self._lanes: dict[bytes, Lane] = {}
        self._lanes_of: dict[bytes, list[Lane]] = {}

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""
        value = self._rows[table].get(row, b"")  # No row's value is empty.
        return self._state.get(table, row) if value == b"" else value

    def put(self, table: str, row: bytes, value: bytes) -> None:
        """Write a row."""
        self._rows[table][row] = value

    def remove(self, table: str, row: bytes) -> None:
        """Remove a row."""
        self._rows[table][row] = None

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Rows of a table, in order of key: for tables that stay small."""
        rows: dict[bytes, bytes | None] = dict(self._state.rows(table))
        rows.update(self._rows[table])
        return iter(sorted((row, value) for row, value in rows.items() if value is not None))

    def _lane(self, lane: bytes) -> Lane:
        found = self._lanes.get(lane)
        if found is None:
            newest = self._placed(lane, self._state.index.newest(lane))
            found = self._lanes[lane] = Lane(newest)
            self._lanes_of.setdefault(lane[: lane.index(0) + 1], []).append(found)
        return found

    def _placed(self, lane: bytes, sequence: int | None) -> Placed:
        """What the state has of a sequence; -1 and None stand for none."""
        if sequence is None or sequence < 0:
            return NOWHERE
        return sequence, self._stored(key(lane, sequence))

    def _stored(self, row: bytes) -> AcceptedReading:
        value = self._state.get(READING, row)
        assert value is not None, "the index names a reading that has no row"
        return AcceptedReading.of(value)

    def reading(self, lane: bytes, sequence: int) -> AcceptedReading | None:
        """An accepted reading, None when there is none."""
        known = self._lane(lane)
        if sequence > known.newest[0]:
            return None
        fresh = known.reading(sequence)
        if fresh is not None:
            return fresh
        value = self._state.get(READING, key(lane, sequence))
        return None if value is None else AcceptedReading.of(value)

    def accept(self, lane: bytes, sequence: int, record: AcceptedReading) -> bytes:
        """Write an accepted reading, which fits between its neighbours; return its key."""
        row = key(lane, sequence)
        self._rows[READING][row] = record.packed()
        self._lane(lane).accept(sequence, row, record)
        return row

    def around(self, lane: bytes, sequence: int) -> tuple[Placed, Placed]:
        """The accepted readings of the highest sequence below, and of the lowest above."""
        known = self._lane(lane)
        if sequence > known.newest[0]:
            return known.newest, NOWHERE
        index = self._state.index
        below = known.before(sequence), self._placed(lane, index.before(lane, sequence))
        above = known.after(sequence), self._placed(lane, index.after(lane, sequence))
        return max(below, key=_sequence), min(
            (each for each in above if each is not NOWHERE), key=_sequence, default=NOWHERE
        )

    def claims(self, meter: str, start_s: int) -> tuple[AcceptedReading, ...]:
        """The readings for one meter and interval that are not late, in order of lane."""
        return self.claimed(meter.encode() + b"\0", start_s)

    def claimed(self, meter: bytes, start_s: int) -> tuple[AcceptedReading, ...]:
        """The same by the meter's id and a NUL."""
        return self._of(meter, start_s, self._state.index.claims(meter, start_s), late=0)

    def late(self, meter: str, start_s: int) -> tuple[AcceptedReading, ...]:
        """The late readings for one meter and interval, in order of lane."""
        name = meter.encode() + b"\0"
        return self._of(name, start_s, self._state.index.late(name, start_s), late=1)

    def _of(
        self, meter: bytes, start_s: int, stored: tuple[bytes, ...], late: int
    ) -> tuple[AcceptedReading, ...]:
        """Readings of an interval: those of the state with these rows, and those of the block."""
        found = [(row, self._stored(row)) for row in stored] if stored else []
        for lane in self._lanes_of.get(meter, ()):
            found += lane.of(start_s, late)
        if len(found) == 1:
            return (found[0][1],)
        return tuple(record for _, record in sorted(found))

    def newest_s(self, meter: str) -> int:
        """The latest interval start that a meter has a reading for that is not late, or 0."""
        name = meter.encode() + b"\0"
        fresh = (lane.newest_start_s for lane in self._lanes_of.get(name, ()))
        return max(self._state.index.newest_s(name), *fresh, 0)

    def finish(self, height: int) -> tuple[bytes, tuple[Write, ...]]:
        """Return the root after this block and its writes in order, the root's row last."""
        digest = hashlib.sha256(_TAG + self._state.root + height.to_bytes(8, "big"))
        writes: list[Write] = []
        for table in sorted(self._rows):
            name, rows = table.encode(), self._rows[table]
            head = b"%c%s" % (len(name), name)
            for row in sorted(rows):
                value = rows[row]
                told = b"-" if value is None else b"%d:%s" % (len(value), value)
                digest.update(b"%s%c%s%s" % (head, len(row), row, told))
                writes.append((table, row, value))
        root = digest.digest()
        writes.append((ROOT, b"", height.to_bytes(8, "big") + root))
        return root, tuple(writes)


def _sequence(placed: Placed) -> int:
    return placed[0]
