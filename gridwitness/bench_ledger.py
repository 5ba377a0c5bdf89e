"""A ledger file that has grown: rows as many and as large as meters leave in it.

Written in bulk, without batches and blocks; what is measured on it finds the tables as large as
they become. Decides how the rows lie: interval after interval, each with every meter.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from validator.app.records import SEALED, AcceptedReading, key
from validator.node.names import name_of
from validator.node.readings import LONGEST
from validator.node.store import Store

INTERVAL_S = 900
_FIRST = 1_000
"""Numbers of names below this one are left to what a ledger has already."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Meters that have been read for long."""

    meters: int
    """How many."""

    intervals: int
    """Readings and credits of each, and seals of one zone."""

    @property
    def _lanes(self) -> range:
        return range(_FIRST, _FIRST + self.meters)

    def fill(self, path: Path) -> None:
        """Write them into a ledger file, which is made when there is none; all are in the file."""
        Store(path).close()
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA synchronous = OFF")
            insert = database.executemany
            insert("INSERT INTO names VALUES (?, ?)", self._names())
            insert("INSERT INTO readings VALUES (?, ?, ?, 0, 1, 1, 0, 0, ?)", self._readings())
            insert("INSERT INTO runs VALUES (?, ?, ?, ?, 0)", self._runs())
            insert("INSERT INTO credits VALUES (?, ?, ?)", self._credits())
            insert("INSERT INTO state VALUES (?, ?, ?)", self._seals())
            database.commit()
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _names(self) -> Iterator[tuple[int, bytes]]:
        for number in self._lanes:
            yield number, name_of(f"grown-{number}")

    def _readings(self) -> Iterator[tuple[int, int, int, bytes]]:
        numbers = (0,) * (len(AcceptedReading._fields) - 3)
        record = AcceptedReading._make((*numbers, bytes(32), bytes(32), bytes(32))).packed()
        for sequence in range(self.intervals):
            for lane in self._lanes:
                yield sequence * INTERVAL_S, lane, sequence, record

    def _runs(self) -> Iterator[tuple[int, int, int, int]]:
        for lane in self._lanes:
            for sequence in range(0, self.intervals, LONGEST):
                yield lane, sequence, sequence * INTERVAL_S, INTERVAL_S

    def _credits(self) -> Iterator[tuple[int, int, bytes]]:
        for sequence in range(self.intervals):
            for meter in self._lanes:
                yield sequence * INTERVAL_S, meter, bytes(20)

    def _seals(self) -> Iterator[tuple[str, bytes, bytes]]:
        for sequence in range(self.intervals):
            yield SEALED, key("grown", sequence * INTERVAL_S), bytes(40)
