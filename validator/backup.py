"""Copies of a validator's ledger: made while it runs, checked, and put back.

A backup is one SQLite file: the ledger as of one block, and a table that says whose it is. Keys,
passphrases, PINs and the sign-state are not in it. A sign-state from yesterday does not know what
the key signed today; so a ledger that is put back where there is none leaves the key guarded
(`validator.node.fence`) until the operator gives the word that the old instance is destroyed.
"""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hsm.durable import sync_folder
from hsm.signstate import Guard, SignState
from validator.app.application import Application
from validator.node.fence import RESTORED
from validator.node.folder import claim_folder
from validator.node.store import Store
from wire.block import verify_commit
from wire.errors import Refused, Unavailable, WrongUsage
from wire.genesis import Genesis

LEDGER, SIGN_STATE = "ledger.sqlite", "signstate.sqlite"
WORD = "the operator gave the word"
PAGES = 4_096
"""Copied at once: 16 MiB, between two words of progress."""

_TABLE = """
CREATE TABLE backup (
    network BLOB NOT NULL, validator TEXT NOT NULL, height INTEGER NOT NULL,
    made_s INTEGER NOT NULL)
"""

Progress = Callable[[int, int], None]
"""Told how many pages of how many are copied."""


class BadBackup(Refused):
    """The file is no backup of this network, or it is damaged."""

    code = "bad-backup"


class LedgerExists(Refused):
    """A ledger is there already, and it is never overwritten."""

    code = "ledger-exists"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself."""

    validator: str
    """Whose ledger it was."""

    height: int
    """Its newest block."""

    made_s: int
    """When, Unix seconds."""


def make(
    data: Path, genesis: Genesis, whose: tuple[str, int], path: Path, progress: Progress
) -> Backup:
    """Copy a ledger as of its newest block, while its validator runs or not.

    Args:
        data: the validator's data folder.
        genesis: its network.
        whose: the validator, and the time, Unix seconds.
        path: where to; flushed when this returns, and readable by its owner only.
        progress: for people who wait.

    Raises:
        FileExistsError: something is there.
        WrongUsage: there is no ledger, or no folder to write to.
        Unavailable: the disk fails.
    """
    ledger = data / LEDGER
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if not ledger.exists():
        raise WrongUsage(f"there is no ledger in {data}: has this validator ever run?")
    if not path.parent.is_dir():
        raise WrongUsage(f"there is no folder {path.parent}: make it first")
    part = path.with_name(path.name + ".part")
    try:
        _copy(ledger, part, progress)
        with closing(sqlite3.connect(part, isolation_level=None)) as copied:
            copied.execute("PRAGMA journal_mode = DELETE")
            (height,) = copied.execute("SELECT coalesce(max(height), 0) FROM blocks").fetchone()
            copied.execute(_TABLE)
            row = (genesis.network, whose[0], height, whose[1])
            copied.execute("INSERT INTO backup VALUES (?, ?, ?, ?)", row)
        _publish(part, path)
    except sqlite3.Error as reason:
        raise Unavailable(f"no backup was made: {reason}") from None
    finally:
        part.unlink(missing_ok=True)
    return Backup(whose[0], int(height), whose[1])


def put_back(
    data: Path, genesis: Genesis, path: Path, *, destroyed: bool, progress: Progress
) -> Backup:
    """Put a ledger where there is none.

    Args:
        data: the validator's data folder; made when it is not there.
        genesis: its network.
        path: a backup of any validator of the network.
        destroyed: the operator's word that no other instance of the key runs or will.
        progress: for people who wait.

    Raises:
        LedgerExists: there is one.
        BadBackup: the file is no whole backup of this network.
        Unavailable: the validator runs, or the disk fails.
    """
    with claim_folder(data):
        if (data / LEDGER).exists():
            raise LedgerExists(
                f"{data / LEDGER} is there: a ledger is never overwritten. If it is damaged,"
                " move it aside; leave the sign-state where it is"
            )
        part = data / f"{LEDGER}.part"
        try:
            found = _read(path, genesis)
            _copy(path, part, progress)
            with closing(sqlite3.connect(part, isolation_level=None)) as copied:
                copied.execute("DROP TABLE backup")
            _check(part, genesis)
            _guard(data, destroyed)  # Before there is a ledger that the key could vote after.
            _publish(part, data / LEDGER)
        except sqlite3.Error as reason:
            raise Unavailable(f"nothing was restored: {reason}") from None
        finally:
            for name in (part, *(part.with_name(part.name + tail) for tail in ("-wal", "-shm"))):
                name.unlink(missing_ok=True)
    return found


def give_word(data: Path) -> None:
    """The operator says that no other instance of the key runs or will; raises Unavailable."""
    with claim_folder(data):
        _guard(data, destroyed=True)


def _guard(data: Path, destroyed: bool) -> None:
    """Guard a key whose sign-state is gone, or whose operator says that it may not be the newest.

    A sign-state that is there stays: what it does not know is found in the blocks.
    """
    is_new = not (data / SIGN_STATE).exists()
    with closing(SignState(data / SIGN_STATE)) as state:
        known = state.guard()
        if destroyed:
            why = RESTORED if is_new else WORD if known is None else known.why
            state.set_guard(Guard(why, fenced=True, above=None))
        elif is_new:
            state.set_guard(Guard(RESTORED, fenced=False, above=None))


def _copy(source: Path, target: Path, progress: Progress) -> None:
    """Copy a database as of one moment, whoever writes meanwhile."""
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM sqlite_master").fetchone()  # From here on it stands.
        read.backup(
            written,
            pages=PAGES,
            progress=lambda _, remaining, total: progress(total - remaining, total),
        )


def _read(path: Path, genesis: Genesis) -> Backup:
    if not path.exists():
        raise WrongUsage(f"there is no backup {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            (whole,) = file.execute("PRAGMA quick_check(1)").fetchone()
            network, *rest = file.execute("SELECT * FROM backup").fetchone()
    except (sqlite3.DatabaseError, TypeError) as reason:
        raise BadBackup(f"{path} is no backup of a ledger: {reason}") from None
    if whole != "ok":
        raise BadBackup(f"{path} is damaged: {whole}")
    if network != genesis.network:
        raise BadBackup(f"{path} is a backup of another network than {genesis.topic_name}")
    return Backup(*rest)


def _check(ledger: Path, genesis: Genesis) -> None:
    """The newest block is final under its seals, and the state is the one that it names."""
    with closing(Store(ledger)) as store:
        application = Application(genesis)
        application.restore(store.state_rows())
        newest = store.block(store.height)
        if newest is None:
            return
        header = newest.block.content
        members = application.ruling.validators(header.height)
        verify_commit(newest.commit, members, genesis.network, header.height)
        if newest.commit.digest != newest.block.digest:
            raise BadBackup(f"the seals of block {header.height} are for another block")
        if application.state.root != header.state_root:
            raise BadBackup(f"the state is not the one that block {header.height} names")


def _publish(part: Path, path: Path) -> None:
    """Flush a whole file and give it its name."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(path)
    sync_folder(path.parent)
