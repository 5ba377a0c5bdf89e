"""A damaged ledger is said in words, with the remedy; the sign-state beside it is not touched."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from validator.node.store import DamagedLedger, Store


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read" * 40)
    with pytest.raises(DamagedLedger, match="move it aside"):
        Store(path)


def test_a_damaged_first_page_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Store(path).close()
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedLedger):
        Store(path)


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Store(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 1")
    with pytest.raises(DamagedLedger, match="its format is 1, of this version it is 2"):
        Store(path)
