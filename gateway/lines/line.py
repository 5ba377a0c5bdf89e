"""One line, one request in flight: paced, timed out, drained, and listened to.

Decides when a request may be sent (silence since the last octet, as the line and the meter want
it), when it has failed, and that after a failure whatever still comes in is thrown away before
anything else is asked. Counts each kind of failure, by line and by unit. The other half of the
promise that a late reply is never taken for an answer is `polling.bus`'s: it fences a meter before
it believes it again.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from gateway.config import Address, BusConfig
from gateway.lines.babble import Babble
from gateway.lines.frames import (
    DeviceRefused,
    Framing,
    Garbled,
    Request,
    RtuFraming,
    TcpFraming,
    registers,
)
from gateway.lines.patience import Patience
from gateway.lines.transport import Tap, Transport
from wire.errors import Unavailable

LEAST_SILENCE_S = 0.00175
"""Silence between frames above 19,200 baud (Modbus over serial line V1.02, section 2.5.1.1)."""

_CHARACTERS = 3.5
_BITS = 11
_INSTANT_S = 1e-6
_QUIET_S = 0.05
"""A line is drained when nothing came for so long."""

MOST_DRAIN_S = 0.5
"""Draining, and waiting for silence before a request, are given up after this: the line babbles."""

_SETTLE_TIMEOUTS = 2
"""So many time-outs long a line is listened to where no fence can be had."""


class NoAnswer(Unavailable):
    """The device said nothing in time."""


class LineDown(Unavailable):
    """The line cannot be opened: nobody on it can be asked."""


class Babbling(Garbled):
    """The line does not fall silent, so nothing was asked."""

    code = "babble"


class Line:
    """A transport with its framing and its rhythm. One task at a time."""

    def __init__(self, bus: BusConfig, transport: Transport) -> None:
        self.serial = not isinstance(bus.port, Address)
        self._framing: Framing = RtuFraming() if self.serial else TcpFraming()
        self._silence_s = max(_CHARACTERS * _BITS / bus.baudrate, LEAST_SILENCE_S)
        self._character_s = bus.character_bits / bus.baudrate if self.serial else 0.0
        self._timeout_s = bus.timeout_ms / 1000
        self._transport = transport
        self._patience = Patience(self._timeout_s)
        self._owing: Counter[int] = Counter()
        self._opened_s = 0.0
        self.babble = Babble()
        """Who talks without being asked."""
        self.down = ""
        """Why the line cannot be opened, in words; empty when it can."""
        self.answers = 0
        """How often a device answered as it should."""
        self.errors: Counter[str] = Counter()
        """How often each kind of failure was seen: `no-answer`, `garbled`, `babble`, `line-down`,
        `exception-2` and so on, `late` and `stray`."""
        self.errors_of: dict[int, Counter[str]] = defaultdict(Counter)
        """The same, by unit."""

    @property
    def taps(self) -> set[Tap]:
        """Who is told of every octet on the line."""
        return self._transport.taps

    @property
    def echoes(self) -> bool:
        """Whether the adapter hears its own requests."""
        return self._framing.echoes > 0

    @property
    def longest_s(self) -> float:
        """What one question can cost when it is not answered, transmission apart."""
        return 2 * MOST_DRAIN_S + (1 + _SETTLE_TIMEOUTS) * self._timeout_s

    async def ask(self, request: Request, silence_ms: int = 0) -> tuple[int, ...]:
        """Send a request and return the registers of its reply (none for a write).

        Args:
            request: what to ask.
            silence_ms: silence that the device wants before a request on a serial line.

        Raises:
            NoAnswer, Garbled: nothing, or nothing that can be trusted; the line was drained.
            DeviceRefused: the device answered with an exception.
            LineDown: the line cannot be opened.
            Unavailable: the line went down.
        """
        await self._open(request.unit)
        try:
            await self._be_silent(silence_ms / 1000)
            self._transport.send(self._framing.frame(request))
            found = registers(await self._reply(request))
        except DeviceRefused as reason:
            self.count(f"exception-{reason.exception}", request.unit)
            raise
        except (NoAnswer, Garbled) as reason:
            self.count(getattr(reason, "code", "no-answer"), request.unit)
            self._patience.failed(request.unit)
            self._owing[request.unit] += 1
            await self._drain(isinstance(reason, Garbled))
            raise
        except Unavailable:
            self.count("line-down", request.unit)
            self._transport.close()
            raise
        self.answers += 1
        return found

    async def settle(self) -> None:
        """Listen for the longest time that an answer may take, and throw away what comes."""
        try:
            while await self._transport.inbox.more(_SETTLE_TIMEOUTS * self._timeout_s):
                self._discard(False)
        except Unavailable:
            self._transport.close()

    def count(self, kind: str, unit: int) -> None:
        """Count a failure of a unit."""
        self.errors[kind] += 1
        self.errors_of[unit][kind] += 1

    def close(self) -> None:
        """Close the line; the next request opens it again."""
        self._transport.close()

    def reopen(self, at_most_every_s: float) -> None:
        """Close the line, unless it was opened a moment ago."""
        if asyncio.get_running_loop().time() - self._opened_s >= at_most_every_s:
            self._transport.close()

    async def _open(self, unit: int) -> None:
        if self._transport.is_open:
            return
        try:
            await self._transport.open()
        except Unavailable as reason:
            self.down = str(reason)
            self.count("line-down", unit)
            raise LineDown(self.down) from None
        self.down = ""
        self._opened_s = asyncio.get_running_loop().time()

    async def _be_silent(self, silence_s: float) -> None:
        """Wait for silence, and throw away what was said before it."""
        if self.serial:
            wanted_s = max(self._silence_s, silence_s)
            loop = asyncio.get_running_loop()
            deadline_s = loop.time() + wanted_s + MOST_DRAIN_S
            while (
                pause_s := self._transport.inbox.last_byte_s + wanted_s - loop.time()
            ) > _INSTANT_S:
                if loop.time() + pause_s > deadline_s:
                    self._discard(False)
                    raise Babbling("the line does not fall silent: somebody talks unasked")
                await asyncio.sleep(pause_s)
        self._discard(False)

    async def _reply(self, request: Request) -> bytes:
        inbox, unit = self._transport.inbox, request.unit
        loop = asyncio.get_running_loop()
        reply_s = request.reply_size * self._character_s
        sent_s = inbox.last_byte_s
        patience_s = self._patience.of(unit) if self.serial else self._timeout_s
        while True:
            reply = self._framing.take(inbox.received, request)
            for stray, size in self._framing.strays():
                self._stray(stray, size)
            if reply is not None:
                self._owing[unit] = 0
                self._patience.answered(unit, max(0.0, loop.time() - sent_s - reply_s))
                return reply
            if not await inbox.more(sent_s + patience_s + reply_s - loop.time()):
                raise NoAnswer(f"unit {unit} did not answer")

    def _discard(self, garbled: bool) -> None:
        """Throw away what came in; `garbled`: it is the rest of what could not be read."""
        octets = bytes(self._transport.inbox.received)
        self._transport.inbox.received.clear()
        frames: Sequence[tuple[int, int]] = self._framing.overheard(octets)
        for unit, size in frames:
            self._stray(unit, size)
        rest = len(octets) - sum(size for _, size in frames)
        if rest > 0 and not garbled:
            self.errors["stray"] += 1
            self.babble.heard(asyncio.get_running_loop().time(), rest, None)

    def _stray(self, unit: int, size: int) -> None:
        """A sound frame that is not the answer."""
        if self._owing[unit] > 0:
            self._owing[unit] -= 1
            self.count("late", unit)
        else:
            self.count("stray", unit)
            self.babble.heard(asyncio.get_running_loop().time(), size, unit)

    async def _drain(self, garbled: bool) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + MOST_DRAIN_S
        try:
            while loop.time() < deadline_s and await self._transport.inbox.more(_QUIET_S):
                continue
        except Unavailable:
            self._transport.close()
        self._discard(garbled)
