# mypy: ignore-errors
"""A meter on the bench, under CPython or MicroPython: its time, its element and its power in hand.

Decides nothing about meters; it plays the world around one.
"""

from meter import registers_map
from meter.clock import BusClock
from meter.log import Log
from meter.record import CLOCK_ADJUSTED, CLOCK_INVALID, POWER_DOWN
from tests.device.meter_parts import Element, FakeSigner, T, World, make_meter

CLOCK_BITS = CLOCK_ADJUSTED | CLOCK_INVALID | POWER_DOWN
WRAP = 1 << 30
"""Where `time.ticks_ms` of a board begins anew."""


class Ticks:
    """A board's millisecond counter, which wraps."""

    def __init__(self, now: int = WRAP - 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now % WRAP

    @staticmethod
    def diff(later: int, earlier: int) -> int:
        return (later - earlier + WRAP // 2) % WRAP - WRAP // 2


def decode(data: bytes):
    """The CBOR item at the start of `data`; only what a meter writes."""
    return _item(data, 0)[0]


def _item(data, at):
    kind, number = data[at] >> 5, data[at] & 31
    at += 1
    if number >= 24:
        size = 1 << number - 24
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    if kind < 2:
        return (number if kind == 0 else -1 - number), at
    if kind < 4:
        text = bytes(data[at : at + number])
        return (text if kind == 2 else text.decode()), at + number
    items = []
    for _ in range(1 if kind == 6 else number * (kind - 3)):
        item, at = _item(data, at)
        items.append(item)
    if kind == 5:
        return {items[i]: items[i + 1] for i in range(0, len(items), 2)}, at
    return (items[0] if kind == 6 else items), at


def payload_of(signed: bytes) -> dict:
    """The fields of a signed record or event."""
    return decode(decode(signed)[2])


class Bench:
    """A meter from its first power-up on, with a clock that the bus sets."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._ticks = Ticks()
        self._world = World()
        self._element = Element(self._world)
        self._boot(None)

    def _boot(self, kept_s):
        def make_clock(times_set, set_at_s):
            return BusClock(self._ticks, Ticks.diff, times_set, set_at_s)

        self._log = Log(self._folder + "/log")
        events = Log(self._folder + "/events")
        signer = FakeSigner(lambda message: None)
        parts = signer, make_clock, self._element, self._log, events
        self.meter = make_meter(self._folder, *parts, kept_s)
        self._settle()

    def _settle(self):
        self.meter.step()
        while self.meter.busy:
            self.meter.step()

    def begin_at(self, second):
        self._world.true_ms = second * 1000

    def run(self, seconds, step_s=10):
        """Let true time pass; the meter looks at it every few seconds."""
        for _ in range(seconds // step_s):
            self._pass(step_s * 1000)

    def run_to(self, second: int, ms: int = 0) -> None:
        """Let true time pass until seconds after T."""
        end_ms = (T + second) * 1000 + ms
        while self._world.true_ms < end_ms:
            self._pass(min(10_000, end_ms - self._world.true_ms))

    def _pass(self, passed_ms):
        self._world.true_ms += passed_ms
        self._ticks.now += passed_ms
        self._settle()

    def give(self, off_s: int = 0) -> None:
        """A master gives the true time, or what is off by so much, with an error of a second."""
        self.give_time(self._world.true_ms // 1000 + off_s, self._world.true_ms % 1000)

    def give_time(self, second, ms=0):
        words = (second >> 16, second & 0xFFFF, ms, 1)
        self.meter.map.write(registers_map.WINDOW + registers_map.TIME, words)
        self._settle()

    def power_cycle(self, off_s: int, keeps_time: bool = False, kept_s=None) -> None:
        self._world.true_ms += off_s * 1000
        self._ticks.now = 0
        self._boot(self._world.true_ms // 1000 if keeps_time else kept_s)

    def now_ms(self):
        return self.meter._clock.now_ms()

    @property
    def true_s(self) -> int:
        """Seconds after T."""
        return self._world.true_ms // 1000 - T

    def contents(self) -> list:
        """The fields of each record."""
        return [payload_of(self._log.read(sequence)) for sequence in range(self._log.head)]

    def records(self) -> list:
        """(start in s after T, clock bits, quality, times set, error) of each."""
        found = []
        for fields in self.contents():
            quality, times_set, _, error_s = fields[14]
            bits = fields[13] & CLOCK_BITS
            found.append((fields[4] - T, bits, quality, times_set, error_s))
        return found
