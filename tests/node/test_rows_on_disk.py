"""The rows of a ledger file answer as a plain dictionary of all of them would."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.village import Village
from validator.app.execution import AcceptedRow
from validator.app.records import CONFLICT, CREDIT, READING, AcceptedReading, key, lane
from validator.app.state import Write
from validator.node.ledger_view import LedgerView
from validator.node.names import Names
from validator.node.shelf import StateShelf
from validator.node.state_rows import StateWriter, all_rows
from validator.node.store import Store
from validator.node.stored import Span, StoredReading
from wire.reading import Reading

STEP_S = 900
SEQUENCES = 150
METERS = ("m1", "m2")
LANES = (
    *((meter, lane(meter, b"")) for meter in METERS),
    *(("m2", lane("m2", bytes([number] * 32))) for number in (1, 9)),
)


class Stretch(NamedTuple):
    """Readings of a lane that come in one block."""

    lane: int
    first: int
    length: int
    late: bool
    backwards: bool
    """They come in the wrong order."""

    restart: bool
    """Before they come, the validator starts again."""


STRETCHES = st.builds(
    Stretch,
    lane=st.integers(0, len(LANES) - 1),
    first=st.integers(0, SEQUENCES - 1),
    length=st.integers(1, 90),
    late=st.booleans(),
    backwards=st.booleans(),
    restart=st.booleans(),
)


def starts(number: int, jumps: Sequence[int]) -> list[int]:
    """Starts of a lane's intervals by sequence: never backwards, but with jumps and repetitions."""
    found_s = STEP_S * (1 + number)
    result = []
    for sequence in range(SEQUENCES):
        result.append(found_s)
        found_s += STEP_S * (jumps[sequence // 7 % len(jumps)] if sequence % 7 == 0 else 1)
    return result


@cache
def pattern() -> Reading:
    return Village().meters["c1"].reading(0, 0, 0)


def accepted(meter: str, row: bytes, start_s: int, late: bool, batch: int) -> AcceptedRow:
    sequence = int.from_bytes(row[-8:])
    reading = pattern()._replace(
        meter=meter,
        sequence=sequence,
        interval_start_s=start_s,
        interval_s=STEP_S,
        status=sequence << 20,
    )
    return AcceptedRow(row, batch.to_bytes(32), sequence % 5, f"z{start_s % 2}", late, reading)


def record(start_s: int, late: bool, sequence: int) -> bytes:
    hashes = bytes(32), bytes(32), sequence.to_bytes(32)
    numbers = start_s, sequence, 2 * sequence, 3, 4, 1, 0, 0, 0, int(late), 0, 0, 0, 0, 0
    return AcceptedReading(*numbers, *hashes).packed()


class Disk:
    """A ledger file, and all that was written to it in dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        Store(self.path).close()
        self.database = sqlite3.connect(self.path, isolation_level=None)
        self.database.execute("PRAGMA synchronous = OFF")
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.places: dict[bytes, AcceptedRow] = {}
        self.batches = 0
        self.restart()

    def restart(self) -> None:
        def ask(query: str, *values: object) -> list[tuple[object, ...]]:
            return self.database.execute(query, values).fetchall()

        self.writer = StateWriter(self.database, Names(ask))

    def write(self, stretch: Stretch, lines: Sequence[Sequence[int]]) -> None:
        meter, name = LANES[stretch.lane]
        last = min(SEQUENCES, stretch.first + stretch.length)
        self.batches += 1
        insert = "INSERT INTO results VALUES (?, ?, 1, ?, x'', x'')"
        batch = self.batches.to_bytes(32)
        self.database.execute(insert, (self.batches, batch, self.batches))
        writes: list[Write] = []
        found = []
        for sequence in range(stretch.first, last):
            row, start_s = key(name, sequence), lines[stretch.lane][sequence]
            credit = key(meter, start_s)
            conflict = None if (CONFLICT, row) in self.rows else bytes(64)
            writes += [(CONFLICT, row, conflict), (CREDIT, credit, sequence.to_bytes(20))]
            if (READING, row) not in self.rows:
                writes.append((READING, row, record(start_s, stretch.late, sequence)))
                found.append(accepted(meter, row, start_s, stretch.late, self.batches))
        found = found[::-1] if stretch.backwards else found
        self.writer.write(writes, found, {batch: self.batches})
        self.places.update((each.row, each) for each in found)
        for table, row, value in writes:
            if value is None:
                del self.rows[table, row]
            else:
                self.rows[table, row] = value

    def times(self, meter: str, late: bool) -> Iterator[tuple[int, bytes]]:
        for row, each in self.places.items():
            if each.reading.meter == meter and each.late == late:
                yield each.reading.interval_start_s, row

    def page(self, meter: str, span: Span) -> list[StoredReading]:
        firsts: dict[int, StoredReading] = {}
        for row, each in self.places.items():  # In the order in which they came.
            read = AcceptedReading.of(self.rows[READING, row])
            sequence = each.reading.sequence
            fits = sequence > span.after and span.from_s <= read.start_s < span.until_s
            if each.reading.meter == meter and not each.late and fits:
                place = each.zone, each.batch_id, each.position, each.reading.status
                numbers = read.import_wh, read.export_wh
                stored = StoredReading(meter, sequence, read.start_s, *place, *numbers, 3, 4)
                before = firsts.setdefault(sequence, stored)
                if (before.batch_id, before.position) > (stored.batch_id, stored.position):
                    firsts[sequence] = stored
        return [firsts[sequence] for sequence in sorted(firsts)][: span.most]


@settings(max_examples=20, deadline=None)
@given(
    stretches=st.lists(STRETCHES, min_size=1, max_size=25),
    jumps=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    spans=st.lists(
        st.builds(
            Span,
            after=st.integers(-1, SEQUENCES),
            from_s=st.integers(0, 200 * STEP_S),
            until_s=st.integers(0, 400 * STEP_S),
            most=st.integers(1, 120),
        ),
        max_size=8,
    ),
)
def test_rows_on_the_disk_are_those_of_a_dictionary(
    stretches: list[Stretch], jumps: list[int], spans: list[Span]
) -> None:
    lines = [starts(number, jumps) for number in range(len(LANES))]
    with TemporaryDirectory() as folder:
        disk = Disk(Path(folder))
        for stretch in stretches:
            if stretch.restart:
                disk.restart()
            disk.write(stretch, lines)
        assert sorted(all_rows(disk.database)) == sorted(
            (*row, disk.rows[row]) for row in disk.rows
        )
        with closing(StateShelf(disk.path)) as shelf:
            _compare_rows(disk, shelf)
            _compare_neighbours(disk, shelf)
            _compare_claims(disk, shelf)
        with closing(LedgerView(disk.path)) as view:
            for span in (Span(), Span(most=1_000), *spans):
                for meter in METERS:
                    assert view.readings_of(meter, span) == disk.page(meter, span)
            for sequence in range(0, SEQUENCES, 11):
                found = view.reading("m2", sequence)
                page = disk.page("m2", Span(after=sequence - 1, most=1))
                assert found == next((each for each in page if each.sequence == sequence), None)
        disk.database.close()


def _compare_rows(disk: Disk, shelf: StateShelf) -> None:
    for table, row in disk.rows:
        assert shelf.get(table, row) == disk.rows[table, row]
        if table == CREDIT:
            newest = shelf.newest(CREDIT, row[:-8])
            assert newest is not None
            assert newest >= int.from_bytes(row[-8:])
    assert shelf.get(CREDIT, key("m1", 7)) is None
    assert shelf.get(CREDIT, key("stranger", STEP_S)) is None
    assert shelf.get(READING, key("stranger", 0)) is None


def _compare_neighbours(disk: Disk, shelf: StateShelf) -> None:
    for _, name in (*LANES, ("stranger", lane("stranger", b""))):
        known = [int.from_bytes(row[-8:]) for row in disk.places if row[:-8] == name]
        assert shelf.newest(READING, name) == max(known, default=None)
        for sequence in range(SEQUENCES + 2):
            row = key(name, sequence)
            assert shelf.get(READING, row) == disk.rows.get((READING, row))
            below, above = [n for n in known if n < sequence], [n for n in known if n > sequence]
            assert shelf.before(name, sequence) == max(below, default=None)
            assert shelf.after(name, sequence) == min(above, default=None)


def _compare_claims(disk: Disk, shelf: StateShelf) -> None:
    for meter in METERS:
        name = lane(meter, b"")
        timely = [start_s for start_s, _ in disk.times(meter, late=False)]
        assert shelf.newest_claim_s(name) == max(timely, default=0)
        for late in (False, True):
            rows: dict[int, list[bytes]] = {}
            for start_s, row in disk.times(meter, late):
                rows.setdefault(start_s, []).append(row)
            for start_s in (0, *rows, 500 * STEP_S):
                expected = tuple(sorted(rows.get(start_s, ())))
                assert shelf.claims(key(name, start_s), late) == expected
