"""A batch whose bytes changed on the disk is taken apart, and the gateway goes on."""

import asyncio
import sqlite3
from pathlib import Path

from gateway.delivery.outbox import Outbox, Waiting
from gateway.delivery.spool import Spool
from tests.gateway.street import START_S, SigningMeter
from wire.reading import SignedReading


def test_a_flipped_bit_takes_its_batch_apart_and_asks_the_meter_again(tmp_path: Path) -> None:
    meter = SigningMeter("customer-1", "node-1")
    for start_s in (START_S, START_S + 900):
        meter.close(start_s, import_wh=250)
    records = [SignedReading.open(each) for each in meter.records]

    def tear(tx: sqlite3.Connection) -> None:
        tx.execute(
            "INSERT INTO batch VALUES (0, x'00', 'witnessed', 2, ?, ?, x'', x'', x'00')",
            (START_S, START_S + 900),
        )
        tx.execute("UPDATE reading SET batch = 0")
        tx.execute("UPDATE reading SET encoded = x'00' WHERE sequence = 1")

    async def day() -> tuple[object, Waiting, int, int]:
        spool = await Spool.open(tmp_path / "spool.sqlite")
        outbox = Outbox(spool)
        await spool.keep_records("customer-1", records, 2, START_S * 1000)
        await spool.write(tear)
        batch = await outbox.batch(0)
        waiting, _ = await outbox.waiting(START_S * 1000, 0)
        state, apart = await spool.meter("customer-1"), (await spool.counts())["apart"]
        await spool.close()
        return batch, waiting, state.next_sequence, apart

    batch, waiting, next_sequence, apart = asyncio.run(day())
    assert (batch, waiting.count, next_sequence, apart) == (None, 1, 1, 1)
