"""Asks running gateways and validators how they are, over HTTP on loopback.

None means that nobody answers there now; what the numbers mean their rooms decide.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx

TIMEOUT_S = 5.0


async def fetch(port: int, path: str) -> httpx.Response | None:
    """The answer of a program on this machine; None when it is away."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        try:
            return await client.get(f"http://127.0.0.1:{port}{path}")
        except httpx.TransportError:
            return None


async def _json(port: int, path: str) -> Any:
    answer = await fetch(port, path)
    return answer.json() if answer is not None and answer.status_code == httpx.codes.OK else None


async def gateway(port: int) -> dict[str, Any] | None:
    """A gateway's status page."""
    found: dict[str, Any] | None = await _json(port, "/status")
    return found


async def validator(port: int) -> dict[str, Any] | None:
    """A validator's status."""
    found: dict[str, Any] | None = await _json(port, "/api/v1/status")
    return found


async def answers(port: int) -> bool:
    """Whether a program accepts connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def all_answer(ports: Iterable[int]) -> bool:
    """Whether programs accept connections on all of them."""
    return all([await answers(port) for port in ports])
