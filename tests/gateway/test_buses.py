"""On a bus: records are verified before they are kept, doubtful values are read twice."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import Address, BusConfig
from gateway.delivery.intervals import Subject
from gateway.delivery.overview import meters_with_readings
from gateway.delivery.reader import Reader
from gateway.delivery.spool import Spool
from gateway.lines.line import Line
from gateway.lines.transport import TcpTransport
from gateway.meters import templates
from gateway.meters.decode import Limits
from gateway.polling import records, window
from gateway.polling.bus import BusActor
from gateway.registered import PolledMeter
from gateway.registered import SigningMeter as Registered
from tests.gateway.street import START_S, Eastron, ModbusHost, SigningMeter, StepClock, until
from tests.gateway.world import METER, READER
from wire.cose import Sign1, open_sign1
from wire.keys import ES256, SoftSigner
from wire.reading import SignedReading

TEMPLATE = replace(templates.load("eastron-sdm630"), silence_ms=0)


class Street:
    """One bus with a meter that signs (unit 2) and one that does not (unit 1)."""

    def __init__(self, spool: Spool, host: ModbusHost) -> None:
        self.clock = StepClock(START_S + 0.1)
        self.spool = spool
        self.host = host
        self.reader = Reader(spool, self.clock, READER.public, True)
        self.actor = self._actor()
        self.work: asyncio.Future[Any] | None = None

    def _actor(self) -> BusActor:
        address = Address("127.0.0.1", self.host.port)
        bus = BusConfig("street", address, 9_600, 60, ())
        subject = Subject("m1", "node-m1", bytes(8), TEMPLATE.hash)
        meters = (
            PolledMeter("m1", 1, TEMPLATE, subject, Limits(20_000, 10)),
            Registered("m2", 2, "node-m2", METER.public),
        )
        line = Line(bus, TcpTransport(address, 1.0))
        return BusActor(bus, meters, line, (self.spool, self.reader), self.clock)

    async def start(self) -> None:
        await self.reader.begin(START_S)
        await self.actor.begin()
        self.work = asyncio.ensure_future(self.actor.run())

    async def stop(self) -> None:
        assert self.work is not None
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)
        self.actor.line.close()

    async def restart(self) -> None:
        await self.stop()
        self.actor = self._actor()
        await self.start()

    async def boundary(self, number: int, *waited_for: str) -> None:
        """Move to a boundary and wait until these meters are dealt with."""
        boundary_s = START_S + 900 * number
        self.clock.move_to(boundary_s + 0.1)
        for meter in waited_for:
            await until(partial(self._dealt_with, meter, boundary_s))

    def _dealt_with(self, meter: str, boundary_s: int) -> bool:
        return self.actor.schedule.done_s(meter) >= boundary_s

    async def readings(self, meter: str) -> list[tuple[int, str]]:
        return [
            (sequence, state)
            for sequence, state in await self.spool.rows(
                "SELECT sequence, state FROM reading WHERE meter = ? ORDER BY sequence", (meter,)
            )
        ]


def play(folder: Path, units: dict[int, Any], act: Callable[[Street], Awaitable[None]]) -> None:
    async def scene() -> None:
        spool = await Spool.open(folder / "spool.sqlite")
        async with ModbusHost(units) as host:
            street = Street(spool, host)
            await street.start()
            try:
                await act(street)
            finally:
                await street.stop()
                await spool.close()

    asyncio.run(scene())


def signing(*starts: int) -> SigningMeter:
    meter = SigningMeter("m2", "node-m2", METER)
    for number in starts:
        meter.close(START_S + 900 * number)
    return meter


FIRST = START_S // 900


def test_a_reading_needs_both_ends_of_its_interval(tmp_path: Path) -> None:
    meter = Eastron()

    async def act(street: Street) -> None:
        with capture_logs() as logs:
            await street.boundary(0, "m1")
            assert await street.readings("m1") == []
            assert await meters_with_readings(street.spool) == set()
            await street.boundary(1, "m1")
        told = [each for each in logs if each["event"] == "first boundary taken"]
        soon = datetime.fromtimestamp(START_S + 900, UTC).isoformat()
        assert [each["first_reading_at"] for each in told] == [soon]
        assert await meters_with_readings(street.spool) == {"m1"}
        street.clock.move_to(START_S + 2 * 900 + 120)  # The second boundary is slept through.
        await until(lambda: street.actor.schedule.done_s("m1") == START_S + 1800)
        await street.boundary(3, "m1")
        await street.boundary(4, "m1")
        assert await street.readings("m1") == [(FIRST, "closed"), (FIRST + 3, "closed")]
        assert street.reader.gaps == 1

    play(tmp_path, {1: meter}, act)


def test_the_reading_says_what_was_read_and_when(tmp_path: Path) -> None:
    meter = Eastron(import_kwh=100.0, export_kwh=1.0)

    async def act(street: Street) -> None:
        await street.boundary(0, "m1")
        meter.import_kwh, meter.export_kwh = 101.5, 1.25
        await street.boundary(1, "m1")
        meter.import_kwh = 102.0
        await street.boundary(2, "m1")
        first, second = await street.spool.unsigned(9)
        envelope = Sign1(first.protected, first.payload, READER.sign(first.message))
        signed = SignedReading.open(envelope.encoded)
        signed.verify(READER.public)
        reading = signed.reading
        assert (reading.import_wh, reading.import_advance_wh) == (101_500, 1_500)
        assert (reading.export_wh, reading.export_advance_wh) == (1_250, 250)
        assert (reading.origin, reading.sequence, reading.node) == (1, FIRST, "node-m1")
        assert reading.previous == bytes(32)
        assert reading.source is not None
        assert reading.source.template == TEMPLATE.hash
        assert (reading.source.start_offset_ms, reading.source.end_offset_ms) == (100, 100)
        envelope = Sign1(second.protected, second.payload, READER.sign(second.message))
        following = SignedReading.open(envelope.encoded).reading
        assert following.previous == signed.sig_hash
        assert following.operating_s - reading.operating_s == 900

    play(tmp_path, {1: meter}, act)


@pytest.mark.parametrize("glitch", [(5000.0, 0.0), (0.0, 0.0)])
def test_a_glitch_is_read_again_and_dismissed(tmp_path: Path, glitch: tuple[float, float]) -> None:
    meter = Eastron(import_kwh=180.0)

    async def act(street: Street) -> None:
        await street.boundary(0, "m1")
        meter.import_kwh = 180.5
        meter.answers = [glitch]
        await street.boundary(1, "m1")
        known = await street.spool.meter("m1")
        assert known.sample is not None
        assert known.sample.registers.import_wh == 180_500

    play(tmp_path, {1: meter}, act)


def test_a_reset_is_an_event_and_never_consumption(tmp_path: Path) -> None:
    meter = Eastron(import_kwh=180.0)

    async def act(street: Street) -> None:
        await street.boundary(0, "m1")
        meter.import_kwh = 0.5
        await street.boundary(1, "m1")
        assert await street.readings("m1") == []
        meter.import_kwh = 0.75
        await street.boundary(2, "m1")
        [closed] = await street.spool.unsigned(9)
        assert closed.sequence == FIRST + 1
        assert (await street.spool.meter("m1")).chain.events == 1

    play(tmp_path, {1: meter}, act)


def test_a_restart_between_the_ends_loses_no_interval(tmp_path: Path) -> None:
    meter = Eastron()

    async def act(street: Street) -> None:
        await street.boundary(0, "m1")
        await street.restart()
        await street.boundary(1, "m1")
        assert await street.readings("m1") == [(FIRST, "closed")]

    play(tmp_path, {1: meter}, act)


def test_records_are_fetched_from_where_we_stand_after_any_outage(tmp_path: Path) -> None:
    meter = signing(*range(20))

    async def act(street: Street) -> None:
        await street.boundary(20, "m2")
        assert await street.readings("m2") == [(each, "queued") for each in range(20)]
        for number in range(20, 23):
            meter.close(START_S + 900 * number)
        meter.tail = 21
        await street.restart()
        await street.boundary(23, "m2")
        assert [each for each, _ in await street.readings("m2")] == [*range(20), 21, 22]

    play(tmp_path, {2: meter}, act)


def test_a_record_that_is_not_closed_yet_is_waited_for(tmp_path: Path) -> None:
    meter = signing(0)

    async def act(street: Street) -> None:
        await street.boundary(1, "m2")
        await street.boundary(2)
        await asyncio.sleep(0.1)
        assert street.actor.schedule.done_s("m2") == START_S + 900
        meter.close(START_S + 900)
        await street.boundary(2, "m2")
        assert len(await street.readings("m2")) == 2

    play(tmp_path, {2: meter}, act)


def forged(meter: SigningMeter) -> bytes:
    """A record with a signature by nobody."""
    cose = open_sign1(meter.records[-1])
    return Sign1(cose.protected, cose.payload, bytes(63) + b"\1").encoded


def foreign(meter: SigningMeter) -> bytes:
    """Another meter's record, well signed."""
    other = SigningMeter("m3", "node-m3", METER)
    for _ in meter.records:
        other.close(START_S + 900)
    return other.records[-1]


