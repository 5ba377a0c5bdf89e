"""Nothing in the spool is lost, doubled or changed, whenever the power fails."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.delivery.outbox import OpenBatch, Outbox, Outcome
from gateway.delivery.spool import NEVER, Spool
from tests.gateway.disaster import BOUNDARIES, STEPS, records, work
from tests.gateway.street import START_S
from wire.reading import SignedReading
from wire.witness import Batch

READINGS = 2 * (BOUNDARIES - 1)
NOW_MS = START_S * 1000


def life(folder: Path, step: str = "") -> int:
    """Start the program, perhaps to its death; return how it ended."""
    program = [sys.executable, "-m", "tests.gateway.disaster", str(folder), step]
    return subprocess.run(program, check=False, timeout=60, capture_output=True).returncode


def ledger(folder: Path) -> list[Batch]:
    lines = (folder / "ledger").read_text().splitlines()
    return [Batch.open(bytes.fromhex(line)) for line in lines]


def check_ledger(folder: Path) -> None:
    """Each reading has one content, and each batch sequence one batch."""
    contents: dict[tuple[str, int], set[bytes]] = {}
    sequences: dict[int, set[bytes]] = {}
    for batch in ledger(folder):
        sequences.setdefault(batch.witness.statement.sequence, set()).add(batch.batch_id)
        for encoded in batch.readings:
            signed = SignedReading.open(encoded)
            place = (signed.reading.meter, signed.reading.sequence)
            contents.setdefault(place, set()).add(signed.sig_hash)
    assert len(contents) == READINGS
    assert {len(each) for each in contents.values()} == {1}
    assert {len(each) for each in sequences.values()} == {1}


def counts(folder: Path) -> dict[str, int]:
    found: dict[str, int] = in_spool(folder, lambda spool: spool.counts())
    return found


def in_spool(folder: Path, work: Callable[[Spool], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        spool = await Spool.open(folder / "spool.sqlite")
        try:
            return await work(spool)
        finally:
            await spool.close()

    return asyncio.run(opened())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, when: str) -> None:
    for step in STEPS:
        folder = tmp_path / step
        folder.mkdir()
        assert life(folder, f"{step}:{when}") == -signal.SIGKILL, step
        asyncio.run(work(folder))
        check_ledger(folder)
        found = counts(folder)
        assert found["final"] == READINGS, step
        assert sum(found[state] for state in ("closed", "queued", "witnessed", "published")) == 0


def test_a_kill_at_every_step_in_turn_loses_and_doubles_nothing(tmp_path: Path) -> None:
    for step in STEPS:
        life(tmp_path, f"{step}:after")
    asyncio.run(work(tmp_path))
    check_ledger(tmp_path)
    assert counts(tmp_path)["final"] == READINGS


def test_the_second_run_of_a_finished_day_changes_nothing(tmp_path: Path) -> None:
    asyncio.run(work(tmp_path))
    before = ledger(tmp_path)
    asyncio.run(work(tmp_path))
    assert [each.batch_id for each in ledger(tmp_path)] == [each.batch_id for each in before]


async def keep_all(spool: Spool) -> None:
    await spool.keep_records("m2", records(), BOUNDARIES - 1, NOW_MS)


def damage_index(path: Path) -> None:
    """Overwrite one page, of an index."""
    connection = sqlite3.connect(path)
    ((root,),) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'reading_waiting'"
    ).fetchall()
    ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * size : root * size] = b"\x5a" * size
    path.write_bytes(content)


def test_of_a_damaged_file_each_row_that_is_no_reading_any_more_is_left_behind(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool.sqlite"
    in_spool(tmp_path, keep_all)
    damage_index(path)
    content = bytearray(path.read_bytes())
    content[content.index(records()[1].encoded)] ^= 1
    path.write_bytes(content)
    assert in_spool(tmp_path, keep_nothing)["queued"] == BOUNDARIES - 2


async def keep_nothing(spool: Spool) -> dict[str, int]:
    return await spool.counts()


def test_a_damaged_index_costs_no_reading(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    in_spool(tmp_path, keep_all)
    damage_index(path)
    found = in_spool(tmp_path, keep_nothing)
    assert found["queued"] == BOUNDARIES - 1
    assert len(list(tmp_path.glob("spool.sqlite.damaged-*"))) == 1
    # Nobody knows what else is damaged: the meter is asked for all that it has.
    assert in_spool(tmp_path, next_sequence) == NEVER


async def next_sequence(spool: Spool) -> int:
    return (await spool.meter("m2")).next_sequence


def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"this is not SQLite" * 1000)
    assert in_spool(tmp_path, keep_nothing)["final"] == 0
    [aside] = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes().startswith(b"this is not SQLite")


def test_refused_readings_are_kept_with_their_reason_and_retried_ones_wait(
    tmp_path: Path,
) -> None:
    async def refuse(spool: Spool) -> tuple[dict[str, int], int, int]:
        outbox = Outbox(spool)
        batch = await opened_batch(spool, outbox)
        outcomes = [
            Outcome(0, "accepted", "final"),
            Outcome(14, "bad", "refused"),
            Outcome(11, "unknown", "retry"),
        ]
        assert await outbox.settle(batch, outcomes, 0, NOW_MS)
        assert not await outbox.settle(batch, outcomes, 0, NOW_MS)
        soon, _ = await outbox.waiting(NOW_MS, 0)
        later, _ = await outbox.waiting(NOW_MS + 10**7, 0)
        return await spool.counts(), soon.count, later.count

    found, soon, later = in_spool(tmp_path, refuse)
    assert (found["final"], found["refused"], found["queued"]) == (1, 1, 1)
    assert (soon, later) == (0, 1)


async def opened_batch(spool: Spool, outbox: Outbox) -> int:
    await keep_all(spool)
    readings = await outbox.pick(0, True, 10)
    await outbox.open_batch(OpenBatch(7, b"p", bytes(32)), readings)
    await outbox.keep_witness(7, b"w")
    return 7
