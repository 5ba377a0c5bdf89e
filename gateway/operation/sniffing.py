"""Frames on a line, printed as they pass: listens, and sends nothing.

Decides how octets become frames for people: what came between two silences is split by length and
check sum (`lines.overheard`). Through a running gateway its own questions are seen as well; on a
line of our own only what others say.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from gateway.config import Address, BusConfig, GatewayConfig
from gateway.config_table import BadConfiguration
from gateway.lines.frames import check_sum
from gateway.lines.overheard import Seen, frames_in
from gateway.lines.transport import SerialTransport
from gateway.operation.asking import connect
from wire.errors import Unavailable

_GAP_S = 0.02
"""Silence after which what was heard is split: USB adapters deliver in steps of 16 ms."""

_MBAP_HEAD = 7
_MOST_LINE = 65_536

Piece = tuple[bool, bytes]
"""Whether our side sent it, and the octets; empty octets for a silence."""


async def sniff(config: GatewayConfig, bus: BusConfig, for_s: float, as_json: bool) -> None:
    """Print frames until cancelled, or for some seconds."""
    deadline_s = time.monotonic() + for_s if for_s else None
    heard, frames = bytearray(), 0
    try:
        async for sent, octets in _pieces(config, bus, deadline_s):
            if sent or not octets:
                frames += _show(bytes(heard), False, bus, as_json)
                heard.clear()
            if sent:
                frames += _show(octets, True, bus, as_json)
            else:
                heard += octets
    finally:
        frames += _show(bytes(heard), False, bus, as_json)
        print(f"{frames} frames", file=sys.stderr)


async def _pieces(
    config: GatewayConfig, bus: BusConfig, deadline_s: float | None
) -> AsyncIterator[Piece]:
    connection = await connect(config.spool)
    queue: asyncio.Queue[Piece | None] = asyncio.Queue()
    if connection is not None:
        source = asyncio.ensure_future(_from_gateway(*connection, bus.name, queue))
    elif isinstance(bus.port, Address):
        raise BadConfiguration(f"bus {bus.name} is TCP: only a running gateway hears its frames")
    else:
        source = asyncio.ensure_future(_from_port(bus, queue))
    way = "through the running gateway" if connection else "on a line of our own"
    print(f"bus {bus.name}, {way}: listening", file=sys.stderr)
    try:
        while deadline_s is None or time.monotonic() < deadline_s:
            try:
                async with asyncio.timeout(_GAP_S):
                    piece = await queue.get()
            except TimeoutError:
                piece = (False, b"")
            if piece is None:
                await source
                return
            yield piece
    finally:
        source.cancel()


async def _from_gateway(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    bus: str,
    queue: "asyncio.Queue[Piece | None]",
) -> None:
    writer.write(json.dumps({"sniff": {"bus": bus}}).encode() + b"\n")
    try:
        while line := await reader.readline():
            news = json.loads(line)
            if "octets" not in news:
                raise Unavailable(f"the gateway says: {news.get('reason')}")
            queue.put_nowait((bool(news["sent"]), bytes.fromhex(news["octets"])))
        raise Unavailable("the gateway went away")
    finally:
        queue.put_nowait(None)
        writer.close()


async def _from_port(bus: BusConfig, queue: "asyncio.Queue[Piece | None]") -> None:
    port = SerialTransport(bus)
    port.taps.add(lambda sent, octets: queue.put_nowait((sent, octets)))
    try:
        await port.open()
        while True:
            await port.inbox.more(_GAP_S)
            port.inbox.received.clear()
    finally:
        queue.put_nowait(None)
        port.close()


def _show(octets: bytes, sent: bool, bus: BusConfig, as_json: bool) -> int:
    """Print what passed; returns how many frames."""
    found = _frames(octets, bus) if octets else []
    for seen in found:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        if as_json:
            line = json.dumps(
                {
                    "at": now,
                    "sent": sent,
                    "whole": seen.whole,
                    "unit": seen.unit,
                    "function": seen.function,
                    "says": seen.says,
                    "octets": seen.octets.hex(),
                }
            )
        else:
            who = f"unit {seen.unit:3}" if seen.whole else "NOISE   "
            line = f"{now[11:23]}  {'>' if sent else '<'} {who}  {seen.says}  [{seen.octets.hex()}]"
        print(line, flush=True)
    return len(found)


def _frames(octets: bytes, bus: BusConfig) -> list[Seen]:
    if bus.readout:
        text = bytes(octet & 0x7F for octet in octets).decode("ascii")
        return [Seen(octets, False, repr(text))]
    if isinstance(bus.port, Address):
        body = octets[_MBAP_HEAD - 1 :]
        return frames_in(body + check_sum(body))
    return frames_in(octets)
