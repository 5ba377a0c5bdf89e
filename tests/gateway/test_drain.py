"""However much waits: memory is flat, the order holds, no question takes longer, live is first."""

import asyncio
import re
import sqlite3
import ssl
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.properties import Properties

from gateway.config import MqttConfig
from gateway.delivery import relay
from gateway.delivery.outbox import OpenBatch, Outbox, Outcome
from gateway.delivery.overview import overview
from gateway.delivery.receipts import Receipts
from gateway.delivery.relay import Relay
from gateway.delivery.spool import Spool
from gateway.delivery.spool_file import SCHEMA
from gridwitness.bench_year import METERS, write_outage
from tests.gateway.house import House
from tests.gateway.quick_folder import quick_path as quick_path
from tests.gateway.street import START_S, StepClock
from tests.gateway.world import make_genesis
from wire.answer import known_set

READINGS = 20_000
MOST_HELD = relay.WINDOW + relay._QUEUE_ROOM
FINAL = Outcome(0, "", "final")
NOW_MS = (START_S + 7_200) * 1000


def outage(folder: Path, readings: int, end_s: int = START_S - 86_400) -> Path:
    path = folder / "spool.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(SCHEMA)
    write_outage(path, "test-0", readings, end_s, lambda _: None)
    return path


def in_spool(path: Path, work: Callable[[Spool], Awaitable[Any]]) -> Any:
    async def scene() -> Any:
        spool = await Spool.open(path)
        try:
            return await work(spool)
        finally:
            await spool.close()

    return asyncio.run(scene())


