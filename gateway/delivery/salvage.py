"""The spool file before it is opened: whole, or moved aside and rebuilt from what is whole.

Decides what survives a damaged file. Readings are evidence in themselves, so each row is judged
by its own bytes: one that still opens as a signed reading, or as a closed payload, is kept. What
was in a batch that cannot be told any more goes back to the queue; being witnessed twice harms
nothing. A file of another version is rebuilt in the same way.
"""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from wire.cose import sig_structure
from wire.errors import Refused
from wire.reading import Reading, SignedReading
from wire.witness import Batch, SignedWitness, readings_root

_log = structlog.get_logger()
_TABLES = ("life", "meter", "batch", "apart", "reading")

_MOST_TRIES = 20_000
"""Each broken row costs about one try; a table that is broken everywhere is given up."""


def ready_file(path: Path, schema: str, version: int) -> None:
    """See that `path` is a whole database of this version or none; else it is kept beside it."""
    if not path.exists() or not path.stat().st_size:
        return
    found = _version(path)
    if found == version:
        return
    fault = "damaged" if found is None else f"version-{found}"
    aside = path.with_name(f"{path.name}.{fault}-{time.time_ns()}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    kept = _rebuild(aside, path, schema, whole=found is not None)
    _log.error("the spool was moved aside and rebuilt", why=fault, aside=str(aside), kept=kept)


def _version(path: Path) -> int | None:
    """The version of a whole database, None of a damaged one."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return None
            ((version,),) = connection.execute("PRAGMA user_version").fetchall()
            return int(version)
    except sqlite3.DatabaseError:
        return None


def _rebuild(old: Path, path: Path, schema: str, whole: bool) -> int:
    new = path.with_name(path.name + ".rebuilt")
    new.unlink(missing_ok=True)
    kept = 0
    with contextlib.closing(sqlite3.connect(new)) as target:
        target.executescript(schema)
        with contextlib.closing(sqlite3.connect(old)) as source:
            source.row_factory = sqlite3.Row
            for table in _TABLES:
                columns = {row[1] for row in target.execute(f"PRAGMA table_info({table})")}
                for row in _readable(source, table):
                    kept += _copy(
                        target, table, {key: row[key] for key in columns.intersection(row.keys())}
                    )
        target.execute("UPDATE reading SET state = 'queued' WHERE state IN " + _ON_THE_WAY)
        target.execute("UPDATE batch SET state = 'witnessed' WHERE state = 'published'")
        _drop_torn_batches(target)
        if not whole:
            # What was lost here, meters that sign still have: they are asked from the beginning,
            # and what is on the ledger already is told so.
            target.execute("UPDATE meter SET next_sequence = -1")
        target.commit()
    new.rename(path)
    return kept


_ON_THE_WAY = "('witnessed', 'published')"


def _readable(source: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row]:
    """Every row that can be read, however many pages between are broken."""
    ranges = [_ends(source, table)]
    for _ in range(_MOST_TRIES):
        if not ranges:
            return
        first, last = ranges.pop()
        try:
            for row in source.execute(
                f"SELECT rowid AS place, * FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid",
                (first, last),
            ):
                first = row["place"] + 1
                yield row
        except sqlite3.DatabaseError:
            if first < last:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]


def _ends(source: sqlite3.Connection, table: str) -> tuple[int, int]:
    """The first and the last place of a table; none can lie outside when they cannot be read."""
    ends = [0, 2**40]
    for end, what in enumerate(("MIN", "MAX")):
        with contextlib.suppress(sqlite3.DatabaseError, TypeError):
            ends[end] = int(source.execute(f"SELECT {what}(rowid) FROM {table}").fetchone()[0])
    return ends[0], ends[1]


def _copy(target: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    if table == "reading" and not _sound(row):
        return 0
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    with contextlib.suppress(sqlite3.Error):
        return target.execute(
            f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", tuple(row.values())
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
    batches = target.execute(
        "SELECT sequence, state, batch_id, protected, root, witness FROM batch"
        " WHERE state IN ('open', 'witnessed')"
    ).fetchall()
    whole = {row[0] for row in batches if _holds(target, *row)}
    target.executemany(
        "UPDATE batch SET state = 'abandoned', witness = NULL WHERE sequence = ?",
        [(row[0],) for row in batches if row[0] not in whole],
    )
    target.execute(
        "UPDATE reading SET batch = NULL WHERE batch IS NOT NULL AND batch NOT IN"
        " (SELECT sequence FROM batch WHERE state IN ('open', 'witnessed'))"
    )


def take_apart(tx: sqlite3.Connection, sequence: int) -> None:
    """Take one torn batch apart: whole readings wait again, broken ones are kept apart.

    A meter that signs is asked for its broken ones again.
    """
    rows = tx.execute(
        "SELECT rowid, meter, sequence, encoded, queued_ms FROM reading WHERE batch = ?",
        (sequence,),
    ).fetchall()
    for place, meter, number, encoded, at_ms in rows:
        if _sound({"meter": meter, "sequence": number, "encoded": encoded, "payload": None}):
            continue
        tx.execute(
            "INSERT OR IGNORE INTO apart VALUES (?, ?, ?, ?, ?)",
            (meter, number, encoded or b"", "its bytes changed in the spool", at_ms),
        )
        tx.execute("DELETE FROM reading WHERE rowid = ?", (place,))
        tx.execute(
            "UPDATE meter SET next_sequence = min(next_sequence, ?) WHERE id = ?", (number, meter)
        )
    tx.execute("UPDATE reading SET batch = NULL WHERE batch = ?", (sequence,))
    tx.execute(
        "UPDATE batch SET state = 'abandoned', witness = NULL WHERE sequence = ?", (sequence,)
    )


def _holds(
    target: sqlite3.Connection,
    sequence: int,
    state: str,
    batch_id: bytes,
    protected: bytes,
    root: bytes,
    witness: bytes,
) -> bool:
    """Whether a batch is the one that was settled, with each of its readings."""
    rows = target.execute(
        "SELECT encoded FROM reading WHERE batch = ? ORDER BY meter, sequence", (sequence,)
    )
    readings = tuple(encoded for (encoded,) in rows)
    try:
        if state == "witnessed":
            return bool(Batch.join(SignedWitness.open(witness), readings).batch_id == batch_id)
        message = sig_structure(protected, root)
        return hashlib.sha256(message).digest() == batch_id and readings_root(readings) == root
    except (Refused, TypeError):
        return False
