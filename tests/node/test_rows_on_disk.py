"""The rows of a ledger file answer as a plain dictionary of all of them would."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.village import START_S, Village
from tests.node.chain import Chain
from validator.app.execution import AcceptedRow
from validator.app.paging import PAGED
from validator.app.records import CONFLICT, CREDIT, READING, AcceptedReading, key, lane
from validator.app.state import Write
from validator.node.ledger_view import LedgerView
from validator.node.names import Names
from validator.node.receipts import Receipts
from validator.node.shelf import StateShelf
from validator.node.state_rows import StateWriter, all_rows, rows_in_memory
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


def moments(most: int) -> st.SearchStrategy[int]:
    """Interval starts, and times between them."""
    return st.integers(0, most).map(lambda step: step * STEP_S) | st.integers(0, most * STEP_S)


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


def test_a_page_that_begins_with_an_interval_has_every_reading_of_it(tmp_path: Path) -> None:
    """Two sequences tell of the same interval: they dispute each other, and both are shown."""
    disk = Disk(tmp_path)
    lines = [[STEP_S * step for step in (1, 2, 3, 3, 4, 5)]] * len(LANES)
    disk.write(Stretch(0, 0, 6, late=False, restart=False, backwards=False), lines)
    view = LedgerView(disk.path)
    for span in (Span(from_s=3 * STEP_S), Span(from_s=3 * STEP_S, until_s=4 * STEP_S)):
        assert view.readings_of("m1", span) == disk.page("m1", span)
    assert view.readings_of("m1", Span(from_s=3 * STEP_S))[0].sequence == 2


@settings(max_examples=20, deadline=None)
@given(
    stretches=st.lists(STRETCHES, min_size=1, max_size=25),
    jumps=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    spans=st.lists(
        st.builds(
            Span,
            after=st.integers(-1, SEQUENCES),
            from_s=moments(200),
            until_s=moments(400),
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


def test_a_block_that_was_taken_back_leaves_nothing_behind_in_memory(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    candidate = chain.candidate([chain.interval(0)], 0)
    commit = chain.seal(candidate)
    spoiled = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    spoiled.execute(
        "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        chain.store.append(candidate.block, commit, candidate.execution, candidate.batches)
    # Numbers that were given in vain are given again, to others.
    spoiled.execute("INSERT INTO names (name) VALUES (x'ff')")
    spoiled.execute("DROP TRIGGER full")
    spoiled.close()
    chain.store.append(candidate.block, commit, candidate.execution, candidate.batches)
    chain.app.commit(candidate.execution)
    assert chain.restarted(chain.store).state.root == chain.app.state.root
    for meter in chain.village.meters:
        [reading] = chain.store.readings_of(meter, Span())
        assert (reading.start_s, reading.zone) == (START_S, "z1")
    assert chain.store.reading_count() == len(chain.village.meters)
    chain.store.close()


def test_no_question_walks_over_a_table_that_grows(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    for slot in range(2):
        chain.append([chain.interval(slot)], slot)
    asked: set[str] = set()
    store, path = chain.store, tmp_path / "ledger.sqlite"
    with closing(StateShelf(path)) as shelf, closing(LedgerView(path)) as view:
        for database in (store._database, shelf._database, view._database):
            database.set_trace_callback(asked.add)
        _ask_everything(chain, shelf, view)
    asked = {query for query in asked if not query.startswith("PRAGMA")}
    assert len(asked) > 40
    walks = {step for query in asked for step in _plan(store, query) if step.startswith("SCAN")}
    # Of a run 64 places; the others stay small.
    small = {"place", "CONSTANT ROW", "waiting", "evidence", "proposed"}
    assert walks <= {f"SCAN {name}" for name in small}
    store.close()


def _plan(store: Store, query: str) -> list[str]:
    return [row[3] for row in store._database.execute(f"EXPLAIN QUERY PLAN {query}")]


def _ask_everything(chain: Chain, shelf: StateShelf, view: LedgerView) -> None:
    """What a validator asks its ledger for while it runs."""
    store, digest = chain.store, chain.tip.digest
    [batch] = chain.append([chain.interval(2)], 2).batches
    name, own = "c1", lane("c1", b"")
    for table in PAGED:
        shelf.get(table, key(own, 1))
        shelf.newest(table, own)
    for sequence in (0, 1, 7):
        shelf.before(own, sequence)
        shelf.after(own, sequence)
    for late in (False, True):
        shelf.claims(key(own, START_S), late)
    shelf.newest_claim_s(own)
    for ledger in (store, view):
        list(rows_in_memory(ledger._ask))
        ledger.readings_of(name, Span(after=1, from_s=START_S, until_s=START_S + 900, most=3))
        ledger.reading(name, 1)
        ledger.reading_count()
        Receipts(chain.genesis, chain.app, ledger).receipt(name, 1)
        ledger.final(1)
        ledger.block(2)
        ledger.headers(1, 3)
        ledger.encoded_block(digest)
        ledger.batch(batch.batch_id)
        ledger.result(batch.batch_id)
        ledger.tx_results(1)
        ledger.seals("z1", START_S, 10)
        ledger.seal_over("z1", START_S)
        ledger.seals_at(1)
        ledger.justifications(3)
        ledger.waiting()
        ledger.evidence()
    view.outline(1)
    view.outlines(3, 2)
    view.outlines_from(1, 2)
    view.height_of(digest)
    view.newest_seal("z1")


def test_the_seal_over_an_interval_is_the_newest_and_is_found_among_few(tmp_path: Path) -> None:
    store = Store(tmp_path / "ledger.sqlite")
    rows = [("z1", start, 0, start + 1, 10 + start, b"ordinary") for start in range(3_000)]
    rows += [("z1", 40, 1, 44, 3_050, b"merged"), ("z1", 41, 1, 42, 3_040, b"again")]
    rows += [("z2", 0, 0, 3_000, 7, b"another zone's, longer")]
    insert = "INSERT INTO seals VALUES (?, ?, ?, ?, ?, 0, ?, x'')"
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as database:
        database.execute("BEGIN")
        database.executemany(insert, rows)
        database.execute("COMMIT")
    steps: list[None] = []
    store._database.set_progress_handler(lambda: steps.append(None), 1)
    for start, name in ((39, b"ordinary"), (40, b"merged"), (41, b"merged"), (43, b"merged")):
        found = store.seal_over("z1", start)
        assert (found and found.seal) == name
    found = store.seal_over("z1", 2_999)
    assert (found and found.height) == 3_009
    assert store.seal_over("z1", 3_000) is None
    assert len(steps) < 1_000
    store.close()
