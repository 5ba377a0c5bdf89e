"""A running gateway's control socket: questions to its buses, without stopping the polling.

A unix socket beside the spool that only its owner may use (mode 0600); one JSON object a line, each
answered by one line. Decides what may be asked: registers may be read, nothing may be written; and
how much: lines, clients and waiting octets are bounded, because who may use the socket may still
be wrong. A question goes through the bus's actor, which asks it between two polls.

    {"ask": {"bus": "b", "unit": 1, "function": 4, "address": 72, "count": 4, "silence_ms": 60}}
    {"words": [17142, 59769, 16256, 0]}
    {"error": "no-answer", "reason": "unit 1 did not answer"}
    {"sniff": {"bus": "b"}}        from then on: {"sent": true, "octets": "0104…"}
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.lines.frames import READ_HOLDING, READ_INPUT, DeviceRefused, Garbled, Request
from gateway.lines.line import NoAnswer
from gateway.lines.transport import Tap
from wire.errors import Malformed, Refused, Unavailable

_log = structlog.get_logger()

MOST_LINE = 1_024
"""Octets of a question."""

_MOST_CLIENTS = 8
_MOST_SNIFFED = 512
"""Pieces that wait for a slow sniffer; then it misses some, and is told."""

_IDLE_S = 600.0
_LIMITS = {
    "unit": (1, 247),
    "function": (READ_HOLDING, READ_INPUT),
    "address": (0, 0xFFFF),
    "count": (1, 125),
    "silence_ms": (0, 5_000),
}


class Bus(Protocol):
    """What the socket needs of a bus's actor."""

    name: str
    """As the configuration calls it."""

    @property
    def taps(self) -> set[Tap]:
        """Who listens to the line."""

    def submit(self, request: Request, silence_ms: int) -> asyncio.Future[tuple[int, ...]]:
        """Ask between two polls; raises Unavailable when too much waits."""


def socket_path(spool: Path) -> Path:
    """Where the socket of the gateway with that spool is."""
    return spool.with_suffix(".control")


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name for a socket's file that is short enough for the kernel (108 octets)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ControlSocket:
    """Serves the questions."""

    def __init__(self, path: Path, buses: Callable[[], Iterable[Bus]]) -> None:
        """Take where to listen and who the buses are, at any time."""
        self._path = path
        self._buses = buses
        self._clients = 0

    async def run(self) -> None:
        """Serve for ever; the file goes with the gateway."""
        listening = self._listen()
        server = await asyncio.start_unix_server(self._serve, sock=listening, limit=MOST_LINE)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        """A socket of mode 0600 from its first moment on; one left behind is taken away."""
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            with short_name(self._path) as name:
                listening.bind(name)
        finally:
            os.umask(before)
        return listening

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > _MOST_CLIENTS:
                await _say(writer, _failed("busy", f"{_MOST_CLIENTS} others ask already"))
                return
            await self._talk(reader, writer)
        except (ConnectionError, TimeoutError):
            return  # Who asked went away, or fell asleep.
        finally:
            self._clients -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _say(writer, _failed("malformed", f"a line longer than {MOST_LINE} octets"))
                return
            try:
                question = _question(line)
                if "sniff" in question:
                    await self._sniff(self._bus(question["sniff"]), reader, writer)
                    return
                await _say(writer, await self._ask(question["ask"]))
            except (Malformed, UnknownBus) as reason:
                await _say(writer, _failed(reason.code, str(reason)))

    async def _ask(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        bus = self._bus(content)
        values = {name: _number(content, name, *limits) for name, limits in _LIMITS.items()}
        request = Request(values["unit"], values["function"], values["address"], values["count"])
        try:
            return {"words": list(await bus.submit(request, values["silence_ms"]))}
        except DeviceRefused as reason:
            return _failed(reason.code, str(reason)) | {"exception": reason.exception}
        except NoAnswer as reason:
            return _failed("no-answer", str(reason))
        except Garbled as reason:
            return _failed("garbled", str(reason))
        except Unavailable as reason:
            return _failed("unavailable", str(reason))

    def _bus(self, content: Any) -> Bus:
        name = content.get("bus") if isinstance(content, dict) else None
        there = {each.name: each for each in self._buses()}
        if not isinstance(name, str) or name not in there:
            raise UnknownBus(f"no bus {name!r}; there are {', '.join(sorted(there)) or 'none'}")
        return there[name]

    @staticmethod
    async def _sniff(bus: Bus, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what goes over the line, until the client says or closes anything."""
        heard: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_MOST_SNIFFED)

        def tap(sent: bool, octets: bytes) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                heard.put_nowait({"sent": sent, "octets": octets.hex()})

        bus.taps.add(tap)
        closed = asyncio.ensure_future(reader.read(1))
        try:
            while not closed.done():
                news = asyncio.ensure_future(heard.get())
                await asyncio.wait({news, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not news.cancel():
                    await _say(writer, news.result())
        finally:
            closed.cancel()
            bus.taps.discard(tap)


class UnknownBus(Refused):
    """The gateway has no bus of that name."""

    code = "unknown-bus"


def _question(line: bytes) -> dict[str, Any]:
    """One question; raises Malformed."""
    try:
        question = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("a line that is not JSON") from None
    if (
        not isinstance(question, dict)
        or len(question) != 1
        or not question.keys()
        <= {
            "ask",
            "sniff",
        }
    ):
        raise Malformed('a question is {"ask": {…}} or {"sniff": {…}}')
    return question


def _number(content: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = content.get(name, 0 if name == "silence_ms" else None)
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"{name} can be {low} to {high}; only reads can be asked")
    return value


def _failed(error: str, reason: str) -> dict[str, Any]:
    return {"error": error, "reason": reason}


async def _say(writer: asyncio.StreamWriter, content: Mapping[str, Any]) -> None:
    writer.write(json.dumps(content).encode() + b"\n")
    await writer.drain()
