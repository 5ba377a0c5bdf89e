"""Questions to a bus, by whoever holds its line: a running gateway, or this program itself.

Decides that a line which a gateway polls is never opened a second time: its control socket is asked
instead. Who asks notices no difference, down to the errors.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import BusConfig, GatewayConfig
from gateway.config_table import BadConfiguration
from gateway.lines.frames import DeviceRefused, Garbled, Request
from gateway.lines.line import NoAnswer
from gateway.lines.readout_line import line_for
from gateway.meters.energy import Ask
from gateway.operation.control import short_name, socket_path
from wire.errors import Unavailable

_MOST_ANSWER = 65_536


@dataclass(frozen=True, slots=True)
class Asked:
    """A way to ask a bus."""

    ask: Ask
    """Asks one request."""

    live: bool
    """Whether a running gateway asks for us."""


def bus_named(config: GatewayConfig, name: str) -> BusConfig:
    """The configuration of one bus; without a name the only one. Raises BadConfiguration."""
    names = [each.name for each in config.buses]
    if not name and len(names) == 1:
        return config.buses[0]
    for each in config.buses:
        if each.name == name:
            return each
    what = f"no bus {name!r}" if name else "which bus? name one with --bus"
    raise BadConfiguration(f"{what}; there are {', '.join(names) or 'none'}")


@contextlib.asynccontextmanager
async def asked(config: GatewayConfig, bus: BusConfig) -> AsyncIterator[Asked]:
    """Ask a bus through the running gateway, else over a line of our own.

    Raises:
        Unavailable: the line cannot be opened, or the gateway ended meanwhile.
    """
    connection = await connect(config.spool)
    if connection is not None:
        reader, writer = connection
        try:
            yield Asked(_Remote(bus.name, reader, writer).ask, True)
        finally:
            writer.close()
        return
    line = line_for(bus)
    try:
        yield Asked(line.ask, False)
    finally:
        line.close()


async def connect(spool: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """The control socket of the gateway with that spool; None when none runs."""
    path = socket_path(spool)
    try:
        with short_name(path) as name:
            return await asyncio.open_unix_connection(name, limit=_MOST_ANSWER)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as reason:
        raise Unavailable(f"the gateway's socket {path}: {reason.strerror}") from None


class _Remote:
    """A bus of a running gateway."""

    def __init__(
        self, bus: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._writer = writer

    async def ask(self, request: Request, silence_ms: int = 0) -> tuple[int, ...]:
        """Ask one request; the errors are those of `lines.line`."""
        question = {
            "bus": self._bus,
            "unit": request.unit,
            "function": request.function,
            "address": request.address,
            "count": request.count,
            "silence_ms": silence_ms,
        }
        self._writer.write(json.dumps({"ask": question}).encode() + b"\n")
        try:
            await self._writer.drain()
            line = await self._reader.readline()
        except (ConnectionError, ValueError) as reason:
            raise Unavailable(f"the gateway went away: {reason}") from None
        if not line:
            raise Unavailable("the gateway went away")
        return _words(json.loads(line))


def _words(answer: dict[str, Any]) -> tuple[int, ...]:
    if "words" in answer:
        return tuple(answer["words"])
    error, reason = answer.get("error"), str(answer.get("reason"))
    if error == DeviceRefused.code:
        raise DeviceRefused(int(answer["exception"]))
    if error == "no-answer":
        raise NoAnswer(reason)
    if error == "garbled":
        raise Garbled(reason)
    raise Unavailable(f"the gateway says: {reason}")
