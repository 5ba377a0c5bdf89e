"""A disk that fills up: marks are told, new readings wait, acknowledgements go on, none is lost."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.delivery import room, spool
from gateway.delivery.outbox import Outbox, Outcome
from gateway.delivery.room import LEAST_FREE_BYTES, Room, fill_of
from gateway.delivery.spool import Spool
from tests.gateway.disaster import records
from tests.gateway.full_disk import READINGS
from tests.gateway.street import START_S, until
from tests.gateway.test_spool import opened_batch

NOW_MS = START_S * 1000
BLOCK = 4_096


@dataclass
class Disk:
    """What statvfs says, as a test wants it."""

    free: int = 10**9
    size: int = 10**10
    f_frsize: int = BLOCK

    @property
    def f_blocks(self) -> int:
        return self.size // BLOCK

    @property
    def f_bfree(self) -> int:
        return self.free // BLOCK

    @property
    def f_bavail(self) -> int:
        return self.free // BLOCK

    def ask(self, _: Path) -> "Disk":
        return self


@pytest.mark.parametrize(
    ("used", "alarm"),
    [(50, 0), (79, 0), (80, 80), (89, 80), (90, 90), (94, 90), (95, 95), (99, 95)],
)
def test_marks_are_at_80_90_and_95_percent(used: int, alarm: int) -> None:
    disk = Disk(free=100 * BLOCK * (100 - used), size=10_000 * BLOCK)
    assert fill_of(Path(), disk.ask).alarm_percent == alarm


def test_a_reserve_is_kept_and_given_up_when_nearly_nothing_is_left(tmp_path: Path) -> None:
    disk = Disk()
    kept = Room(tmp_path / "spool.sqlite", 1_000_000, disk.ask)
    kept.keep_reserve()
    assert kept.reserve.stat().st_size == 1_000_000
    assert kept.reserve.stat().st_blocks * 512 >= 1_000_000
    disk.free = LEAST_FREE_BYTES - 1
    kept.keep_reserve()
    assert kept.reserve.exists()
    disk.free = LEAST_FREE_BYTES // 4
    kept.keep_reserve()
    assert not kept.reserve.exists()
    disk.free = LEAST_FREE_BYTES
    kept.keep_reserve()
    assert not kept.reserve.exists()  # Not before there is plenty again.
    disk.free = 10**9
    kept.keep_reserve()
    assert kept.reserve.exists()


def test_on_a_full_disk_readings_wait_and_receipts_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "AGAIN_S", 0.01)

    async def scene() -> None:
        disk = Disk()
        kept = Room(tmp_path / "spool.sqlite", 100_000, disk.ask)
        opened = await Spool.open(tmp_path / "spool.sqlite", kept)
        outbox = Outbox(opened)
        batch = await opened_batch(opened, outbox)
        disk.free = 0
        new = asyncio.ensure_future(opened.keep_records("m3", records()[:1], 1, NOW_MS))
        await until(lambda: kept.waiting)
        await until(lambda: not kept.reserve.exists())
        assert kept.is_full
        assert await outbox.settle(batch, [Outcome(0, "", "final")] * 3, 0, NOW_MS)
        assert (await opened.counts())["final"] == 3
        assert not new.done()
        disk.free = 10**9
        await new
        assert (await opened.counts())["queued"] == 1
        assert not kept.is_full
        await opened.close()

    asyncio.run(scene())


def test_a_disk_that_refuses_a_commit_is_asked_again_with_the_reserve_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLITE_FULL itself, by a file that may not grow."""
    monkeypatch.setattr(spool, "AGAIN_S", 0.01)

    async def scene() -> None:
        kept = Room(tmp_path / "spool.sqlite", 100_000, Disk().ask)
        opened = await Spool.open(tmp_path / "spool.sqlite", kept)
        await opened._database.call(
            lambda database: database.execute("PRAGMA max_page_count = 1").fetchall()
        )
        big = asyncio.ensure_future(
            opened.keep_apart("m2", 7, bytes(50_000), "does not hold", NOW_MS)
        )
        await until(lambda: kept.is_full)
        assert not kept.reserve.exists()
        assert (await opened.counts())["apart"] == 0
        await opened._database.call(
            lambda database: database.execute("PRAGMA max_page_count = 10000").fetchall()
        )
        await big
        assert (await opened.counts())["apart"] == 1
        assert not kept.is_full
        await opened.close()

    asyncio.run(scene())


def test_on_a_really_full_disk_nothing_is_lost(tmp_path: Path) -> None:
    """A file system of ten megabytes, in a namespace of its own."""
    script = f"mount -t tmpfs -o size=10m none {tmp_path} && {sys.executable} -m"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*command, f"mount -t tmpfs none {tmp_path}"], check=False).returncode:
        pytest.skip("this kernel lets nobody mount in a namespace of his own")
    done = subprocess.run(
        [*command, f"{script} tests.gateway.full_disk {tmp_path}"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["reserved"]
    assert found["said_full"]
    assert found["waited"]
    assert (found["final"], found["queued"]) == (READINGS, 0)
