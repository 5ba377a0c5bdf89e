"""Meters that cannot sign, polled by a bus over a pty: what is believed, held, or no value."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from gateway.config import BusConfig
from gateway.delivery.intervals import Subject
from gateway.delivery.reader import Reader
from gateway.delivery.spool import Spool
from gateway.lines.readout_line import line_for
from gateway.meters.decode import Limits
from gateway.meters.template import Template
from gateway.polling.bus import BusActor
from gateway.polling.schedule import LATEST_READ_MS, Health
from gateway.registered import PolledMeter
from hwsim.iec62056 import PushMeter
from hwsim.line_port import LinePort
from hwsim.modbus_device import ModbusDevice, always
from hwsim.registers import Flow, RegisterMap
from hwsim.rs485 import Device, Wire
from hwsim.uart import LineFormat
from hwsim.vendors import gavazzi, sunspec
from tests.gateway.meters_on_a_line import BAUDRATE, bus_on, quiet
from tests.gateway.street import START_S, StepClock, until
from tests.gateway.world import READER
from wire.reading import Reading

FIRST = START_S // 900


class Counters:
    """What a meter has counted, in the hands of the test."""

    def __init__(self, import_wh: int | None, export_wh: int | None) -> None:
        self.import_wh, self.export_wh = import_wh, export_wh

    def __call__(self, now_s: float) -> Flow:
        energies = (self.import_wh, self.export_wh)
        taken, given = (None if each is None else 1000 * each for each in energies)
        return Flow(taken, given, (0.0, 0.0, 0.0))


class Polled:
    """One meter on a bus."""

    def __init__(self, bus: BusConfig, template: Template, spool: Spool) -> None:
        self.clock = StepClock(START_S + 0.1)
        self.spool = spool
        self.reader = Reader(spool, self.clock, READER.public, True)
        subject = Subject("m1", "node-m1", bytes(8), template.hash)
        meter = PolledMeter("m1", 1, template, subject, Limits(20_000, 10))
        self.actor = BusActor(bus, (meter,), line_for(bus), (spool, self.reader), self.clock)

    async def boundary(self, number: int) -> None:
        """Move to a boundary and wait until it is dealt with."""
        boundary_s = START_S + 900 * number
        self.clock.move_to(boundary_s + 0.1)
        await until(lambda: self.actor.schedule.done_s("m1") >= boundary_s)

    async def miss(self, number: int) -> None:
        """Let a boundary pass while the meter gives no value."""
        boundary_s = START_S + 900 * number
        self.clock.move_to(boundary_s + 0.1)
        await until(lambda: self.actor.schedule.health("m1") is Health.REFUSING)
        self.clock.move_to(boundary_s + LATEST_READ_MS / 1000 + 1)
        await until(lambda: self.actor.schedule.done_s("m1") >= boundary_s)

    async def readings(self) -> list[Reading]:
        """What was closed, in order."""
        rows = await self.spool.unsigned(100)
        return [Reading.from_payload(each.payload) for each in rows]


def polled(
    folder: Path,
    device: Device,
    bus: BusConfig,
    template: Template,
    act: Callable[[Polled], Awaitable[None]],
) -> None:
    async def scene() -> None:
        port = LinePort(Wire([device], bus.baudrate, "8N1"))
        spool = await Spool.open(folder / "spool.sqlite")
        street = Polled(replace(bus, port=port.path), template, spool)
        await street.reader.begin(START_S)
        await street.actor.begin()
        work = asyncio.ensure_future(street.actor.run())
        try:
            await act(street)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            street.actor.line.close()
            await spool.close()
            port.close()

    asyncio.run(scene())


def modbus(registers: RegisterMap, counters: Counters) -> ModbusDevice:
    return ModbusDevice(1, registers, counters, always(0.001), LineFormat.of(BAUDRATE, "8N1"))


def test_what_wakes_up_with_zero_is_not_booked_as_production(tmp_path: Path) -> None:
    counters = Counters(0, 5_000_000)
    inverter = modbus(sunspec.Inverter103(), counters)

    async def act(street: Polled) -> None:
        await street.boundary(0)
        counters.export_wh = None  # Asleep: the register reads 0.
        await street.miss(1)
        counters.export_wh = 5_000_100
        street.actor.schedule.clean("m1")
        await street.boundary(2)
        counters.export_wh = 5_001_100
        await street.boundary(3)
        (reading,) = await street.readings()
        assert reading.sequence == FIRST + 2
        assert (reading.export_wh, reading.export_advance_wh) == (5_001_100, 1_000)
        assert street.reader.gaps == 1

    polled(tmp_path, inverter, bus_on("", 100), quiet("sunspec-inverter-103"), act)


def test_a_meter_whose_mode_books_export_as_import_is_held(tmp_path: Path) -> None:
    meter = modbus(gavazzi.Em340("A"), Counters(1_000_000, 500_000))

    async def act(street: Polled) -> None:
        await until(lambda: street.actor.schedule.health("m1") is Health.HELD)
        assert street.actor.samples.last["m1"] is None
        assert street.actor.line.errors["no-answer"] == 0

    polled(tmp_path, meter, bus_on("", 100), quiet("carlo-gavazzi-em340"), act)


def test_a_meter_that_pushes_telegrams_is_read_at_boundaries(tmp_path: Path) -> None:
    counters = Counters(1_234_567, 89_000)
    bus = replace(bus_on("", 5_000), baudrate=9_600, readout="push")

    async def act(street: Polled) -> None:
        await street.boundary(0)
        counters.import_wh = 1_235_000
        await street.boundary(1)
        (reading,) = await street.readings()
        assert (reading.import_wh, reading.import_advance_wh) == (1_235_000, 433)
        assert reading.source is not None
        assert reading.source.words == (
            b"1-0:1.8.0*255(001235.0000)".ljust(64, b"\0")
            + b"1-0:2.8.0*255(000089.0000)".ljust(64, b"\0")
        )

    polled(tmp_path, PushMeter(counters, every_s=0.25), bus, quiet("iec62056-21"), act)
