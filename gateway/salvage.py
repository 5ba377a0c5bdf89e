"""The spool file before it is opened: whole, or moved aside and rebuilt from what is whole.

Decides what survives a damaged file. Readings are evidence in themselves, so each row is judged
by its own bytes: one that still opens as a signed reading, or as a closed payload, is kept. What
was in a batch that cannot be told any more goes back to the queue; being witnessed twice harms
nothing.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from wire.errors import Refused
from wire.reading import Reading, SignedReading

_log = structlog.get_logger()
_TABLES = ("life", "meter", "batch", "apart", "reading")


def ready_file(path: Path, schema: str) -> None:
    """See that `path` is a whole database or none; a damaged one is kept beside it."""
    if not path.exists() or _whole(path):
        return
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    kept = _rebuild(aside, path, schema)
    _log.error("the spool was damaged; moved aside and rebuilt", aside=str(aside), kept=kept)


def _whole(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def _rebuild(damaged: Path, path: Path, schema: str) -> int:
    new = path.with_name(path.name + ".rebuilt")
    new.unlink(missing_ok=True)
    kept = 0
    with contextlib.closing(sqlite3.connect(new)) as target:
        target.executescript(schema)
        with contextlib.closing(sqlite3.connect(damaged)) as source:
            source.row_factory = sqlite3.Row
            for table in _TABLES:
                for row in _readable(source, table):
                    kept += _copy(target, table, row)
        target.execute(
            "UPDATE reading SET state = 'queued', batch = NULL WHERE batch IS NOT NULL"
            " AND batch NOT IN (SELECT sequence FROM batch)"
        )
        _drop_torn_batches(target)
        target.commit()
    new.rename(path)
    return kept


def _readable(source: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row]:
    """Rows from both ends of a table, up to where it breaks."""
    for order in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.DatabaseError):
            yield from source.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")
            return


def _copy(target: sqlite3.Connection, table: str, row: sqlite3.Row) -> int:
    if table == "reading" and not _sound(dict(row)):
        return 0
    columns = ", ".join(row.keys())
    marks = ", ".join("?" * len(row))
    with contextlib.suppress(sqlite3.Error):
        return target.execute(
            f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", tuple(row)
        ).rowcount
    return 0


def _sound(row: dict[str, Any]) -> bool:
    try:
        if row["encoded"] is None:
            reading = Reading.from_payload(row["payload"])
        else:
            reading = SignedReading.open(row["encoded"]).reading
    except (Refused, TypeError):
        return False
    return (reading.meter, reading.sequence) == (row["meter"], row["sequence"])


def _drop_torn_batches(target: sqlite3.Connection) -> None:
    """Batches whose readings are not all there cannot be published; their readings can."""
    torn = (
        "SELECT sequence FROM batch WHERE state IN ('open', 'witnessed', 'published') AND count <>"
        " (SELECT COUNT(*) FROM reading WHERE reading.batch = batch.sequence)"
    )
    target.execute(f"UPDATE reading SET state = 'queued', batch = NULL WHERE batch IN ({torn})")
    target.execute(f"UPDATE batch SET state = 'refused' WHERE sequence IN ({torn})")