@pytest.mark.parametrize("make", [forged, foreign, lambda _: b"\x01\x02", lambda _: bytes(200)])
def test_a_bad_record_is_kept_apart_with_its_bytes_and_never_witnessed(
    tmp_path: Path, make: Callable[[SigningMeter], bytes]
) -> None:
    meter = signing(0, 1)
    meter.records[1] = make(meter)

    async def act(street: Street) -> None:
        await street.boundary(2, "m2")
        assert await street.readings("m2") == [(0, "queued")]
        [(sequence, content)] = await street.spool.rows("SELECT sequence, bytes FROM apart")
        assert (sequence, content) == (1, meter.records[1])
        assert street.actor.records.apart == 1

    play(tmp_path, {2: meter}, act)


class Contested(SigningMeter):
    """Another master asks for record 0 after the gateway does, or while it reads, so often."""

    rivalries = robberies = 0

    def read(self, function: int, address: int, count: int) -> list[int] | None:
        words = super().read(function, address, count)
        if self.robberies > 0 and address == window.BASE + 8:
            self.robberies -= 1
            super().write(window.BASE + 6, (0, 0))
        return words

    def write(self, address: int, values: Sequence[int]) -> bool:
        if self.rivalries > 0:
            self.rivalries -= 1
            values = (0, 0)
        return super().write(address, values)


