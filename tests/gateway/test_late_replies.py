"""A reply that comes late is never taken for the answer to something else, however late it is."""

import asyncio
import struct
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from gateway import templates
from gateway.bus import BusActor
from gateway.config import Address, BusConfig
from gateway.decode import Limits
from gateway.intervals import Chain, Sample, Subject
from gateway.line import Line
from gateway.reader import Reader
from gateway.registered import PolledMeter
from gateway.spool import MeterState, Spool
from gateway.transport import Inbox, Tap
from hwsim.virtual_time import run_jumping
from tests.gateway.street import float_words

TEMPLATE = templates.load("eastron-sdm630")
TIMEOUT_MS = 200
RATE = 30
"""Network seconds per second of the jumping loop: a boundary each 30 s, 2 s to read it."""

METERS = {f"m{unit}": unit for unit in (1, 2, 3)}


class FastClock:
    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000 * RATE)

    def real_s_until(self, network_ms: int) -> float:
        return max(0.0, (network_ms - self.now_ms()) / 1000 / RATE)


class SlowBus:
    """Devices that answer each request in order, each after its own delay; a serial line.

    Each energy answer is a number that no other answer has, and says which request it is for.
    """

    def __init__(self, delays_s: list[float], tcp: bool) -> None:
        self.inbox = Inbox()
        self.taps: set[Tap] = set()
        self.is_open = False
        self.asked: dict[int, tuple[int, int]] = {}
        """Number of an answer to unit and place of its request among the unit's requests."""
        self.requests: dict[int, int] = dict.fromkeys(METERS.values(), 0)
        self._delays_s = delays_s
        self._free_s: dict[int, float] = {}
        self._tcp = tcp

    async def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        """The devices do not notice, and what they still say is heard: the worst case."""
        self.is_open = False

    def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.inbox.last_byte_s = loop.time()
        head, body = (data[:6], data[6:]) if self._tcp else (b"", data[:-2])
        unit, function, address, count = struct.unpack(">BBHH", body)
        self.requests[unit] += 1
        number = len(self.asked) + 1
        self.asked[number] = (unit, self.requests[unit])
        words = float_words(number, 0) if address == 0x48 else [0] * count
        reply = struct.pack(f">BBB{count}H", unit, function, 2 * count, *words)
        if self._tcp:
            reply = head[:4] + struct.pack(">H", len(reply)) + reply
        else:
            reply += FramerRTU.compute_CRC(reply).to_bytes(2, "big")
        delay_s = self._delays_s.pop(0) if self._delays_s else 0.01
        at_s = max(loop.time() + delay_s, self._free_s.get(unit, 0.0) + 0.001)
        self._free_s[unit] = at_s
        loop.call_at(at_s, self.inbox.data_received, reply)


class Notes:
    """Takes the place of reader and spool: judges each sample at the moment it is believed."""

    def __init__(self, bus: SlowBus) -> None:
        self.bus = bus
        self.believed = 0
        self.mistakes: list[str] = []
        self.queued = asyncio.Event()

    async def meter(self, _meter: str) -> MeterState:
        return MeterState(-1, -1, None, Chain(bytes(32), 0))

    async def keep_sample(self, meter: PolledMeter, sample: Sample) -> None:
        self.believed += 1
        unit, place = self.bus.asked[sample.registers.import_wh // 1000]
        if unit != meter.unit:
            self.mistakes.append(f"{meter.id} was given unit {unit}'s value")
        elif place != self.bus.requests[unit]:
            self.mistakes.append(f"{meter.id} was given an older answer")


def meter_of(name: str) -> PolledMeter:
    subject = Subject(name, "n", bytes(8), TEMPLATE.hash)
    return PolledMeter(name, METERS[name], TEMPLATE, subject, Limits(10**12, 1))


async def poll(delays_s: list[float], tcp: bool) -> Notes:
    port: Any = Address("x", 1) if tcp else "/dev/x"
    config = BusConfig("b", port, 9_600, TIMEOUT_MS, ())
    slow = SlowBus(delays_s, tcp)
    notes = Notes(slow)
    places = (cast(Spool, notes), cast(Reader, notes))
    actor = BusActor(
        config, [meter_of(name) for name in METERS], Line(config, slow), places, FastClock()
    )
    await actor.begin()
    work = asyncio.ensure_future(actor.run())
    await asyncio.sleep(600)
    assert not work.done()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return notes


delays = st.lists(
    st.one_of(st.floats(0.001, 0.19), st.floats(0.15, 0.35), st.floats(0.3, 100.0)), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(delays, st.booleans())
def test_no_value_is_given_to_another_meter_or_to_a_later_question(
    delays_s: list[float], tcp: bool
) -> None:
    notes = run_jumping(poll(delays_s, tcp))
    assert notes.mistakes == []


def test_the_bus_recovers_once_answers_come_in_time() -> None:
    notes = run_jumping(poll([5.0, 0.25, 0.3, 0.01, 0.3], tcp=False))
    assert notes.mistakes == []
    assert notes.believed >= 3 * 15
