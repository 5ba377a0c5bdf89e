"""What stays on the disk of a state that grows for ever, and what is kept of it in memory.

Accepted readings, batches, seals and credits are never forgotten, and a block asks for few of them:
the newest of each meter. Decides which tables are paged, and that nothing is asked of the disk that
memory knows: above the highest number of a name there is no row, and the newest rows of each meter
are held. What is asked for beyond that, a late reading's neighbours say, is read from the disk.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import Protocol

from validator.app.records import BATCH, CONFLICT, CREDIT, READING, SEALED, key

PAGED = frozenset({READING, CONFLICT, BATCH, SEALED, CREDIT})
"""Tables that grow with every interval. Their keys are a name and a number of 8 bytes."""

KEPT_ROWS = 100_000
"""Of these tables in memory: some 30 MB."""

KEPT_OF_A_METER = 32
"""Sequences and intervals of each meter whose neighbours are known without the disk."""

MOST_NAMES = 200_000

_NUMBER = 8


class Shelf(Protocol):
    """The rows on the disk, as of the newest committed block."""

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""

    def newest(self, table: str, name: bytes) -> int | None:
        """The highest number that a name has in a table."""

    def before(self, lane: bytes, sequence: int) -> int | None:
        """The highest sequence of a lane below."""

    def after(self, lane: bytes, sequence: int) -> int | None:
        """The lowest sequence of a lane above."""

    def claims(self, claim: bytes, late: bool) -> tuple[bytes, ...]:
        """Keys of the readings for one meter and interval start, late ones or the others."""

    def newest_claim_s(self, meter: bytes) -> int:
        """The latest interval start that a meter has a reading for that is not late, or 0."""


class RecentRows:
    """The newest rows of paged tables, and how high each name's numbers go."""

    def __init__(self, shelf: Shelf) -> None:
        """Begin with none."""
        self._shelf = shelf
        self._rows: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._newest: dict[tuple[str, bytes], int] = {}

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""
        # Asked most is what is not there: the row that a new reading is about to have.
        if int.from_bytes(row[-_NUMBER:]) > self._highest(table, row[:-_NUMBER]):
            return None
        value = self._rows.get((table, row))
        return self._shelf.get(table, row) if value is None else value

    def _highest(self, table: str, name: bytes) -> int:
        known = self._newest.get((table, name))
        if known is None:
            if len(self._newest) >= MOST_NAMES:
                self._newest.clear()
            found = self._shelf.newest(table, name)
            known = self._newest[table, name] = -1 if found is None else found
        return known

    def put(self, table: str, row: bytes, value: bytes | None) -> None:
        """Take in what a committed block wrote; the disk has it already."""
        if value is None:
            self._rows.pop((table, row), None)
            return
        self._rows[table, row] = value
        if len(self._rows) > KEPT_ROWS:
            self._rows.popitem(last=False)
        place, number = (table, row[:-_NUMBER]), int.from_bytes(row[-_NUMBER:])
        if number > self._newest.get(place, number):
            self._newest[place] = number


class PagedIndex:
    """Neighbours of readings: the newest of each lane and meter in memory, others on the disk."""

    def __init__(self, shelf: Shelf) -> None:
        """Begin with none."""
        self._shelf = shelf
        self._lanes: dict[bytes, list[int]] = {}
        self._meters: dict[bytes, OrderedDict[int, tuple[bytes, ...]]] = {}

    def _lane(self, lane: bytes) -> list[int]:
        """Known sequences: every one from the first of the list on; all, when it begins with -1."""
        found = self._lanes.get(lane)
        if found is None:
            newest = self._shelf.newest(READING, lane)
            found = self._lanes[lane] = [-1 if newest is None else newest]
        return found

    def _meter(self, meter: bytes) -> OrderedDict[int, tuple[bytes, ...]]:
        """Known interval starts with their readings: every one from the first on."""
        found = self._meters.get(meter)
        if found is None:
            start_s = self._shelf.newest_claim_s(meter)
            held = self._shelf.claims(key(meter, start_s), late=False) if start_s else ()
            found = self._meters[meter] = OrderedDict({start_s: held})
        return found

    def add(self, reading_key: bytes, start_s: int, late: bool) -> None:
        """Take in an accepted reading of an interval, late or not; the disk has it already."""
        lane, sequence = reading_key[:-_NUMBER], int.from_bytes(reading_key[-_NUMBER:])
        known = self._lanes.get(lane)
        if known is not None and sequence > known[0]:
            insort(known, sequence)
            if len(known) > 2 * KEPT_OF_A_METER:
                del known[:-KEPT_OF_A_METER]
        starts = self._meters.get(reading_key[: reading_key.index(0) + 1])
        if starts is not None and not late:
            self._claim(starts, start_s, reading_key)

    def _claim(
        self, starts: OrderedDict[int, tuple[bytes, ...]], start_s: int, reading_key: bytes
    ) -> None:
        first_s = next(iter(starts))
        if start_s < first_s:
            return
        held = starts.get(start_s)
        in_order = held is not None or start_s > next(reversed(starts))
        starts[start_s] = (*(held or ()), reading_key)
        if not in_order:
            for each in sorted(starts):
                starts.move_to_end(each)
        if len(starts) > 2 * KEPT_OF_A_METER:
            for _ in range(KEPT_OF_A_METER):
                starts.popitem(last=False)

    def before(self, lane: bytes, sequence: int) -> int | None:
        """The highest known sequence below."""
        known = self._lane(lane)
        if sequence <= known[0]:
            return self._shelf.before(lane, sequence)
        found = known[bisect_left(known, sequence) - 1]
        return None if found < 0 else found

    def after(self, lane: bytes, sequence: int) -> int | None:
        """The lowest known sequence above."""
        known = self._lane(lane)
        if sequence < known[0]:
            return self._shelf.after(lane, sequence)
        place = bisect_left(known, sequence + 1)
        return known[place] if place < len(known) else None

    def claims(self, claim: bytes) -> tuple[bytes, ...]:
        """Keys of the readings for one meter and interval start that are not late."""
        starts = self._meter(claim[:-_NUMBER])
        start_s = int.from_bytes(claim[-_NUMBER:])
        if start_s < next(iter(starts)):
            return self._shelf.claims(claim, late=False)
        return starts.get(start_s, ())

    def late(self, claim: bytes) -> tuple[bytes, ...]:
        """Keys of the late ones."""
        return self._shelf.claims(claim, late=True)

    def newest_s(self, meter: bytes) -> int:
        """The latest interval start that a meter (its id and a NUL) has a reading for, or 0."""
        return next(reversed(self._meter(meter)))