@pytest.mark.parametrize(("rivalries", "apart"), [(4, []), (5, [2])])
def test_a_record_that_another_master_hides_is_asked_for_again_before_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rivalries: int, apart: list[int]
) -> None:
    monkeypatch.setattr(records, "MISSES", 5)
    meter = Contested("m2", "node-m2", METER)
    meter.close(START_S)
    meter.close(START_S + 900)

    async def act(street: Street) -> None:
        await street.boundary(1, "m2")
        meter.rivalries = rivalries
        meter.close(START_S + 1800)
        await street.boundary(3, "m2")
        kept = [sequence for sequence, _ in await street.readings("m2")]
        lost = [row[0] for row in await street.spool.rows("SELECT sequence FROM apart")]
        assert (kept, lost) == ([each for each in (0, 1, 2) if each not in lost], apart)

    play(tmp_path, {2: meter}, act)


def test_a_record_that_another_master_exchanges_while_it_is_read_is_not_a_bad_one(
    tmp_path: Path,
) -> None:
    meter = Contested("m2", "node-m2", METER)
    meter.close(START_S)

    async def act(street: Street) -> None:
        await street.boundary(1, "m2")
        meter.robberies = 3
        meter.close(START_S + 900)
        await street.boundary(2, "m2")
        assert [sequence for sequence, _ in await street.readings("m2")] == [0, 1]
        assert street.actor.records.apart == 0
        assert meter.robberies == 0

    play(tmp_path, {2: meter}, act)


def test_a_meter_with_another_key_is_held_and_costs_the_others_nothing(tmp_path: Path) -> None:
    stranger = SigningMeter("m2", "node-m2", SoftSigner.generate(ES256))
    stranger.close(START_S)

    async def act(street: Street) -> None:
        await street.boundary(1, "m1")
        await until(lambda: street.actor.schedule.health("m2") == "held")
        assert await street.readings("m2") == []
        await street.boundary(2, "m1")
        assert len(await street.readings("m1")) == 1

    play(tmp_path, {1: Eastron(), 2: stranger}, act)


def test_a_meter_that_dies_and_comes_back_is_caught_up(tmp_path: Path) -> None:
    meter = signing(0)

    async def act(street: Street) -> None:
        await street.boundary(1, "m1", "m2")
        del street.host.units[2]
        meter.close(START_S + 900)
        await street.boundary(2, "m1")
        await until(lambda: street.actor.schedule.health("m2") == "dead")
        assert list(street.actor.schedule.finished_boundaries(0.0)) == [START_S + 1800]
        street.host.units[2] = meter
        await street.boundary(2, "m2")
        assert [each for each, _ in await street.readings("m2")] == [0, 1]

    play(tmp_path, {1: Eastron(), 2: meter}, act)
