"""What a power cut can leave of the spool's files: every commit, every length of the log."""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.delivery.outbox import OpenBatch, Outbox, Outcome
from gateway.delivery.spool import Spool
from tests.gateway.disaster import records
from tests.gateway.quick_folder import quick_path as quick_path
from tests.gateway.street import START_S
from tests.gateway.test_spool import READINGS, check_ledger, counts

FRAME = 4_096 + 24
LOG_HEAD = 32
TABLES = ("life", "meter", "reading", "batch", "tally")
Contents = dict[str, list[tuple[object, ...]]]


def test_a_kill_before_and_after_each_commit_loses_and_doubles_nothing(quick_path: Path) -> None:
    program = [sys.executable, "-m", "tests.gateway.commit_by_commit", str(quick_path)]
    done = subprocess.run(program, check=True, timeout=120, capture_output=True)
    found = json.loads(done.stdout)
    assert found["commits"] >= 15
    assert len(found["ends"]) == 2 * found["commits"]
    for name, ends in found["ends"].items():
        assert ends == [-9, 0], name
        check_ledger(quick_path / name)
        left = counts(quick_path / name)
        assert left["final"] == READINGS, name
        assert not any(left[each] for each in ("closed", "queued", "witnessed", "published")), name


def contents(path: Path) -> Contents:
    with closing(sqlite3.connect(path)) as database:
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}


async def a_day(folder: Path, keep: Path) -> list[tuple[int, Contents]]:
    """Work commit by commit; the log's length after each, and what the spool then holds."""
    spool = await Spool.open(folder / "spool.sqlite")
    seen: list[tuple[int, Contents]] = []

    def note() -> None:
        length = (folder / "spool.sqlite-wal").stat().st_size
        seen.append((length, contents(spool.path)))

    outbox = Outbox(spool)
    for number, record in enumerate(records()):
        await spool.keep_records("m2", [record], number + 1, START_S * 1000)
        note()
    readings = await outbox.pick(0, True, 10)
    await outbox.open_batch(OpenBatch(0, b"p", bytes(32)), readings)
    note()
    await outbox.keep_witness(0, b"w")
    note()
    await outbox.published([0])
    note()
    outcomes = [Outcome(0, "", "final"), Outcome(14, "", "refused"), Outcome(11, "", "retry")]
    assert await outbox.settle(0, outcomes, 0, START_S * 1000)
    note()
    for name in ("spool.sqlite", "spool.sqlite-wal"):
        shutil.copy(folder / name, keep / name)
    await spool.close()
    return seen


def lengths(whole: int) -> Iterator[int]:
    """Every frame's end, a little beside it, and its middle; and lengths at random."""
    for end in range(LOG_HEAD, whole + 1, FRAME):
        yield from (end, max(0, end - 1), min(whole, end + 1), min(whole, end + FRAME // 2))
    chance = random.Random(11)
    yield from (chance.randrange(whole) for _ in range(10))


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_torn_log_leaves_exactly_what_was_committed_before(quick_path: Path, damage: str) -> None:
    keep, torn = quick_path / "keep", quick_path / "torn"
    keep.mkdir()
    torn.mkdir()
    seen = asyncio.run(a_day(quick_path, keep))
    log = (keep / "spool.sqlite-wal").read_bytes()
    assert len(log) >= seen[-1][0]
    for length in sorted(set(lengths(len(log)))):
        shutil.copy(keep / "spool.sqlite", torn / "spool.sqlite")
        for rest in torn.glob("spool.sqlite-*"):
            rest.unlink()
        tail = b"" if damage == "cut" else b"\xa5" * (len(log) - length)
        (torn / "spool.sqlite-wal").write_bytes(log[:length] + tail)
        expected = next((held for end, held in reversed(seen) if end <= length), None)
        found = asyncio.run(opened(torn / "spool.sqlite"))
        if expected is not None:
            assert found == expected, length
        assert list(torn.glob("*.damaged-*")) == [], length


async def opened(path: Path) -> Contents:
    spool = await Spool.open(path)
    try:
        return contents(path)
    finally:
        await spool.close()
