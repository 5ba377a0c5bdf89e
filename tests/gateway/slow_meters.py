"""Meters that answer in their own time, and remember what each answer was for.

Every answer holds a number that no other has: it leads back to the question. A meter answers in the
order in which it was asked; an answer can be late, lost, or said twice.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.config import Address
from gateway.lines.transport import Inbox, Tap
from hwsim.modbus_device import with_check_sum
from hwsim.rs485 import Device, Transmission

READY_S = 0.03


@dataclass(frozen=True, slots=True)
class Mood:
    """How one answer goes."""

    delay_s: float = READY_S
    """From the question's end."""

    lost: bool = False
    """It is never heard."""

    again_s: float | None = None
    """It is said a second time so much later."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a meter was asked."""

    unit: int
    address: int
    count: int
    place: int
    """How many questions the meter had had, this one counted."""
    at_s: float


@dataclass
class Memory:
    """All questions to all meters, by the number in their answers."""

    questions: list[Question] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def number_of(self, unit: int, address: int, count: int, at_s: float) -> int:
        """A new number for a question."""
        self.places[unit] = self.places.get(unit, 0) + 1
        self.questions.append(Question(unit, address, count, self.places[unit], at_s))
        return len(self.questions) - 1

    def latest(self, question: Question) -> bool:
        """Whether the meter was asked nothing after it."""
        return question.place == self.places[question.unit]


class SlowMeter(Device):
    """Words of every answer: the number in the last two, 100 kWh in those before."""

    def __init__(self, unit: int, moods: Iterator[Mood], memory: Memory) -> None:
        self.unit = unit
        self._moods = moods
        self._memory = memory
        self._free_s = 0.0

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        if len(frame) != 8 or frame[0] != self.unit or with_check_sum(frame[:-2]) != frame:
            return []
        reply = with_check_sum(frame[:1] + self.answer(frame[1:-2], now_s))
        return [
            Transmission(delay_s, reply) for delay_s in self.delays(now_s, len(reply) * 10 / 9_600)
        ]

    def answer(self, pdu: bytes, now_s: float) -> bytes:
        """The reply to a request's PDU."""
        function, address, count = struct.unpack(">BHH", pdu)
        number = self._memory.number_of(self.unit, address, count, now_s)
        floats = b"".join(struct.pack(">f", 100.0) for _ in range(count // 2 - 1))
        return struct.pack(">BB", function, 2 * count) + floats + struct.pack(">I", number)

    def delays(self, now_s: float, length_s: float) -> list[float]:
        """When the next answer is said, from now: never, once or twice."""
        mood = next(self._moods, Mood())
        at_s = max(now_s + mood.delay_s, self._free_s)
        if mood.lost:
            return []
        self._free_s = at_s + length_s
        again = [] if mood.again_s is None else [at_s + mood.again_s]
        return [each - now_s for each in [at_s, *again]]


class TcpLine:
    """A Modbus TCP host in front of slow meters; nothing collides there."""

    def __init__(self, meters: Sequence[SlowMeter]) -> None:
        self.inbox = Inbox()
        self.taps: set[Tap] = set()
        self.is_open = False
        self._meters = {each.unit: each for each in meters}

    async def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        """The meters do not notice, and what they still say is heard: the worst case."""
        self.is_open = False

    def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.inbox.last_byte_s = loop.time()
        meter = self._meters[data[6]]
        body = data[6:7] + meter.answer(data[7:], loop.time())
        reply = data[:4] + struct.pack(">H", len(body)) + body
        for delay_s in meter.delays(loop.time(), 0.001):
            loop.call_later(delay_s, self.inbox.data_received, reply)


class QuietLine(TcpLine):
    """A serial line on which, by some miracle, nothing collides: no late reply is spoilt."""

    def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.inbox.last_byte_s = loop.time()
        meter = self._meters[data[0]]
        reply = with_check_sum(data[:1] + meter.answer(data[1:-2], loop.time()))
        for delay_s in meter.delays(loop.time(), 0.02):
            loop.call_later(delay_s, self.inbox.data_received, reply)


TCP = Address("simulated", 502)
