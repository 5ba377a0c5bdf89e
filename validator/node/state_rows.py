"""What a block changes of the state, written into the ledger file; and all of it read again.

A reading's row of the state is one with where the reading is on the ledger. Decides which table a
row stands in; `readings` and `shelf` find it there.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

from validator.app.application import AcceptedRow
from validator.app.paging import PAGED
from validator.app.records import CREDIT, READING, key
from validator.app.state import Write
from validator.node.names import MOST_KEPT, Ask, Names, name_of
from validator.node.readings import LONGEST

Row = tuple[str, bytes, bytes]
"""Table, key, value."""


class StateWriter:
    """Writes rows, within transactions of the ledger's."""

    def __init__(self, database: sqlite3.Connection, names: Names) -> None:
        """Begin with nothing known of the lanes: each begins a new run."""
        self._database = database
        self._names = names
        self._follows: dict[int, tuple[int, int, int, int, bool]] = {}

    def forget(self) -> None:
        """What was written was taken back."""
        self._names.forget()
        self._follows.clear()

    def write(
        self,
        writes: Iterable[Write],
        accepted: Sequence[AcceptedRow],
        batches: Mapping[bytes, int],
    ) -> None:
        """Write the rows that a block changes.

        Args:
            writes: of the state.
            accepted: where its new readings are.
            batches: numbers of their batches among the results.
        """
        records: dict[bytes, bytes] = {}
        credited: list[tuple[int, int, bytes]] = []
        kept: list[tuple[str, bytes, bytes]] = []
        known = self._names.known
        for table, row, value in writes:
            if value is None:
                assert table not in (READING, CREDIT), "what was counted is never taken back"
                self._database.execute("DELETE FROM state WHERE name = ? AND key = ?", (table, row))
            elif table == READING:
                records[row] = value
            elif table == CREDIT:
                meter = known.get(row[:-8]) or self._number(row[:-8])
                credited.append((int.from_bytes(row[-8:]), meter, value))
            else:
                kept.append((table, row, value))
        insert = self._database.executemany
        insert("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", kept)
        insert("INSERT OR REPLACE INTO credits VALUES (?, ?, ?)", sorted(credited))
        self._write_readings(accepted, records, batches)

    def _write_readings(
        self,
        accepted: Sequence[AcceptedRow],
        records: Mapping[bytes, bytes],
        batches: Mapping[bytes, int],
    ) -> None:
        zones = {zone: self._number(name_of(zone)) for zone in {each.zone for each in accepted}}
        known, follows = self._names.known, self._follows
        rows, runs = [], []
        for row, batch_id, position, zone, late, reading in accepted:
            lane = known.get(row[:-8]) or self._number(row[:-8])
            sequence, start_s, step_s = (
                reading.sequence,
                reading.interval_start_s,
                reading.interval_s,
            )
            run = lane, sequence, start_s, step_s, late
            # What is not remembered begins a run: that costs a row and is never wrong.
            if follows.get(lane) != run or sequence % LONGEST == 0:
                runs.append(run)
            follows[lane] = lane, sequence + 1, start_s + step_s, step_s, late
            place = batches[batch_id], position, reading.status, records[row]
            rows.append((start_s, lane, sequence, late, zones[zone], *place))
        if len(follows) > MOST_KEPT:
            follows.clear()
        insert = self._database.executemany
        insert("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", sorted(rows))
        insert("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", runs)

    def _number(self, name: bytes) -> int:
        found = self._names.number(name)
        if found is None:
            insert = "INSERT INTO names (name) VALUES (?)"
            found = self._database.execute(insert, (name,)).lastrowid
            assert found is not None
            self._names.keep(name, found)
        return found


def rows_in_memory(ask: Ask) -> Iterator[Row]:
    """Rows of tables that are not paged: found without walking over those that are."""
    name = ""
    while True:
        [(name,)] = ask("SELECT min(name) FROM state WHERE name > ?", name)
        if name is None:
            return
        if name not in PAGED:
            yield from ask("SELECT name, key, value FROM state WHERE name = ?", name)


def all_rows(database: sqlite3.Connection) -> Iterator[Row]:
    """All rows: readings and credits in order of time, then the others."""
    query = "SELECT name, sequence, record FROM readings JOIN names ON number = lane"
    order = "ORDER BY start_s, name"
    for name, sequence, record in database.execute(f"{query} {order}, sequence"):
        yield READING, key(name, sequence), record
    query = "SELECT name, start_s, value FROM credits JOIN names ON number = meter"
    for name, start_s, value in database.execute(f"{query} {order}"):
        yield CREDIT, key(name, start_s), value
    yield from database.execute("SELECT name, key, value FROM state ORDER BY name, key")
