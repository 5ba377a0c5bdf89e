"""Time that jumps: an event loop whose sleeps take no time, and a line under it.

Decides that the loop's clock moves to the next deadline as soon as nothing else is to be done, so
that a simulated hour takes as long as its work. Loop time starts at 0. What waits for a real file
or thread gets no time: nothing of that kind belongs under this loop.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from hwsim.rs485 import Wire
from wire.errors import Unavailable


class _Jump(selectors.DefaultSelector):
    """Instead of waiting, time is moved on."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.skipped_s += timeout
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time. Loop time starts at 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds that were slept."""
        return self._jump.skipped_s


Result = TypeVar("Result")


def run_jumping(work: Awaitable[Result]) -> Result:
    """Run to the end on a loop of its own."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:

        async def wrapped() -> Result:
            return await work

        return runner.run(wrapped())


class Inbox(Protocol):
    """Where a master gathers what comes in; `lines.transport.Inbox` is one."""

    last_byte_s: float
    """When an octet last went over the line, by the loop's clock."""

    def data_received(self, data: bytes, /) -> None:
        """Octets came."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """The line went down."""


Tap = Callable[[bool, bytes], None]
"""Told of octets on a line: whether the master sent them, and which."""

In = TypeVar("In", bound=Inbox)


class WireTransport(Generic[In]):
    """A line as a master's transport, by the clock of the running loop (jumping or real).

    Wire time 0 is the loop's time when it was first opened.
    """

    def __init__(
        self, wire: Wire, new_inbox: Callable[[set[Tap]], In], latency_s: float = 0.0
    ) -> None:
        """Put a master on a line.

        Args:
            wire: the line.
            new_inbox: makes an inbox that tells the taps; a new one each time it is opened.
            latency_s: of the adapter, which hands octets on in lumps; 0: each by itself.
        """
        self.wire = wire
        self.taps: set[Tap] = set()
        """Who listens besides, whichever way octets go."""
        self.inbox = new_inbox(self.taps)
        self.gone = False
        """The adapter is unplugged: `unplug` and `plug`."""
        self.opened = 0
        """How often it was opened."""
        self._new_inbox = new_inbox
        self._latency_s = latency_s
        self._origin_s: float | None = None
        self._open = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether octets can be sent."""
        return self._open

    async def open(self) -> None:
        """Open it; what came before is nobody's. Raises Unavailable while unplugged."""
        if self.gone:
            raise Unavailable("cannot open the simulated line: no such device")
        now_s = self._now_s()
        self.inbox = self._new_inbox(self.taps)
        self.wire.receive(now_s)
        self.opened += 1
        self._open = True
        self._wind()

    def close(self) -> None:
        """Close it; the line goes on without its master."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send(self, data: bytes) -> None:
        """Send octets; raises Unavailable when it is not open."""
        if not self._open or self.gone:
            raise Unavailable("the simulated line is not open")
        self.wire.send(self._now_s(), data)
        for tap in tuple(self.taps):
            tap(True, data)
        sending_s = len(data) * self.wire.format.character_s
        self.inbox.last_byte_s = asyncio.get_running_loop().time() + sending_s
        self._wind()

    def set_baudrate(self, baudrate: int) -> None:
        """Go on at another rate; raises Unavailable when it is not open."""
        if not self._open or self.gone:
            raise Unavailable("the simulated line is not open")
        now_s = self._now_s()
        self.wire.change_format(now_s, replace(self.wire.format, baudrate=baudrate))
        self._wind()

    def unplug(self) -> None:
        """The adapter vanishes: the port hangs up and cannot be opened."""
        self.gone = True
        if self._open:
            self.close()
            self._open = True  # Its owner has not noticed yet, and closes it when it does.
            self.inbox.connection_lost(OSError("the adapter was unplugged"))

    def plug(self) -> None:
        """The adapter returns."""
        self.gone = False

    def _now_s(self) -> float:
        now_s = asyncio.get_running_loop().time()
        if self._origin_s is None:
            self._origin_s = now_s
        return now_s - self._origin_s

    def _wind(self) -> None:
        """Wake when something happens next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        next_s = self.wire.next_s()
        if next_s is not None and self._open and not self.gone:
            assert self._origin_s is not None
            at_s = self._origin_s + next_s + self._latency_s
            self._timer = asyncio.get_running_loop().call_at(at_s, self._due, next_s)

    def _due(self, happens_s: float) -> None:
        self._timer = None
        # Sums of floats may fall short of the moment that was waited for.
        arrived = self.wire.receive(max(self._now_s(), happens_s))
        if arrived:
            self.inbox.data_received(arrived)
        self._wind()
