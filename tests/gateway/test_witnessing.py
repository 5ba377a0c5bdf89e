"""Batches are closed when it is time, signed once, and wait while the token is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import BatchConfig
from gateway.delivery.outbox import Outbox
from gateway.delivery.spool import Spool
from gateway.delivery.witnessing import Statements, Witness
from hsm.signstate import SignState, WitnessSigner
from tests.gateway.street import START_S, SigningMeter, StepClock, until
from tests.gateway.world import METER, WITNESS, make_genesis
from wire.errors import Unavailable
from wire.keys import PublicKey
from wire.reading import SignedReading
from wire.witness import Batch, WitnessPosition

GENESIS = make_genesis().genesis
NEVER_S = -1


class Token:
    """A token that can be unplugged."""

    def __init__(self) -> None:
        self.there = True
        self.signed = 0

    @property
    def public(self) -> PublicKey:
        return WITNESS.public

    def sign(self, message: bytes) -> bytes:
        if not self.there:
            raise Unavailable("unplugged")
        self.signed += 1
        return WITNESS.sign(message)


class Bench:
    """A witness over a spool of its own."""

    def __init__(self, folder: Path, spool: Spool, limits: BatchConfig) -> None:
        self.clock = StepClock(START_S + 900)
        self.spool, self.outbox = spool, Outbox(spool)
        self.state = SignState(folder / "signstate")
        self.token = Token()
        self.finished_s = NEVER_S
        self.queued = asyncio.Event()
        self.witness = Witness(
            self.outbox,
            WitnessSigner(self.token, self.state),
            Statements("gw-1", GENESIS.topic_name, lambda: WitnessPosition(1, 2, 3, 0, 0), True),
            limits,
            self.clock,
            lambda: self.finished_s,
        )

    async def keep(self, name: str, count: int, first_s: int = START_S) -> None:
        meter = SigningMeter(name, "n", METER)
        for number in range(count):
            meter.close(first_s + 900 * number)
        records = [SignedReading.open(each) for each in meter.records]
        await self.spool.keep_records(name, records, count, self.clock.now_ms())
        self.queued.set()

    async def batches(self) -> list[Batch]:
        found = [
            await self.outbox.batch(each) for each in await self.outbox.sendable(0, True, [], 99)
        ]
        return sorted(
            (each for each in found if each), key=lambda each: each.witness.statement.sequence
        )


@asynccontextmanager
async def bench(folder: Path, most: int = 500, wait_s: int = 60) -> AsyncIterator[Bench]:
    spool = await Spool.open(folder / "spool.sqlite")
    made = Bench(folder, spool, BatchConfig(most, wait_s))
    try:
        yield made
    finally:
        made.state.close()
        await spool.close()


def test_a_batch_waits_for_company_but_not_for_ever(tmp_path: Path) -> None:
    async def scene() -> None:
        async with bench(tmp_path) as made:
            await made.keep("m2", 1)
            due_ms = await made.witness.step()
            assert due_ms is not None
            assert due_ms == made.clock.now_ms() + 60_000
            assert await made.batches() == []
            made.clock.move_to(due_ms / 1000)
            assert await made.witness.step() is None
            [batch] = await made.batches()
            assert batch.witness.statement.witnessed_at_s == due_ms // 1000
            batch.witness.verify(WITNESS.public)

    asyncio.run(scene())


def test_a_batch_closes_at_once_when_nothing_more_is_to_come(tmp_path: Path) -> None:
    async def scene() -> None:
        async with bench(tmp_path) as made:
            await made.keep("m2", 1)
            made.finished_s = START_S
            await made.witness.step()
            assert len(await made.batches()) == 1

    asyncio.run(scene())


def test_full_batches_do_not_wait_and_chain_their_ids(tmp_path: Path) -> None:
    async def scene() -> None:
        async with bench(tmp_path, most=2) as made:
            await made.keep("m3", 2)
            await made.keep("m2", 3, START_S - 900)
            made.clock.move_to(START_S + 900 + 120)
            await made.witness.step()
            batches = await made.batches()
            assert [len(each.readings) for each in batches] == [2, 2, 1]
            previous = bytes(32)
            for number, batch in enumerate(batches):
                statement = batch.witness.statement
                assert (statement.sequence, statement.previous) == (number, previous)
                previous = batch.batch_id

    asyncio.run(scene())


def test_live_readings_and_backlog_go_in_batches_of_their_own(tmp_path: Path) -> None:
    async def scene() -> None:
        async with bench(tmp_path, wait_s=0) as made:
            await made.keep("m2", 10, START_S - 9 * 900)
            await made.witness.step()
            live, backlog = await made.batches()
            assert len(live.readings) + len(backlog.readings) == 10
            oldest = SignedReading.open(live.readings[0]).reading.interval_start_s
            assert oldest >= START_S + 900 - 3 * 900

    asyncio.run(scene())


def test_while_the_token_is_away_batches_wait_and_keep_their_bytes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with bench(tmp_path, wait_s=0) as made:
            made.token.there = False
            await made.keep("m2", 1)
            work = asyncio.ensure_future(made.witness.run(made.queued))
            await until(lambda: made.witness.token == "away")
            settled = await made.outbox.unsigned()
            assert settled is not None
            made.token.there = True
            await until(made.witness.witnessed.is_set)
            work.cancel()
            [batch] = await made.batches()
            assert batch.witness.cose.sig_structure == settled.message
            assert made.token.signed == 1

    asyncio.run(scene())


def test_a_lost_spool_never_reuses_a_batch_sequence(tmp_path: Path) -> None:
    async def scene() -> None:
        async with bench(tmp_path, wait_s=0) as made:
            for sequence in range(5):
                made.state.claim_statement(sequence, b"of a spool that was lost")
            await made.keep("m2", 1)
            work = asyncio.ensure_future(made.witness.run(made.queued))
            await until(made.witness.witnessed.is_set)
            work.cancel()
            [batch] = await made.batches()
            assert batch.witness.statement.sequence >= 5
            assert made.token.signed == 1

    asyncio.run(scene())
