"""Asks running gateways and validators how they are, over HTTP on loopback.

None means that nobody answers there now; what the numbers mean their rooms decide. Validators are
asked through their client, gateways by their status page.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx

from validator.client import Client
from wire.errors import Unavailable

TIMEOUT_S = 5.0


def client(port: int) -> Client:
    """The client of a validator on this machine; whoever takes it closes it."""
    return Client([f"http://127.0.0.1:{port}"], timeout_s=TIMEOUT_S)


async def gateway(port: int) -> dict[str, Any] | None:
    """A gateway's status page."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        try:
            answer = await http.get(f"http://127.0.0.1:{port}/status")
        except httpx.TransportError:
            return None
    found: dict[str, Any] | None = answer.json() if answer.status_code == httpx.codes.OK else None
    return found


async def validator(port: int) -> dict[str, Any] | None:
    """A validator's status."""
    try:
        return await asyncio.to_thread(_status, port)
    except Unavailable:
        return None


def _status(port: int) -> dict[str, Any]:
    with client(port) as asked:
        return asked.status().model_dump(by_alias=True)


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
