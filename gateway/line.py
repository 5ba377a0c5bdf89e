"""One line, one request in flight: paced, timed out, drained.

Decides when a request may be sent (silence since the last byte, as the line and the meter want
it), when it has failed, and that after a failure whatever still comes in is thrown away before
anything else is asked. The other half of the promise that a late reply is never taken for an
answer is the schedule's: it fences a meter before it believes it again.
"""

import asyncio
from collections import Counter

from gateway.config import Address, BusConfig
from gateway.frames import Framing, Garbled, Request, RtuFraming, TcpFraming, registers
from gateway.transport import Transport
from wire.errors import Unavailable

LEAST_SILENCE_S = 0.00175
"""Silence between frames above 19,200 baud (Modbus over serial line V1.02, section 2.5.1.1)."""

_CHARACTERS = 3.5
_BITS = 11
_QUIET_S = 0.05
"""A line is drained when nothing came for so long."""

_MOST_DRAIN_S = 0.5
"""Draining is given up after this: the line babbles, and the next frame's CRC will say so."""


class NoAnswer(Unavailable):
    """The device said nothing in time."""


class Line:
    """A transport with its framing and its rhythm. One task at a time."""

    def __init__(self, bus: BusConfig, transport: Transport) -> None:
        tcp = isinstance(bus.port, Address)
        self._framing: Framing = TcpFraming() if tcp else RtuFraming()
        self._silence_s = 0.0 if tcp else max(_CHARACTERS * _BITS / bus.baudrate, LEAST_SILENCE_S)
        self._serial = not tcp
        self._timeout_s = bus.timeout_ms / 1000
        self._transport = transport
        self.errors: Counter[str] = Counter()
        """How often each kind of failure was seen: `no-answer`, `garbled`, `line-down`, `stray`."""

    async def ask(self, request: Request, silence_ms: int = 0) -> tuple[int, ...]:
        """Send a request and return the registers of its reply (none for a write).

        Args:
            request: what to ask.
            silence_ms: silence that the device wants before a request on a serial line.

        Raises:
            NoAnswer, Garbled: nothing, or nothing that can be trusted; the line was drained.
            DeviceRefused: the device answered with an exception.
            Unavailable: the line is down.
        """
        try:
            if not self._transport.is_open:
                await self._transport.open()
            await self._be_silent(silence_ms / 1000)
            self._discard()
            self._transport.send(self._framing.frame(request))
            reply = await self._reply(request)
        except (NoAnswer, Garbled) as reason:
            self.errors["garbled" if isinstance(reason, Garbled) else "no-answer"] += 1
            await self._drain()
            raise
        except Unavailable:
            self.errors["line-down"] += 1
            self._transport.close()
            raise
        return registers(reply)

    def close(self) -> None:
        """Close the line; the next request opens it again."""
        self._transport.close()

    async def _be_silent(self, silence_s: float) -> None:
        if not self._serial:
            return
        wanted_s = max(self._silence_s, silence_s)
        now_s = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._transport.inbox.last_byte_s + wanted_s - now_s))

    async def _reply(self, request: Request) -> bytes:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._timeout_s
        while True:
            reply = self._framing.take(self._transport.inbox.received, request)
            if reply is not None:
                return reply
            if not await self._transport.inbox.more(deadline_s - loop.time()):
                raise NoAnswer(f"unit {request.unit} did not answer")

    def _discard(self) -> None:
        if self._transport.inbox.received:
            self.errors["stray"] += 1
            self._transport.inbox.received.clear()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _MOST_DRAIN_S
        try:
            while loop.time() < deadline_s and await self._transport.inbox.more(_QUIET_S):
                self._discard()
        except Unavailable:
            self._transport.close()
        self._discard()
