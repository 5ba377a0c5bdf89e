"""How long a validator takes to open its ledger, with a year of fifty meters in it.

The rows are written in bulk, as many and as large as a year leaves; the newest block is a real one.
What is timed is what a validator does before it speaks: open the file, take the state that it
holds in memory, read the newest block.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gridwitness.bench_block import BenchBlock
from validator.app.application import Application
from validator.app.records import READING, SEALED, key
from validator.node.candidate import Blocks, Tip
from validator.node.ledger import Ledger
from validator.node.mempool import Waiting
from validator.node.names import name_of
from validator.node.readings import LONGEST
from validator.node.shelf import StateShelf
from validator.node.store import Store
from validator.node.verification import Book
from wire.block import Commit
from wire.witness import Batch

METERS, INTERVALS = 50, 35_040
INTERVAL_S = 900
_LANES = range(1_000, 1_000 + METERS)
BLOCKS = 365 * 24 * 60
"""An empty one each minute, when there is nothing to agree on."""

_MOST_S = 5.0


def measure(folder: Path) -> dict[str, Any]:
    """Seconds to open the ledger of a year, and its size."""
    made = BenchBlock.make(500, 500)
    path = folder / "ledger.sqlite"
    with closing(Store(path)) as store:
        application = Application(made.genesis)
        blocks = Blocks(made.genesis, application, Book())
        batches = tuple(map(Batch.open, made.batches))
        waiting = Waiting(batches, ())
        me = made.genesis.validators.ids[0]
        candidate = blocks.make(me, Tip.genesis(made.genesis), made.time_ms, waiting)
        commit = Commit(0, candidate.block.digest, ())
        store.append(candidate.block, commit, candidate.execution, candidate.batches)
    record = next(value for name, _, value in candidate.execution.writes if name == READING)
    _fill(path, candidate.block.encoded, record or b"")
    started_s = time.perf_counter()
    with closing(Store(path)) as store, closing(StateShelf(path)) as shelf:
        application = Application(made.genesis)
        application.restore(store.state_rows_in_memory(), shelf)
        ledger = Ledger(made.genesis, store, application, Blocks(made.genesis, application, Book()))
        assert ledger.tip().height == 1
        seconds = time.perf_counter() - started_s
    return {
        "start_s": round(seconds, 2),
        "start_aim_s": _MOST_S,
        "ledger_gb": round(path.stat().st_size / 1e9, 2),
        "ledger_readings": METERS * INTERVALS,
    }


def _fill(path: Path, block: bytes, record: bytes) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        insert = database.executemany
        insert(
            "INSERT INTO blocks VALUES (?, ?, 0, ?, ?)",
            ((-number, number.to_bytes(32), block[:400], b"") for number in range(1, BLOCKS)),
        )
        insert("INSERT INTO names VALUES (?, ?)", _names())
        insert("INSERT INTO readings VALUES (?, ?, ?, 0, 1, 1, 0, 0, ?)", _readings(record))
        insert("INSERT INTO runs VALUES (?, ?, ?, ?, 0)", _runs())
        insert("INSERT INTO credits VALUES (?, ?, ?)", _credits())
        insert("INSERT INTO state VALUES (?, ?, ?)", _seals())
        database.commit()


def _names() -> Iterator[tuple[int, bytes]]:
    for number in _LANES:
        yield number, name_of(f"of-a-year-{number}")


def _readings(record: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    for sequence in range(INTERVALS):
        for lane in _LANES:
            yield sequence * INTERVAL_S, lane, sequence, record


def _runs() -> Iterator[tuple[int, int, int, int]]:
    for lane in _LANES:
        for sequence in range(0, INTERVALS, LONGEST):
            yield lane, sequence, sequence * INTERVAL_S, INTERVAL_S


def _credits() -> Iterator[tuple[int, int, bytes]]:
    for sequence in range(INTERVALS):
        for meter in _LANES:
            yield sequence * INTERVAL_S, meter, bytes(20)


def _seals() -> Iterator[tuple[str, bytes, bytes]]:
    for sequence in range(INTERVALS):
        yield SEALED, key("of-a-year", sequence * INTERVAL_S), bytes(40)
