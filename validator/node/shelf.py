"""The rows of the application's state that stay on the disk, read by a connection of their own.

Reads what is committed, so it is always as of the newest block in the ledger. May be asked from
several threads. What asks raises DiskUnavailable.
"""

import sqlite3
from pathlib import Path
from threading import Lock
from typing import Any

from validator.app.records import READING
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
        found = self._rows("SELECT value FROM state WHERE name = ? AND key = ?", table, row)
        return bytes(found[0][0]) if found else None

    def newest(self, table: str, name: bytes) -> int | None:
        """The highest number that a name has in a table."""
        found = self._rows(
            "SELECT key FROM state WHERE name = ? AND key BETWEEN ? AND ? AND length(key) = ?"
            " ORDER BY key DESC LIMIT 1",
            *(table, name + bytes(8), name + _TOP, len(name) + 8),
        )
        return int.from_bytes(found[0][0][-8:]) if found else None

    def before(self, lane: bytes, sequence: int) -> int | None:
        """The highest sequence of a lane below."""
        found = self._rows(
            "SELECT key FROM state WHERE name = ? AND key >= ? AND key < ? AND length(key) = ?"
            " ORDER BY key DESC LIMIT 1",
            *(READING, lane + bytes(8), lane + sequence.to_bytes(8), len(lane) + 8),
        )
        return int.from_bytes(found[0][0][-8:]) if found else None

    def after(self, lane: bytes, sequence: int) -> int | None:
        """The lowest sequence of a lane above."""
        found = self._rows(
            "SELECT key FROM state WHERE name = ? AND key > ? AND key <= ? AND length(key) = ?"
            " ORDER BY key LIMIT 1",
            *(READING, lane + sequence.to_bytes(8), lane + _TOP, len(lane) + 8),
        )
        return int.from_bytes(found[0][0][-8:]) if found else None

    def claims(self, claim: bytes, late: bool) -> tuple[bytes, ...]:
        """Keys of the readings for one meter and interval start, late ones or the others."""
        query = "SELECT reading FROM claims WHERE late = ? AND claim = ? ORDER BY reading"
        return tuple(row[0] for row in self._rows(query, late, claim))

    def newest_claim_s(self, meter: bytes) -> int:
        """The latest interval start that a meter has a reading for that is not late, or 0."""
        found = self._rows(
            "SELECT claim FROM claims WHERE late = 0 AND claim BETWEEN ? AND ?"
            " ORDER BY claim DESC LIMIT 1",
            *(meter + bytes(8), meter + _TOP),
        )
        return int.from_bytes(found[0][0][-8:]) if found else 0
