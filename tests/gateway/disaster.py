"""A gateway's way from a read register to a settled batch, killed at a chosen step.

Run as a program: `python -m tests.gateway.disaster FOLDER STEP`. It works through the same
boundaries however often it is started, writes what "validators" saw to FOLDER/ledger, and kills
itself with SIGKILL just before or just after the named step. Without a step it works to the end.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.config import BatchConfig
from gateway.delivery.intervals import Sample, Subject
from gateway.delivery.outbox import Outbox
from gateway.delivery.reader import Reader
from gateway.delivery.receipts import Receipts
from gateway.delivery.spool import Spool
from gateway.delivery.witnessing import Statements, Witness
from gateway.meters import templates
from gateway.meters.decode import Limits, Registers
from gateway.registered import PolledMeter
from hsm.signstate import SignState, WitnessSigner
from tests.gateway.street import START_S, SigningMeter, StepClock
from tests.gateway.world import METER, READER, WITNESS, make_genesis
from wire.reading import SignedReading
from wire.witness import Batch, WitnessPosition

BOUNDARIES = 4
STEPS = {
    "keep_sample": (Spool, "keep_sample"),
    "keep_records": (Spool, "keep_records"),
    "queue": (Spool, "queue"),
    "open_batch": (Outbox, "open_batch"),
    "keep_witness": (Outbox, "keep_witness"),
    "published": (Outbox, "published"),
    "settle": (Outbox, "settle"),
}
TEMPLATE = templates.load("eastron-sdm630")
POLLED = PolledMeter(
    "m1", 1, TEMPLATE, Subject("m1", "node-m1", bytes(8), TEMPLATE.hash), Limits(20_000, 10)
)


def main(folder: Path, step: str) -> None:
    if step:
        name, _, when = step.partition(":")
        place, method = STEPS[name]
        setattr(place, method, killing(getattr(place, method), when))
    asyncio.run(work(folder))


def killing(method: Callable[..., Any], when: str) -> Callable[..., Any]:
    async def killed(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await method(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    return killed


def records() -> list[SignedReading]:
    """What the signing meter has in its log: the same however often it is read."""
    meter = SigningMeter("m2", "node-m2", METER)
    for number in range(BOUNDARIES - 1):
        meter.close(START_S + 900 * number)
    return [SignedReading.open(each) for each in meter.records]


async def work(folder: Path) -> None:
    world = make_genesis()
    clock = StepClock(START_S + 900 * BOUNDARIES)
    spool = await Spool.open(folder / "spool.sqlite")
    outbox = Outbox(spool)
    reader = Reader(spool, clock, READER.public, True)
    statements = Statements(
        "gw-1", world.genesis.topic_name, lambda: WitnessPosition(0, 0, 0, 0, 0), True
    )
    state = SignState(folder / "spool.signstate")
    witness = Witness(
        outbox, WitnessSigner(WITNESS, state), statements, BatchConfig(4, 0), clock, lambda: START_S
    )
    receipts = Receipts(outbox, world.genesis, clock)
    await reader.begin(START_S)
    signing = asyncio.ensure_future(
        reader.run(lambda messages: [READER.sign(each) for each in messages])
    )
    await collect(spool, reader)
    while (await spool.counts())["closed"]:
        await asyncio.sleep(0.001)
    await witness.step()
    for sequence in await outbox.sendable(0, True, [], 9):
        batch = await outbox.batch(sequence)
        assert batch is not None
        publish(folder, batch)
        await outbox.published([sequence])
        await receipts.take(world.authorities.receipt(batch))
    signing.cancel()
    await asyncio.gather(signing, return_exceptions=True)
    state.close()
    await spool.close()


async def collect(spool: Spool, reader: Reader) -> None:
    done_s = (await spool.meter("m1")).done_s
    for number in range(BOUNDARIES):
        boundary_s = START_S + 900 * number
        if boundary_s > done_s:
            registers = Registers(1000 + 250 * number, 0)
            await reader.keep_sample(POLLED, Sample(boundary_s, registers, bytes(8), 20))
    first = max(0, (await spool.meter("m2")).next_sequence)
    for sequence, record in enumerate(records()):
        if sequence >= first:
            await spool.keep_records("m2", [record], sequence + 1, START_S * 1000)


def publish(folder: Path, batch: Batch) -> None:
    with (folder / "ledger").open("a") as ledger:
        ledger.write(batch.encoded.hex() + "\n")
        ledger.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
