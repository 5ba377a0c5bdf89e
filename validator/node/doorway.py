"""Where validators knock: strangers get no further than a handshake, and of those only so many.

Decides who may begin a TLS handshake: so many at once from one address, so many from all strangers;
addresses of known validators are not counted among strangers, so that no flood of them keeps a
validator out. A handshake has a few seconds. Who it was that knocked the mesh decides.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

import structlog

from wire.errors import Unavailable

HANDSHAKE_S = 5.0
MOST_FROM_ONE = 8
MOST_STRANGERS = 64
BACKLOG = 128
RETRY_S = 0.5

_log = structlog.get_logger()

Guest = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Doorway:
    """A listener that bounds the handshakes under way."""

    def __init__(self, context: ssl.SSLContext, guest: Guest, buffer: int) -> None:
        """Take what a handshake needs, and who is told of those that end well.

        Args:
            context: TLS of the server's side; it may be replaced at any time.
            guest: told of each connection, which ends when it returns.
            buffer: bytes that are read ahead.
        """
        self.context = context
        self.known: Collection[str] = ()
        """Addresses of validators."""
        self.turned_away = 0
        self._guest = guest
        self._buffer = buffer
        self._listener: socket.socket | None = None
        self._knocking: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """Handshakes that have begun and not ended."""
        return self._knocking.total()

    def open(self, host: str, port: int) -> None:
        """Listen; raises Unavailable when the port is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server(
                (host.strip("[]"), port), family=family, backlog=BACKLOG
            )
        except OSError as reason:
            raise Unavailable(f"cannot listen for peers on {host}:{port}: {reason}") from None
        self._listener.setblocking(False)
        self._spawn(self._accept(self._listener))

    def close(self) -> None:
        """Listen no more, and end what came through here."""
        for task in self._tasks:
            task.cancel()
        if self._listener is not None:
            self._listener.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                knocking, address = await loop.sock_accept(listener)
            except OSError as reason:  # No file descriptors left, as a rule.
                _log.warning("nobody let in", reason=str(reason))
                await asyncio.sleep(RETRY_S)
                continue
            host = str(address[0])
            if self._may_begin(host):
                self._spawn(self._shake_hands(knocking, host))
            else:
                self.turned_away += 1
                knocking.close()

    def _may_begin(self, host: str) -> bool:
        if self._knocking[host] >= MOST_FROM_ONE:
            return False
        strangers = sum(many for name, many in self._knocking.items() if name not in self.known)
        return host in self.known or strangers < MOST_STRANGERS

    async def _shake_hands(self, knocking: socket.socket, host: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(self._buffer, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._knocking[host] += 1
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                knocking,
                ssl=self.context,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except (OSError, ssl.SSLError):
            with contextlib.suppress(OSError):
                knocking.close()
            return
        finally:
            self._knocking[host] -= 1
            if not self._knocking[host]:
                del self._knocking[host]
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._guest(reader, writer)
        finally:
            writer.close()
