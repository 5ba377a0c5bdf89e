"""What stays on the disk of a state that grows for ever, and what is kept of it in memory.

Accepted readings, batches, seals and credits are never forgotten, and a block asks for few of them:
the newest of each meter. Decides which tables are paged, and that nothing is asked of the disk that
memory knows: above the highest number of a name there is no row, and the newest rows of each meter
are held. What is asked for beyond that, a late reading's neighbours say, is read from the disk.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Protocol

from validator.app.records import BATCH, CONFLICT, CREDIT, READING, SEALED, key

PAGED = frozenset({READING, CONFLICT, BATCH, SEALED, CREDIT})
"""Tables that grow with every interval. Their keys are a name and a number of 8 bytes."""

KEPT_ROWS = 100_000
"""Of these tables in memory, but for a block's: some 30 MB."""

KEPT_OF_A_METER = 32
"""Sequences and intervals of each meter whose neighbours are known without the disk."""

MOST_NAMES = 200_000

_NUMBER = 8


class Shelf(Protocol):
    """The rows on the disk, as of the newest committed block."""

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""

    def newest(self, table: str, name: bytes) -> int | None:
        """The highest number that a name has in a table, or, but not of readings, a higher one."""

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
        self._young: dict[str, dict[bytes, bytes]] = {table: {} for table in PAGED}
        self._old = self._young
        self._highest: dict[str, dict[bytes, bytes]] = {table: {} for table in PAGED}

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""
        # Asked most is what is not there: the row that a new reading is about to have.
        highest = self._highest[table].get(row[:-_NUMBER])
        if row > (self._look(table, row[:-_NUMBER]) if highest is None else highest):
            return None
        value = self._young[table].get(row) or self._old[table].get(row)
        return self._shelf.get(table, row) if value is None else value

    def _look(self, table: str, name: bytes) -> bytes:
        """The row of a name with the highest number, the bare name when it has none."""
        names = self._highest[table]
        if len(names) >= MOST_NAMES:
            names.clear()
        number = self._shelf.newest(table, name)
        names[name] = name if number is None else key(name, number)
        return names[name]

    def put(self, table: str, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take in what a committed block wrote into a table; the disk has it already."""
        young, highest = self._young[table], self._highest[table]
        for row, value in rows:
            if value is None:
                young.pop(row, None)
                self._old[table].pop(row, None)
                continue
            young[row] = value
            name = row[:-_NUMBER]
            if row > highest.get(name, row):
                highest[name] = row
        if sum(map(len, self._young.values())) > KEPT_ROWS // 2:
            self._old, self._young = self._young, {each: {} for each in PAGED}


class PagedIndex:
    """Neighbours of readings: the newest of each lane and meter in memory, others on the disk."""

    def __init__(self, shelf: Shelf) -> None:
        """Begin with none."""
        self._shelf = shelf
        self._lanes: dict[bytes, list[int]] = {}
        self._meters: dict[bytes, dict[int, tuple[bytes, ...]]] = {}

    def _lane(self, lane: bytes) -> list[int]:
        """Known sequences: every one from the first of the list on; all, when it begins with -1."""
        found = self._lanes.get(lane)
        if found is None:
            newest = self._shelf.newest(READING, lane)
            found = self._lanes[lane] = [-1 if newest is None else newest]
        return found

    def _meter(self, meter: bytes) -> dict[int, tuple[bytes, ...]]:
        """Known interval starts with their readings: in order, every one from the first on."""
        found = self._meters.get(meter)
        if found is None:
            start_s = self._shelf.newest_claim_s(meter)
            held = self._shelf.claims(key(meter, start_s), late=False) if start_s else ()
            found = self._meters[meter] = {start_s: held}
        return found

    def add(self, reading_key: bytes, start_s: int, late: bool) -> None:
        """Take in an accepted reading of an interval, late or not; the disk has it already."""
        known = self._lanes.get(reading_key[:-_NUMBER])
        if known is not None:
            sequence = int.from_bytes(reading_key[-_NUMBER:])
            if sequence > known[0]:
                insort(known, sequence)
                if len(known) > 2 * KEPT_OF_A_METER:
                    del known[:-KEPT_OF_A_METER]
        meter = reading_key[: reading_key.index(0) + 1]
        starts = None if late else self._meters.get(meter)
        if starts is not None:
            self._claim(meter, starts, start_s, reading_key)

    def _claim(
        self, meter: bytes, starts: dict[int, tuple[bytes, ...]], start_s: int, reading_key: bytes
    ) -> None:
        if start_s > next(reversed(starts)):  # As a rule.
            starts[start_s] = (reading_key,)
        elif start_s in starts:
            starts[start_s] += (reading_key,)
        elif start_s > next(iter(starts)):
            starts = self._meters[meter] = dict(
                sorted([*starts.items(), (start_s, (reading_key,))])
            )
        if len(starts) > 2 * KEPT_OF_A_METER:
            self._meters[meter] = dict([*starts.items()][-KEPT_OF_A_METER:])

    def newest(self, lane: bytes) -> int:
        """The highest known sequence, -1 when there is none."""
        return self._lane(lane)[-1]

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

    def claims(self, meter: bytes, start_s: int) -> tuple[bytes, ...]:
        """Keys of the readings for one meter and interval start that are not late."""
        starts = self._meter(meter)
        held = starts.get(start_s)
        if held is None and start_s < next(iter(starts)):
            return self._shelf.claims(key(meter, start_s), late=False)
        return held or ()

    def late(self, meter: bytes, start_s: int) -> tuple[bytes, ...]:
        """Keys of the late ones."""
        return self._shelf.claims(key(meter, start_s), late=True)

    def newest_s(self, meter: bytes) -> int:
        """The latest interval start that a meter (its id and a NUL) has a reading for, or 0."""
        return next(reversed(self._meter(meter)))
