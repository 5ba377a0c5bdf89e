"""Whatever happens at a reload, the gateway goes on, hears the next one and says how it stands."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from gateway import service
from gateway.config import Address, BusConfig
from gateway.polling.bus import BusActor
from gateway.polling.buses import Buses
from gateway.service import Gateway, HalfReloaded

NESTED = "a = " + "[" * 5_000


class Deaf:
    """A gateway whose reload raises one thing after the other."""

    configuration = ""

    def __init__(self, *reasons: Exception) -> None:
        self.reasons = list(reasons)

    async def reload(self, _config: object) -> str:
        raise self.reasons.pop(0)


class Actor:
    """A bus that is polled until it is told to end."""

    def __init__(self, bus: BusConfig, fails: set[str]) -> None:
        self.name, self._fails, self._ended = bus.name, fails, asyncio.Event()
        self.line = self

    async def begin(self) -> None:
        if self.name in self._fails:
            raise sqlite3.OperationalError("database is locked")

    async def run(self) -> None:
        await self._ended.wait()

    def end(self) -> None:
        self._ended.set()

    def close(self) -> None:
        pass


def bus(name: str, timeout_ms: int = 100) -> tuple[BusConfig, tuple[()]]:
    return BusConfig(name, Address("h", 1), 9_600, timeout_ms, ()), ()


def test_the_reload_task_survives_whatever_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(NESTED)
    deaf = Deaf(
        sqlite3.OperationalError("database is locked"),
        ExceptionGroup("two", [ValueError("one"), KeyError("other")]),
        HalfReloaded("no bus is polled now"),
    )

    async def reload_four_times() -> list[str]:
        again, said = asyncio.Event(), []
        task = asyncio.ensure_future(service._reload_again(cast(Gateway, deaf), file, again))
        for number in range(4):
            if number == 1:
                monkeypatch.setattr(service, "load", lambda _: None)
            deaf.configuration = ""
            again.set()
            while not deaf.configuration:
                await asyncio.sleep(0)
            said.append(deaf.configuration)
        assert not task.done()
        task.cancel()
        return said

    nested, locked, group, half = asyncio.run(reload_four_times())
    assert "nested too deeply" in nested
    assert "OperationalError: database is locked" in locked
    assert "ValueError: one; KeyError: 'other'" in group
    assert "half-way only: no bus is polled now" in half


def test_a_change_of_buses_that_failed_half_way_is_taken_up_by_the_next_one() -> None:
    fails: set[str] = set()

    def make(config: BusConfig, _meters: Any) -> BusActor:
        return cast(BusActor, Actor(config, fails))

    async def change() -> None:
        buses = Buses(make, [bus("a"), bus("b")])
        running = asyncio.ensure_future(buses.run())
        await asyncio.sleep(0)
        fails.add("b")
        with pytest.raises(sqlite3.OperationalError):
            await buses.become([bus("a"), bus("b", 200)])
        assert [actor.name for actor in buses] == ["a"]
        fails.clear()
        words = await buses.become([bus("a"), bus("b", 200)])
        assert words == "1 buses go on, 0 changed, 1 new, 0 gone"
        assert [actor.name for actor in buses] == ["a", "b"]
        running.cancel()

    asyncio.run(change())
