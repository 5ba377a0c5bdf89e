"""A whole grid of real processes: kill any part in mid-run; nothing is lost or counted twice."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gridwitness import audit, status_pages
from gridwitness.world import PACED_PARAMETERS, ZONE, Choice, World
from hwsim.feeder import synthetic_day
from validator.client import Client

INTERVALS = 10
SETTLE_S = 90.0
SIGNING = ("boundary", "customer-2", "plant")

Deed = Callable[[World], None]


async def live_through(folder: Path, deeds: Mapping[int, Deed]) -> tuple[World, Any, list[Any]]:
    """Run a small world; after the named intervals something is done to it."""
    world = World(folder, Choice(synthetic_day(), SIGNING, PACED_PARAMETERS))

    def progress(done: int) -> None:
        if done in deeds:
            deeds[done](world)

    try:
        await asyncio.to_thread(world.prepare)
        await world.start()
        await world.run(INTERVALS, progress)
        await world.settle(SETTLE_S)
        await world.catch_up(SETTLE_S)
        ledger = await audit.ledger(list(world.api_ports.values()), world.choice.day, ZONE)
        pages = [await status_pages.gateway(port) for port in world.status_ports.values()]
        await asyncio.to_thread(check_receipts, world)
    finally:
        world.close()
    return world, ledger, pages


def check_receipts(world: World) -> None:
    """The last record of each meter has a receipt that holds, offline."""
    urls = [f"http://127.0.0.1:{port}" for port in world.api_ports.values()]
    with Client(urls, world.network.genesis) as client:
        for meter in world.choice.day.meters:
            last = [*client.readings(meter.id)][-1]
            client.receipt(meter.id, last.sequence)


def nothing_lost(world: World, ledger: Any, pages: list[Any]) -> None:
    closed = sum(audit.all_readings(page) for page in pages)
    assert ledger.readings == closed
    assert ledger.duplicates == 0
    assert ledger.agree
    assert sum(page["refused"] for page in pages) == 0
    for name in world.api_ports:
        log = world.programs[name].log.read_text()
        events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
        assert "evidence" not in events, f"{name} saw a validator sign twice"
        assert "halted" not in events


def kill_gateway(world: World) -> None:
    world.programs["gw-north"].kill()


def start_gateway(world: World) -> None:
    world.programs["gw-north"].start()


def kill_validator(world: World) -> None:
    world.programs["val-mea"].kill()


def start_validator(world: World) -> None:
    world.programs["val-mea"].start()


def stop_broker(world: World) -> None:
    world.broker.stop()


def start_broker(world: World) -> None:
    world.broker.start()


def kill_meter(world: World) -> None:
    world.boards["customer-2"].kill()


def start_meter(world: World) -> None:
    world.boards["customer-2"].start()
    world.boards["customer-2"].wait_serving()


@pytest.mark.parametrize(
    ("deeds", "complete"),
    [
        ({}, True),
        ({3: kill_gateway, 5: start_gateway}, False),
        ({3: kill_validator, 6: start_validator}, True),
        ({3: stop_broker, 6: start_broker}, True),
        ({3: kill_meter, 5: start_meter}, False),
    ],
    ids=["calm", "gateway", "validator", "broker", "meter"],
)
def test_every_closed_reading_is_final_exactly_once(
    tmp_path: Path, deeds: Mapping[int, Deed], complete: bool
) -> None:
    world, ledger, pages = asyncio.run(live_through(tmp_path / "world", deeds))
    nothing_lost(world, ledger, pages)
    most = INTERVALS * len(world.choice.day.meters)
    # Who is dead over a boundary makes no reading of it; everyone else loses none.
    assert ledger.readings == most if complete else most - 8 <= ledger.readings < most
