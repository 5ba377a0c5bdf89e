"""What the validators' ledgers say, compared: for the demo and the disaster tests.

Decides nothing about what is right; it counts, and tells whether all validators tell the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from gridwitness import status_pages
from hwsim.feeder import FeederDay
from wire.errors import Unavailable

PAGE = 1_000


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
    pages = [await status_pages.validator(port) for port in ports]
    heights = [int(page["height"]) for page in pages if page is not None]
    if len(heights) < len(ports):
        raise Unavailable("a validator does not answer")
    height = min(heights)
    first = await _blocks(ports[0], height)
    wanted = [each["digest"] for each in first]
    same = True
    for port in ports[1:]:
        same &= [each["digest"] for each in await _blocks(port, height)] == wanted
    counted = Counter[tuple[str, int]]()
    for meter in day.meters:
        for reading in await _pages(ports[0], f"/api/v1/readings/{meter.id}", "after"):
            counted[(meter.id, reading["interval_start_s"])] += 1
    seals = await _pages(ports[0], f"/api/v1/zones/{zone}/seals", "after")
    return Ledger(
        blocks=height,
        max_round=max((int(each["round"]) for each in first), default=0),
        readings=counted.total(),
        duplicates=counted.total() - len(counted),
        verdicts=dict(Counter(str(seal["verdict"]) for seal in seals)),
        agree=same,
    )


async def _blocks(port: int, height: int) -> list[dict[str, Any]]:
    """Blocks up to a height in short; the digest names all that is in one."""
    found = await _pages(port, "/api/v1/blocks", "before")
    return [each for each in found if each["height"] <= height]


async def _pages(port: int, path: str, parameter: str) -> list[dict[str, Any]]:
    """All entries of a paged list; `parameter` takes a page's `next`."""
    found: list[dict[str, Any]] = []
    query = ""
    while True:
        page = await _get(port, f"{path}?most={PAGE}{query}")
        found += page["items"]
        if page["next"] is None:
            return found
        query = f"&{parameter}={page['next']}"


async def _get(port: int, path: str) -> Any:
    answer = await status_pages.fetch(port, path)
    if answer is None or answer.status_code != httpx.codes.OK:
        status = "nobody" if answer is None else answer.status_code
        raise Unavailable(f"{path}: {status} answers")
    return answer.json()


def all_readings(page: Mapping[str, Any]) -> int:
    """Readings that a gateway has ever closed, by its status page."""
    states = ("closed", "queued", "witnessed", "published", "final", "refused")
    return sum(int(page[state]) for state in states)
