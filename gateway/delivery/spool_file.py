"""The spool's file: its tables, how it is opened and owned, and one transaction at a time.

Decides the tables and their indexes, how long the write-ahead log may grow, and that the file is
one process's alone. What the tables mean is for `delivery.spool` and `delivery.outbox`.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import aiosqlite

from gateway.delivery.salvage import ready_file
from wire.errors import Unavailable

_LOG_PAGES = 250
"""The write-ahead log is brought into the file at a megabyte: an eighth of the room's reserve."""

T = TypeVar("T")

VERSION = 2
"""Of the tables below; a spool of another version is rebuilt by `delivery.salvage`."""

SCHEMA = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE IF NOT EXISTS life (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS meter (
    id TEXT PRIMARY KEY, next_sequence INTEGER NOT NULL, done_s INTEGER NOT NULL,
    previous BLOB NOT NULL, events INTEGER NOT NULL,
    boundary_s INTEGER, import_wh INTEGER, export_wh INTEGER, words BLOB, offset_ms INTEGER);
CREATE TABLE IF NOT EXISTS reading (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, interval_start_s INTEGER NOT NULL,
    state TEXT NOT NULL, protected BLOB, payload BLOB, encoded BLOB,
    queued_ms INTEGER NOT NULL DEFAULT 0, retry_ms INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, batch INTEGER, code INTEGER, words TEXT,
    PRIMARY KEY (meter, sequence));
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, batch_id BLOB NOT NULL UNIQUE, state TEXT NOT NULL,
    count INTEGER NOT NULL, oldest_start_s INTEGER NOT NULL, newest_start_s INTEGER NOT NULL,
    protected BLOB NOT NULL, root BLOB NOT NULL, witness BLOB);
CREATE TABLE IF NOT EXISTS apart (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, bytes BLOB NOT NULL, reason TEXT NOT NULL,
    at_ms INTEGER NOT NULL, PRIMARY KEY (meter, sequence, bytes));
CREATE TABLE IF NOT EXISTS tally (state TEXT PRIMARY KEY, count INTEGER NOT NULL);

-- Each question that a running gateway asks has its index, so that none of them takes longer the
-- more readings wait: a year of them must drain at the rate of the first day.
CREATE INDEX IF NOT EXISTS reading_closed ON reading (interval_start_s, meter)
    WHERE state = 'closed';
CREATE INDEX IF NOT EXISTS reading_waiting ON reading (interval_start_s, meter, sequence)
    WHERE state = 'queued' AND batch IS NULL AND retry_ms = 0;
CREATE INDEX IF NOT EXISTS reading_later ON reading (retry_ms) WHERE retry_ms > 0;
CREATE INDEX IF NOT EXISTS reading_batch ON reading (batch) WHERE batch IS NOT NULL;
CREATE INDEX IF NOT EXISTS batch_open ON batch (sequence) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS batch_settled ON batch (sequence)
    WHERE state IN ('final', 'refused', 'abandoned');
CREATE INDEX IF NOT EXISTS batch_unanswered ON batch (newest_start_s, sequence)
    WHERE state IN ('witnessed', 'published');
CREATE TRIGGER IF NOT EXISTS tally_new AFTER INSERT ON reading BEGIN
    INSERT INTO tally VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER IF NOT EXISTS tally_gone AFTER DELETE ON reading BEGIN
    UPDATE tally SET count = count - 1 WHERE state = old.state;
END;
CREATE TRIGGER IF NOT EXISTS tally_moved AFTER UPDATE OF state ON reading
WHEN old.state <> new.state BEGIN
    UPDATE tally SET count = count - 1 WHERE state = old.state;
    INSERT INTO tally VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
"""
"""A reading is closed, queued or refused; one in a batch is as far as its batch."""


class Database(aiosqlite.Connection):
    """A connection whose thread does a whole transaction in one call.

    aiosqlite's own methods go to that thread and back for every statement: keeping one reading
    took six journeys.
    """

    async def call(self, work: Callable[..., T], *values: Any) -> T:
        """Return what `work(sqlite3 connection, *values)` returns, done on the thread."""
        done: T = await self._execute(work, self._conn, *values)  # type: ignore[no-untyped-call]
        return done


def own(path: Path) -> IO[bytes]:
    """Lock the spool for this process; the kernel lets go when the process ends, however."""
    lock = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Unavailable(f"another gateway works on {path}: stop it first") from None
    return lock


def open_file(path: Path) -> sqlite3.Connection:
    """Open a whole file of this version, after `ready_file` has seen to that."""
    ready_file(path, SCHEMA, VERSION)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
    database.execute(f"PRAGMA journal_size_limit={_LOG_PAGES * 4_096}")
    database.executescript(SCHEMA)
    _sync_folder(path.parent)
    return database


def transaction(database: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """All of `work` or nothing; on the disk when this returns."""
    database.execute("BEGIN IMMEDIATE")
    try:
        done = work(database)
        database.execute("COMMIT")
    except BaseException:
        database.rollback()
        raise
    return done


def empty_log(database: sqlite3.Connection) -> None:
    """Bring the log into the file and cut it: a log that may not grow takes no commit."""
    with contextlib.suppress(sqlite3.OperationalError):  # No room for that either: tried again.
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def rows(database: sqlite3.Connection, query: str, values: Sequence[Any]) -> list[Any]:
    """All rows of a query."""
    return database.execute(query, values).fetchall()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
