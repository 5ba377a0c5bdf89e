"""How long a validator takes to open its ledger, with a year of fifty meters in it.

The rows are written in bulk, as many and as large as a year leaves; the newest block is a real one.
What is timed is what a validator does before it speaks: open the file, take the state that it
holds in memory, read the newest block.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from gridwitness.bench_block import BenchBlock
from gridwitness.bench_ledger import Grown
from validator.app.application import Application
from validator.node.candidate import Blocks, Tip
from validator.node.ledger import Ledger
from validator.node.mempool import Waiting
from validator.node.shelf import StateShelf
from validator.node.store import Store
from validator.node.verification import Book
from wire.block import Commit
from wire.witness import Batch

METERS, INTERVALS = 50, 35_040
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
    Grown(METERS, INTERVALS).fill(path)
    _fill_blocks(path, candidate.block.encoded)
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


def _fill_blocks(path: Path, block: bytes) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.executemany(
            "INSERT INTO blocks VALUES (?, ?, 0, ?, ?)",
            ((-number, number.to_bytes(32), block[:400], b"") for number in range(1, BLOCKS)),
        )
        database.commit()
