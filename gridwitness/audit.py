"""What the validators' ledgers say, compared: for the demo and the disaster tests.

Decides nothing about what is right; it counts, and tells whether all validators tell the same.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from gridwitness import status_pages
from hwsim.feeder import FeederDay
from validator.client import Client


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is on the ledger."""

    blocks: int
    """Height that all validators have."""

    max_round: int
    """Largest round in which a block was committed."""

    readings: int
    """Accepted readings."""

    duplicates: int
    """Accepted readings of a meter and interval beyond the first."""

    verdicts: dict[str, int]
    """Newest zone seals by verdict."""

    agree: bool
    """Whether all validators have the same blocks, by digest."""


async def ledger(ports: Sequence[int], day: FeederDay, zone: str) -> Ledger:
    """Gather and compare.

    Args:
        ports: the validators' API ports.
        day: whose meters are counted.
        zone: whose seals are counted.

    Raises:
        Unavailable: a validator does not answer.
    """
    with ExitStack() as stack:
        clients = [stack.enter_context(status_pages.client(port)) for port in ports]
        return await asyncio.to_thread(_ledger, clients, day, zone)


def _ledger(clients: Sequence[Client], day: FeederDay, zone: str) -> Ledger:
    height = min(client.status().height for client in clients)
    chains = [[each for each in client.blocks() if each.height <= height] for client in clients]
    digests = [[each.digest for each in chain] for chain in chains]
    first = clients[0]
    counted = Counter(
        (meter.id, reading.interval_start_s)
        for meter in day.meters
        for reading in first.readings(meter.id)
    )
    return Ledger(
        blocks=height,
        max_round=max((each.round for each in chains[0]), default=0),
        readings=counted.total(),
        duplicates=counted.total() - len(counted),
        verdicts=dict(Counter(each.verdict for each in first.seals(zone))),
        agree=all(each == digests[0] for each in digests),
    )


def all_readings(page: Mapping[str, Any]) -> int:
    """Readings that a gateway has ever closed, by its status page."""
    states = ("closed", "queued", "witnessed", "published", "final", "refused")
    return sum(int(page[state]) for state in states)
