"""A gateway's work killed at each of its commits in turn, just before and just after it.

Run as a program: `python -m tests.gateway.commit_by_commit FOLDER`. Everything is imported once;
then a child for each commit works in a folder of its own until its commit comes and kills itself
with SIGKILL, and the work is done again to the end by another child. Prints one JSON object: how
many commits there are, and for each folder how its two lives ended.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.delivery import spool_file
from tests.gateway.disaster import work

_real = spool_file.transaction


def dying(at: int, before: bool) -> Callable[..., Any]:
    """A transaction that kills the process at its `at`-th commit."""
    count = 0

    def transaction(database: sqlite3.Connection, deed: Callable[..., Any]) -> Any:
        nonlocal count
        count += 1
        if count != at:
            return _real(database, deed)
        if before:
            database.execute("BEGIN IMMEDIATE")
            deed(database)
        else:
            _real(database, deed)
        os.kill(os.getpid(), signal.SIGKILL)

    return transaction


def life(folder: Path, transaction: Callable[..., Any]) -> int:
    """Work in a child; its exit status, or the signal that ended it, negative."""
    child = os.fork()
    if not child:
        spool_file.transaction = transaction
        asyncio.run(work(folder))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def counted(folder: Path) -> int:
    """How many commits the work takes when nobody dies."""
    read, write = os.pipe()
    count = 0

    def transaction(database: sqlite3.Connection, deed: Callable[..., Any]) -> Any:
        nonlocal count
        count += 1
        os.write(write, b".")
        return _real(database, deed)

    assert life(folder, transaction) == 0
    return len(os.read(read, 10_000))


def main(folder: Path) -> None:
    (folder / "calm").mkdir()
    commits = counted(folder / "calm")
    ends = {}
    for at in range(1, commits + 1):
        for when in ("before", "after"):
            home = folder / f"{when}-{at}"
            home.mkdir()
            first = life(home, dying(at, when == "before"))
            ends[home.name] = [first, life(home, _real)]
    print(json.dumps({"commits": commits, "ends": ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