def test_an_outage_drains_oldest_first_with_flat_memory(quick_path: Path) -> None:
    path = outage(quick_path, READINGS)
    most: list[int] = []

    async def drain(spool: Spool) -> None:
        outbox, last_s, sent = Outbox(spool), 0, 0
        tracemalloc.start()
        while found := await outbox.sendable(START_S, False, [], relay.BACKLOG_SHARE):
            for sequence in found:
                batch = await outbox.batch(sequence)
                assert batch is not None
                assert batch.witness.statement.witnessed_at_s >= last_s
                last_s = batch.witness.statement.witnessed_at_s
                await outbox.settle(sequence, [FINAL] * len(batch.readings), 0, NOW_MS)
                sent += len(batch.readings)
            most.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
        tracemalloc.stop()
        counts = await spool.counts()
        assert (counts["final"], sent) == (READINGS, READINGS)
        assert await spool.rows("SELECT COUNT(*) FROM batch") == [(1,)]

    in_spool(path, drain)
    assert max(most[len(most) // 2 :]) < 1.2 * max(most[: len(most) // 4])


def test_the_file_does_not_grow_from_outage_to_outage(quick_path: Path) -> None:
    async def drain(spool: Spool) -> None:
        outbox = Outbox(spool)
        while found := await outbox.sendable(START_S, False, [], 50):
            for sequence in found:
                await outbox.settle(sequence, [FINAL] * METERS, 0, NOW_MS)

    sizes = []
    for _ in range(3):
        path = outage(quick_path, 2_000)
        in_spool(path, drain)
        sizes.append(path.stat().st_size)
    assert sizes[2] <= 1.1 * sizes[0]


def test_no_question_of_a_running_gateway_looks_at_everything(quick_path: Path) -> None:
    path = outage(quick_path, 500)
    asked: set[str] = set()

    async def a_round(spool: Spool) -> None:
        def trace(database: sqlite3.Connection) -> None:
            database.set_trace_callback(asked.add)

        await spool._database.call(trace)
        outbox = Outbox(spool)
        await outbox.waiting(NOW_MS, START_S)
        await outbox.any_closed()
        await spool.unsigned(64)
        await outbox.pick(START_S, False, 500)
        await outbox.last()
        await outbox.unsigned()
        for sequence in await outbox.sendable(START_S, False, [1, 2], 9):
            batch = await outbox.batch(sequence)
            assert batch is not None
            await outbox.find(batch.batch_id)
            await outbox.published([sequence])
            retry = Outcome(11, "", "retry")
            await outbox.settle(sequence, [retry, *[FINAL] * (METERS - 1)], 0, NOW_MS)
        await outbox.waiting(NOW_MS + 10**8, START_S)
        readings = await outbox.pick(START_S, False, 3)
        await outbox.open_batch(OpenBatch(10**6, b"p", bytes(32)), readings)
        await outbox.abandon(10**6)
        await overview(spool, NOW_MS)

    in_spool(path, a_round)
    plans = dict(plans_of(asked))
    assert len(plans) > 20
    scans = {
        query: plan
        for query, plan in plans.items()
        if re.search(r"SCAN (reading|batch)(?! USING)", plan)
        and "ORDER BY sequence DESC" not in query
    }
    assert scans == {}


def plans_of(queries: set[str]) -> list[tuple[str, str]]:
    found = []
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        for query in queries:
            if query.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"):
                rows = database.execute("EXPLAIN QUERY PLAN " + query).fetchall()
                found.append((query, " / ".join(row[3] for row in rows)))
    return found


class Client:
    """Stands for the MQTT client: keeps what it is given until it is taken."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.sent: list[bytes] = []
        self.said: list[Properties] = []

    def publish(self, topic: str, payload: bytes, qos: int, properties: Properties) -> Any:
        self.said.append(properties)
        if len(self.held) >= MOST_HELD:
            return SimpleNamespace(rc=mqtt.MQTT_ERR_QUEUE_SIZE, mid=0)
        self.sent.append(payload)
        self.held.append(len(self.sent))
        return SimpleNamespace(rc=0, mid=len(self.sent))


class Link:
    """A relay over a spool, turn by turn, by a clock of its own."""

    def __init__(self, spool: Spool) -> None:
        world, clock = make_genesis(), StepClock(START_S)
        outbox = Outbox(spool)
        settings = MqttConfig("h", 1, Path(), Path(), Path())
        self.now_s = 0.0
        self.spool, self.client = spool, Client()
        self.relay = Relay(
            "gw-1", "t", settings, outbox, Receipts(outbox, world.genesis, clock), clock
        )
        self.relay._client = self.client  # type: ignore[assignment]
        self.relay._loop = SimpleNamespace(time=lambda: self.now_s)  # type: ignore[assignment]

    async def turn(self, passed_s: float) -> None:
        """Time passes, and what is due is sent."""
        self.now_s += passed_s
        for sequence, live in await self.relay._next():
            await self.relay._publish(sequence, live)

    async def acknowledge(self, refusal: str = "") -> None:
        """The broker takes, or refuses, everything that it was given."""
        found = [(mid, refusal) for mid in self.client.held]
        self.client.held.clear()
        await self.relay._outbox.published(list(self.relay._taken(found)))


def relaying(path: Path, act: Callable[[Link], Awaitable[None]]) -> None:
    in_spool(path, lambda spool: act(Link(spool)))


@pytest.fixture(autouse=True)
def no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "tls_context", lambda _: ssl.create_default_context())


def test_a_broker_that_takes_nothing_fills_no_memory(quick_path: Path) -> None:
    """paho's own queue has no limit by default (paho.mqtt.python #856)."""

    async def act(link: Link) -> None:
        for _ in range(100):
            await link.turn(5)
        assert len(link.client.held) == relay.BACKLOG_SHARE
        for _ in range(100):
            await link.turn(36)
        # What the client lost by itself is given to it again, seldom.
        assert len(link.client.held) <= MOST_HELD
        assert len(link.relay._sent) <= relay.MOST_UNANSWERED

    relaying(outage(quick_path, 5_000), act)


def test_without_answers_what_is_remembered_stays_bounded(quick_path: Path) -> None:
    async def act(link: Link) -> None:
        for _ in range(120):
            await link.turn(5)
            await link.acknowledge()
            assert len(link.relay._sent) <= relay.MOST_UNANSWERED + relay.WINDOW
        assert len(link.relay._by_mid) == 0
        assert len(link.client.sent) > 1_000

    relaying(outage(quick_path, 30_000), act)


def test_a_batch_says_which_validators_are_known_already(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(link: Link) -> None:
        await link.turn(1)
        monkeypatch.setattr(link.relay._receipts._client, "_eras", [(120, None)])
        await link.acknowledge()
        await link.turn(100)
        heights = [known_set(getattr(each, "UserProperty", ())) for each in link.client.said]
        assert (heights[0], heights[-1]) == (1, 120)

    relaying(outage(quick_path, 5_000), act)


def test_live_batches_do_not_wait_behind_the_backlog(quick_path: Path) -> None:
    async def act(link: Link) -> None:
        for _ in range(5):
            await link.turn(1)
        assert len(link.relay._sent) == relay.BACKLOG_SHARE
        write_outage(link.spool.path, "test-0", METERS, START_S, lambda _: None, "live")
        await link.turn(1)
        assert [sent.live for sent in link.relay._sent.values()].count(True) == 1

    relaying(outage(quick_path, 5_000), act)


def test_a_refusal_of_the_broker_is_told_and_the_batch_is_sent_again(quick_path: Path) -> None:
    async def act(link: Link) -> None:
        await link.turn(1)
        first = len(link.client.sent)
        await link.acknowledge("batch: Not authorized")
        assert link.relay.refusal == "batch: Not authorized"
        assert (await link.spool.counts())["published"] == 0
        await link.turn(relay.FIRST_RESEND_S)
        assert len(link.client.sent) == 2 * first
        await link.acknowledge()
        assert link.relay.refusal == ""
        assert (await link.spool.counts())["published"] == 500

    relaying(outage(quick_path, 500), act)


def test_a_year_without_the_token_is_witnessed_live_first(quick_path: Path) -> None:
    """After each batch of the backlog the live lane is looked at again."""

    async def scene() -> None:
        house = House(quick_path)
        await house.open()
        try:
            await house.live(3)
            for _ in range(1_200):
                house.clock.move_to(house.clock.now_ms() / 1000 + 900)
                house.meter.close(house.clock.now_ms() // 1000 // 900 * 900 - 900, house.import_wh)
            await house.fetch()
            real = house.outbox.keep_witness
            order: list[int] = []

            async def noted(sequence: int, witness: bytes) -> None:
                await real(sequence, witness)
                order.append(sequence)
                if len(order) == 2:
                    await house.boundary()
                    await house.signed()

            house.outbox.keep_witness = noted  # type: ignore[method-assign]
            await house.witness.step()
            batches = [await house.outbox.batch(each) for each in order]
            newest = [max(starts(each)) for each in batches]
            # Live, backlog, then what came live meanwhile, then the rest of the backlog.
            assert newest[2] == max(newest)
            assert newest[1] < newest[0] < newest[2]
            assert all(each < newest[0] for each in newest[3:])
        finally:
            await house.close()

    asyncio.run(scene())


def starts(batch: Any) -> list[int]:
    from wire.reading import SignedReading

    return [SignedReading.open(each).reading.interval_start_s for each in batch.readings]
