"""A changed configuration changes the buses that it names, and no other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from gateway.config import BusConfig
from gateway.polling.bus import BusActor
from gateway.polling.buses import Buses
from gateway.registered import Meter, SigningMeter
from hwsim.virtual_time import run_jumping
from tests.gateway.world import METER

QUESTION_S = 3.0


class Polling:
    """Stands where a bus's actor stands, and writes down what happens to its meters."""

    def __init__(self, log: list[str], bus: BusConfig, meters: tuple[Meter, ...]) -> None:
        self.name = bus.name
        self.line = self
        self._log = log
        self._who = f"{bus.name}:{'+'.join(meter.id for meter in meters)}"
        self._ending = asyncio.Event()

    async def begin(self) -> None:
        self._log.append(f"begin {self._who}")

    async def run(self) -> None:
        await self._ending.wait()
        await asyncio.sleep(QUESTION_S)  # The question that is on the line is finished first.
        self._log.append(f"ended {self._who}")

    def end(self) -> None:
        self._ending.set()

    def close(self) -> None:
        self._log.append(f"close {self._who}")


def meter(name: str) -> Meter:
    return SigningMeter(name, 1, "node", METER.public)


def bus(name: str, *meters: str, baudrate: int = 9_600) -> tuple[BusConfig, tuple[Meter, ...]]:
    return (
        BusConfig(name, f"/dev/{name}", baudrate, 500, ()),
        tuple(meter(each) for each in meters),
    )


def told(story: Callable[[Buses, list[str]], Awaitable[None]]) -> list[str]:
    log: list[str] = []

    async def whole() -> None:
        def make(config: BusConfig, meters: tuple[Meter, ...]) -> BusActor:
            return cast(BusActor, Polling(log, config, meters))

        buses = Buses(make, [bus("a", "m1"), bus("b", "m2")])
        running: asyncio.Future[Any] = asyncio.ensure_future(buses.run())
        await asyncio.sleep(1)
        assert log == ["begin a:m1", "begin b:m2"]
        log.clear()
        await story(buses, log)
        running.cancel()
        await asyncio.wait({running})

    run_jumping(whole())
    return log


def test_a_bus_that_stayed_the_same_goes_on() -> None:
    async def story(buses: Buses, log: list[str]) -> None:
        words = await buses.become([bus("a", "m1"), bus("b", "m2")])
        assert words == "2 buses go on, 0 changed, 0 new, 0 gone"
        assert log == []

    assert told(story) == ["close a:m1", "close b:m2"]


def test_a_new_meter_touches_only_its_bus() -> None:
    async def story(buses: Buses, log: list[str]) -> None:
        words = await buses.become([bus("a", "m1", "m3"), bus("b", "m2")])
        assert words == "1 buses go on, 1 changed, 0 new, 0 gone"
        assert log == ["ended a:m1", "close a:m1", "begin a:m1+m3"]
        assert {actor.name for actor in buses} == {"a", "b"}

    told(story)


def test_a_meter_that_moves_is_never_on_two_buses() -> None:
    async def story(buses: Buses, log: list[str]) -> None:
        await buses.become([bus("a"), bus("b", "m2", "m1")])
        first_begin = next(place for place, line in enumerate(log) if line.startswith("begin"))
        assert {"ended a:m1", "ended b:m2"} <= set(log[:first_begin])

    told(story)


def test_buses_come_and_go_and_change_their_line() -> None:
    async def story(buses: Buses, log: list[str]) -> None:
        words = await buses.become([bus("b", "m2", baudrate=19_200), bus("c", "m4")])
        assert words == "0 buses go on, 1 changed, 1 new, 1 gone"
        assert set(log) == {
            *("ended a:m1", "close a:m1", "ended b:m2", "close b:m2"),
            *("begin b:m2", "begin c:m4"),
        }

    assert told(story)[-2:] == ["close b:m2", "close c:m4"]


def test_two_changes_at_once_are_made_one_after_the_other() -> None:
    async def story(buses: Buses, log: list[str]) -> None:
        await asyncio.gather(
            buses.become([bus("a", "m1", "m3"), bus("b", "m2")]),
            buses.become([bus("a", "m1"), bus("b", "m2")]),
        )
        assert log == [
            *("ended a:m1", "close a:m1", "begin a:m1+m3"),
            *("ended a:m1+m3", "close a:m1+m3", "begin a:m1"),
        ]

    told(story)


def test_a_bus_that_fails_ends_the_gateway() -> None:
    class Broken(Polling):
        async def run(self) -> None:
            raise RuntimeError("the spool is gone")

    async def story() -> None:
        log: list[str] = []
        buses = Buses(lambda b, m: cast(BusActor, Broken(log, b, m)), [bus("a", "m1")])
        with pytest.raises(ExceptionGroup, match="unhandled"):
            await buses.run()
        assert log == ["begin a:m1", "close a:m1"]

    run_jumping(story())
