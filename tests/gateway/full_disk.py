"""A spool on a file system that is really full: nothing is lost, and receipts make room.

Run as a program in a folder with a few megabytes: `python -m tests.gateway.full_disk FOLDER`.
Prints one JSON object: what was seen on the way, and what the spool has in the end.
"""

import asyncio
import contextlib
import json
import sqlite3
import sys
from pathlib import Path

from gateway.delivery import room, spool
from gateway.delivery.outbox import OpenBatch, Outbox, Outcome
from gateway.delivery.room import Room
from gateway.delivery.spool import Spool
from tests.gateway.street import START_S, SigningMeter
from tests.gateway.world import METER
from wire.reading import SignedReading

READINGS, AT_ONCE = 1_600, 50
LEAST_FREE_BYTES, RESERVE_BYTES = 300_000, 4_000_000


def fill(folder: Path) -> None:
    """Something else takes the disk, all of it."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4_096)):
            pass


async def keep(opened: Spool, records: list[SignedReading], before: int = 0) -> None:
    for first in range(0, len(records), AT_ONCE):
        part = records[first : first + AT_ONCE]
        await opened.keep_records("m2", part, before + first + len(part), START_S * 1000)


async def settle_one(outbox: Outbox, sequence: int) -> int:
    """The next readings go their whole way; how many."""
    readings = await outbox.pick(0, True, AT_ONCE)
    if readings:
        await outbox.open_batch(OpenBatch(sequence, b"p%d" % sequence, bytes(32)), readings)
        await outbox.keep_witness(sequence, b"w")
        await outbox.settle(sequence, [Outcome(0, "", "final")] * len(readings), 0, 0)
    return len(readings)


async def main(folder: Path) -> None:
    room.LEAST_FREE_BYTES = LEAST_FREE_BYTES
    spool.AGAIN_S = room.AGAIN_S = 0.01  # type: ignore[attr-defined]
    meter = SigningMeter("m2", "n", METER)
    for number in range(READINGS):
        meter.close(START_S + 900 * number)
    records = [SignedReading.open(each) for each in meter.records]
    watched = Room(folder / "spool.sqlite", RESERVE_BYTES)
    opened = await Spool.open(folder / "spool.sqlite", watched)
    reserved = watched.reserve.exists()
    await keep(opened, records[: READINGS // 2])
    fill(folder)
    refused = await log_refuses(opened)
    keeping = asyncio.ensure_future(keep(opened, records[READINGS // 2 :], READINGS // 2))
    outbox, sequence = Outbox(opened), 0
    async with asyncio.timeout(60):
        while await settle_one(outbox, sequence):
            sequence += 1
        waited = not keeping.done()
        (folder / "filler").unlink()
        await keeping
        while await settle_one(outbox, sequence):
            sequence += 1
    counts = await opened.counts()
    await opened.close()
    print(json.dumps({"reserved": reserved, "said_full": refused, "waited": waited, **counts}))


async def log_refuses(opened: Spool) -> bool:
    """Whether SQLite itself says that the disk is full."""

    def grow(database: sqlite3.Connection) -> bool:
        try:
            database.execute("CREATE TABLE filler AS SELECT zeroblob(2000000)")
        except sqlite3.OperationalError as reason:
            return reason.sqlite_errorcode == sqlite3.SQLITE_FULL
        return False

    return bool(await opened._database.call(grow))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
