"""The rows of the application's state that stay on the disk, read by a connection of their own.

Reads what is committed, so it is always as of the newest block in the ledger. May be asked from
several threads. What asks raises DiskUnavailable.
"""

import sqlite3
from pathlib import Path
from threading import Lock
from typing import Any

from validator.app.records import CREDIT, READING
from validator.node.names import Names
from validator.node.readings import ReadingRows
from validator.node.store import DiskUnavailable

_TOP = b"\xff" * 8


class StateShelf:
    """The state's rows in a ledger file."""

    def __init__(self, path: Path) -> None:
        """Open the ledger file for reading."""
        self._lock = Lock()
        self._database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )
        self._names = Names(self._rows)
        self._readings = ReadingRows(self._rows, self._names)

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            with self._lock:
                return self._database.execute(query, values).fetchall()
        except sqlite3.OperationalError as reason:
            # Whoever asks stops speaking: what cannot be read is not taken for what is not there.
            raise DiskUnavailable(f"the ledger's disk cannot be read: {reason}") from None

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""
        name, number = row[:-8], int.from_bytes(row[-8:])
        if table == READING:
            return self._readings.record(name, number)
        if table == CREDIT:
            query = "SELECT value FROM credits WHERE start_s = ? AND meter = ?"
            found = self._rows(query, number, self._names.number(name))
        else:
            found = self._rows("SELECT value FROM state WHERE name = ? AND key = ?", table, row)
        return bytes(found[0][0]) if found else None

    def newest(self, table: str, name: bytes) -> int | None:
        """The highest number that a name has in a table, of credits the highest of all names."""
        if table == READING:
            return self._readings.newest(name)
        if table == CREDIT:
            [[newest_s]] = self._rows("SELECT max(start_s) FROM credits")
            return None if newest_s is None else int(newest_s)
        found = self._rows(
            "SELECT key FROM state WHERE name = ? AND key BETWEEN ? AND ? AND length(key) = ?"
            " ORDER BY key DESC LIMIT 1",
            *(table, name + bytes(8), name + _TOP, len(name) + 8),
        )
        return int.from_bytes(found[0][0][-8:]) if found else None

    def before(self, lane: bytes, sequence: int) -> int | None:
        """The highest sequence of a lane below."""
        return self._readings.before(lane, sequence)

    def after(self, lane: bytes, sequence: int) -> int | None:
        """The lowest sequence of a lane above."""
        return self._readings.after(lane, sequence)

    def claims(self, claim: bytes, late: bool) -> tuple[bytes, ...]:
        """Keys of the readings for one meter and interval start, late ones or the others."""
        return self._readings.claims(claim[:-8], int.from_bytes(claim[-8:]), late)

    def newest_claim_s(self, meter: bytes) -> int:
        """The latest interval start that a meter has a reading for that is not late, or 0."""
        return self._readings.newest_claim_s(meter)
