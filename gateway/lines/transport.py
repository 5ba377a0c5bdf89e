"""A line for bytes: a serial port, a pty, or a TCP connection, behind one small seam.

Decides nothing about meters or frames: opens, sends, gathers what comes in, says how long nothing
came. What the bytes mean is for `lines.frames`, when to send for `lines.line`.
"""

import asyncio
import errno
import os
import termios
from collections.abc import Callable, Set
from typing import Protocol

import serial

from gateway.config import Address, BusConfig
from wire.errors import Unavailable

_PARITY = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
}
_IN_USE = "another program has it: stop that one, or name another port"
_CURES = {
    errno.ENOENT: "it is not there: is the adapter plugged in? A name under /dev/serial/by-path "
    "stays the same when adapters are numbered anew",
    errno.EACCES: "not allowed: add the gateway's user to the group dialout",
    errno.EPERM: "not allowed: add the gateway's user to the group dialout",
    errno.EBUSY: _IN_USE,
    errno.EAGAIN: _IN_USE,
    errno.EIO: "the adapter does not answer: plug it in again",
    errno.ENXIO: "the adapter is gone: plug it in again",
}
_CHUNK = 4_096
_MOST_BUFFERED = 65_536
"""A line that babbles more than this between two looks is cut short; its CRCs fail anyway."""


Tap = Callable[[bool, bytes], None]
"""Told of octets on a line: whether this side sent them, and which."""


class Inbox(asyncio.Protocol):
    """Gathers what comes in over one connection, whatever brings it."""

    def __init__(self, taps: Set[Tap] = frozenset()) -> None:
        """Take who listens besides."""
        self.received = bytearray()
        """What came in and was not taken yet."""
        self.last_byte_s = 0.0
        """When a byte last went over the line, by the event loop's clock."""
        self._news = asyncio.Event()
        self._lost: Exception | None = None
        self._taps = taps

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.last_byte_s = asyncio.get_running_loop().time()
        self.received += data
        for tap in tuple(self._taps):
            tap(False, data)
        del self.received[:-_MOST_BUFFERED]
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The line went down."""
        self._lost = exc or ConnectionError("the other side closed the line")
        self._news.set()

    async def more(self, at_most_s: float) -> bool:
        """Wait until more bytes came; False when the time passed; raises Unavailable."""
        self._news.clear()
        if self._lost is None:
            try:
                async with asyncio.timeout(max(at_most_s, 0)):
                    await self._news.wait()
            except TimeoutError:
                return False
        if self._lost is not None:
            raise Unavailable(f"the line went down: {self._lost}")
        return True


class Transport(Protocol):
    """One line. Not safe for several tasks at once: the bus's actor owns it."""

    inbox: Inbox
    """What comes in, since it was opened."""

    taps: set[Tap]
    """Who listens besides, whichever way octets go."""

    async def open(self) -> None:
        """Open the line; raises Unavailable."""

    def close(self) -> None:
        """Close the line; what comes in late is nobody's."""

    @property
    def is_open(self) -> bool:
        """Whether bytes can be sent."""

    def send(self, data: bytes) -> None:
        """Send bytes; raises Unavailable when the line is down."""


class TcpTransport:
    """A Modbus TCP host."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.taps: set[Tap] = set()
        self.inbox = Inbox(self.taps)
        self._address = address
        self._timeout_s = timeout_s
        self._wire: asyncio.Transport | None = None

    async def open(self) -> None:
        """Connect; raises Unavailable."""
        inbox = self.inbox = Inbox(self.taps)
        where = f"{self._address.host}:{self._address.port}"
        try:
            # Not wait_for: in Python 3.11 it can swallow the cancellation of this very task.
            async with asyncio.timeout(self._timeout_s):
                self._wire, _ = await asyncio.get_running_loop().create_connection(
                    lambda: inbox, self._address.host, self._address.port
                )
        except (OSError, TimeoutError) as reason:
            raise Unavailable(f"no connection to {where}: {reason}") from None

    def close(self) -> None:
        """Disconnect."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._wire is not None

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._wire is None:
            raise Unavailable("not connected")
        self._wire.write(data)
        _tell(self.taps, data)
        self.inbox.last_byte_s = asyncio.get_running_loop().time()


class SerialTransport:
    """A serial port or a pty, 8 data bits."""

    def __init__(self, bus: BusConfig) -> None:
        self.taps: set[Tap] = set()
        self.inbox = Inbox(self.taps)
        self._path = str(bus.port)
        self._bus = bus
        self._baudrate = bus.baudrate
        self._port: serial.Serial | None = None

    async def open(self) -> None:
        """Open the port; raises Unavailable."""
        self.inbox = Inbox(self.taps)
        self._baudrate = self._bus.baudrate
        try:
            self._port = serial.Serial(
                self._path,
                self._baudrate,
                parity=_PARITY[self._bus.parity],
                stopbits=self._bus.stopbits,
                timeout=0,
                write_timeout=0,
                exclusive=True,  # Two masters on one line garble each other.
            )
        except (OSError, ValueError, termios.error) as reason:
            raise Unavailable(f"cannot open {self._path}: {_why_not(reason)}") from None
        os.set_blocking(self._port.fileno(), False)
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._readable)

    def close(self) -> None:
        """Close the port."""
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._port.fileno())
            self._port.close()
            self._port = None

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._port is not None

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._port is None:
            raise Unavailable(f"{self._path} is not open")
        loop = asyncio.get_running_loop()
        try:
            sent = os.write(self._port.fileno(), data)
        except OSError as reason:
            raise Unavailable(f"{self._path}: {reason}") from None
        if sent != len(data):
            raise Unavailable(f"{self._path} takes no more bytes")
        _tell(self.taps, data)
        self.inbox.last_byte_s = loop.time() + len(data) * self.character_s

    def set_baudrate(self, baudrate: int) -> None:
        """Go on at another rate, until the port is opened again; raises Unavailable."""
        if self._port is None:
            raise Unavailable(f"{self._path} is not open")
        try:
            self._port.baudrate = baudrate
        except (OSError, ValueError, termios.error) as reason:
            raise Unavailable(f"{self._path} at {baudrate} baud: {reason}") from None
        self._baudrate = baudrate

    @property
    def character_s(self) -> float:
        """Time of one character on the line."""
        return self._bus.character_bits / self._baudrate

    def _readable(self) -> None:
        if self._port is None:
            return
        try:
            data = os.read(self._port.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError as reason:
            self._hang_up(reason)
            return
        if data:
            self.inbox.data_received(data)
        else:
            self._hang_up(None)

    def _hang_up(self, reason: OSError | None) -> None:
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._port.fileno())
        self.inbox.connection_lost(reason)


def _why_not(reason: Exception) -> str:
    """Why a port cannot be opened, and what to do."""
    return _CURES.get(getattr(reason, "errno", None) or 0, str(reason))


def _tell(taps: Set[Tap], data: bytes) -> None:
    for tap in tuple(taps):
        tap(True, data)


def transport_for(bus: BusConfig) -> TcpTransport | SerialTransport:
    """The transport that a bus's configuration names."""
    if isinstance(bus.port, Address):
        return TcpTransport(bus.port, bus.timeout_ms / 1000)
    return SerialTransport(bus)
