"""A bus of the gateway, and bare pymodbus, each on a simulated RS-485 line in virtual time.

Decides nothing about either: the gateway's actor, schedule, line and framing, and pymodbus's client
are the real ones; only the octets' way (`hwsim.rs485`), the loop's clock (`hwsim.virtual_time`) and
what keeps samples are not. Everything is repeatable, and an hour takes as long as its work.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.logging import pymodbus_apply_logging_config

from gateway.config import BusConfig
from gateway.delivery.intervals import Chain, Sample, Subject
from gateway.delivery.reader import Reader
from gateway.delivery.spool import MeterState, Spool
from gateway.lines.line import Line
from gateway.lines.transport import Inbox
from gateway.meters.decode import Limits
from gateway.meters.template import Template
from gateway.polling.bus import BusActor
from gateway.polling.schedule import INTERVAL_S
from gateway.registered import PolledMeter
from hwsim.rs485 import Wire
from hwsim.virtual_time import WireTransport

BEGIN_S = 2_000_000 * INTERVAL_S
"""Network time when loop time is 0: a boundary."""

_MOST_POWER_W = 10**9


class LoopClock:
    """Network time that runs by the loop's clock."""

    def __init__(self, rate: int = 1) -> None:
        self._rate = rate

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return BEGIN_S * 1000 + round(asyncio.get_running_loop().time() * 1000 * self._rate)

    def real_s_until(self, network_ms: int) -> float:
        """Loop time from now, zero when it has passed."""
        return max(0.0, (network_ms - self.now_ms()) / 1000 / self._rate)


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample that the gateway believed."""

    meter: PolledMeter
    """Whose."""

    sample: Sample
    """What was read."""

    at_s: float
    """Loop time when it was kept."""


class Notes:
    """Takes the place of spool and reader, in memory."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        """All samples, in order."""
        self.queued = asyncio.Event()

    async def meter(self, _meter: str) -> MeterState:
        """Nothing is known of any meter."""
        return MeterState(-1, -1, None, Chain(bytes(32), 0))

    async def keep_sample(self, meter: PolledMeter, sample: Sample) -> None:
        """Keep it."""
        self.taken.append(Taken(meter, sample, asyncio.get_running_loop().time()))


@dataclass(frozen=True, slots=True)
class GatewayBus:
    """The gateway's actor on a line."""

    actor: BusActor
    """Polls."""

    notes: Notes
    """What it read."""

    transport: WireTransport[Inbox]
    """Its end of the line."""

    @classmethod
    def on(
        cls,
        wire: Wire,
        meters: Sequence[PolledMeter],
        timeout_ms: int = 500,
        rate: int = 1,
        latency_s: float = 0.0,
    ) -> "GatewayBus":
        """Put it on a line.

        Args:
            wire: the line.
            meters: who is polled.
            timeout_ms: how long a meter may take to answer.
            rate: seconds of network time in one of loop time.
            latency_s: of the adapter.
        """
        bus = BusConfig("bus", "/dev/simulated", wire.format.baudrate, timeout_ms, ())
        transport, notes = WireTransport(wire, Inbox, latency_s), Notes()
        places = (cast(Spool, notes), cast(Reader, notes))
        actor = BusActor(bus, meters, Line(bus, transport), places, LoopClock(rate))
        return cls(actor, notes, transport)

    async def run(self, until_s: float) -> None:
        """Poll until that loop time."""
        await self.actor.begin()
        work = asyncio.ensure_future(self.actor.run())
        await asyncio.sleep(until_s - asyncio.get_running_loop().time())
        if not work.done():
            work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            work.result()


def meter_of(unit: int, template: Template) -> PolledMeter:
    """A meter that can count whatever it says; that of unit 7 is called m7."""
    name = f"m{unit}"
    subject = Subject(name, "node", bytes(8), template.hash)
    return PolledMeter(name, unit, template, subject, Limits(_MOST_POWER_W, 1))


class _ToPymodbus:
    """Hands what comes in to pymodbus."""

    def __init__(self, client: AsyncModbusSerialClient) -> None:
        self.last_byte_s = 0.0
        self._client = client

    def data_received(self, data: bytes, /) -> None:
        self.last_byte_s = asyncio.get_running_loop().time()
        self._client.ctx.data_received(data)

    def connection_lost(self, exc: Exception | None, /) -> None:
        self._client.ctx.connection_lost(exc)


class _FromPymodbus(asyncio.Transport):
    """Puts what pymodbus writes on the line."""

    def __init__(self, line: WireTransport[_ToPymodbus]) -> None:
        super().__init__()
        self._line = line

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._line.send(bytes(data))

    def close(self) -> None:
        self._line.close()

    def abort(self) -> None:
        self._line.close()


class BarePymodbus:
    """pymodbus's own client on a line, as its documentation uses it.

    It keeps no silence between requests (pymodbus issue 2827: "put a sleep between the requests").
    """

    def __init__(self, wire: Wire, timeout_s: float, retries: int, silence_s: float) -> None:
        pymodbus_apply_logging_config("CRITICAL")
        self._client = AsyncModbusSerialClient(
            "/dev/simulated", timeout=timeout_s, retries=retries, reconnect_delay=0
        )
        self._line = WireTransport(wire, lambda _: _ToPymodbus(self._client))
        self._silence_s = silence_s

    async def open(self) -> None:
        """Connect."""
        await self._line.open()
        self._client.ctx.connection_made(_FromPymodbus(self._line))

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...] | None:
        """Read input registers; None when it says that there was no answer."""
        await asyncio.sleep(self._silence_s)
        try:
            reply = await self._client.read_input_registers(address, count=count, device_id=unit)
        except ModbusException:
            return None
        return None if reply.isError() else tuple(reply.registers)
