"""Time on a bus: no boundary before the clock is known, and meters that sign are given it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.delivery.spool import Spool
from gateway.timing import SET, SYNCHRONISED, ClockQuality
from tests.gateway.street import START_S, Eastron, ModbusHost, SigningMeter, until
from tests.gateway.test_buses import Street
from tests.gateway.world import METER


def play(
    folder: Path,
    meter: SigningMeter,
    quality: int,
    act: Callable[[Street], Awaitable[None]],
    *,
    known: bool = True,
) -> None:
    """A street whose gateway has a clock of that quality."""

    async def scene() -> None:
        spool = await Spool.open(folder / "spool.sqlite")
        async with ModbusHost({1: Eastron(), 2: meter}) as host:
            street = Street(spool, host)
            street.actor.time_is_known = lambda: known
            street.actor.own_clock = lambda: ClockQuality(quality, 40)
            await street.start()
            try:
                await act(street)
            finally:
                await street.stop()
                await spool.close()

    asyncio.run(scene())


def signing() -> SigningMeter:
    return SigningMeter("m2", "node-m2", METER)


def test_no_boundary_is_read_before_the_time_is_known_and_signing_meters_go_on(
    tmp_path: Path,
) -> None:
    meter = signing()

    async def act(street: Street) -> None:
        meter.close(START_S)
        await street.boundary(1, "m2")
        assert street.actor.schedule.done_s("m1") < START_S + 900
        street.actor.time_is_known = lambda: True  # Within the minute it is read, late and true.
        await until(lambda: street.actor.schedule.done_s("m1") >= START_S + 900)

    play(tmp_path, meter, SET, act, known=False)


def test_a_signing_meter_is_given_the_time_once_with_its_bound(tmp_path: Path) -> None:
    meter = signing()

    async def act(street: Street) -> None:
        for number in (1, 2):
            meter.close(START_S + 900 * (number - 1))
            await street.boundary(number, "m1", "m2")
        assert street.actor.states["m2"].clock_quality == 0

    play(tmp_path, meter, SYNCHRONISED, act)
    ((high, low, _, error_s),) = meter.given
    assert START_S <= high << 16 | low <= START_S + 1800
    assert error_s == 1


def test_a_clock_that_nothing_disciplines_is_given_to_nobody(tmp_path: Path) -> None:
    meter = signing()

    async def act(street: Street) -> None:
        meter.close(START_S)
        await street.boundary(1, "m2")

    play(tmp_path, meter, SET, act)
    assert meter.given == []


def test_a_meter_that_takes_no_time_is_read_all_the_same(tmp_path: Path) -> None:
    meter = signing()
    meter.takes_time = False

    async def act(street: Street) -> None:
        meter.close(START_S)
        await street.boundary(1, "m2")
        assert street.actor.schedule.health("m2") == "live"
        assert "m2" not in street.actor.states

    play(tmp_path, meter, SYNCHRONISED, act)
