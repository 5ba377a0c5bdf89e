"""What goes wrong on a line, each fault a small wrapper around a device; wrap twice for two.

Decides what each fault does to an answer. When it strikes is told by `When`: in a window of time,
by a chance tossed with a seed. What goes wrong inside a counter is `hwsim.counter_faults`'.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from hwsim.modbus_device import Delay, check_sum, with_check_sum
from hwsim.registers import ERROR_BIT, ILLEGAL_ADDRESS, READ_HOLDING, READ_INPUT
from hwsim.rs485 import Device, Transmission
from hwsim.uart import LineFormat


@dataclass(frozen=True, slots=True)
class When:
    """When a fault strikes."""

    from_s: float = 0.0
    """Not before this time of the line."""

    until_s: float = math.inf
    """Not from this time on."""

    chance: float = 1.0
    """How likely each time, 0 to 1."""

    random: Random = field(default_factory=lambda: Random(0))
    """Tosses the coins of this fault, and draws whatever it needs by chance."""

    def within(self, now_s: float) -> bool:
        """Whether the time is right, chance aside."""
        return self.from_s <= now_s < self.until_s

    def strikes(self, now_s: float) -> bool:
        """Whether it strikes this time."""
        return self.within(now_s) and (self.chance >= 1 or self.random.random() < self.chance)


class Troubled(Device):
    """A device that does what the one inside does; faults change that."""

    def __init__(self, inner: Device, when: When) -> None:
        """Wrap a device."""
        self.inner = inner
        self.when = when
        self.unit = inner.unit
        self.silence_s = inner.silence_s

    @property
    def line(self) -> LineFormat | None:  # type: ignore[override]
        """Settings of the device inside, which may change."""
        return self.inner.line

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        """The answer, spoilt when the fault strikes."""
        answers = self.inner.heard(frame, now_s)
        if answers and self.when.strikes(now_s):
            return self.spoilt(answers, now_s)
        return answers

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """What becomes of an answer; a fault of its own says it here."""
        return answers

    def next_unasked_s(self) -> float | None:
        """As the device inside."""
        return self.inner.next_unasked_s()

    def unasked(self, now_s: float) -> list[Transmission]:
        """As the device inside."""
        return self.inner.unasked(now_s)


class Late(Troubled):
    """Answers that much later, so maybe after its master gave up."""

    def __init__(self, inner: Device, when: When, delay: Delay) -> None:
        """Add a delay to answers."""
        super().__init__(inner, when)
        self._delay = delay

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """The same, later."""
        later_s = self._delay(self.when.random)
        return [replace(each, delay_s=each.delay_s + later_s) for each in answers]


class Lost(Troubled):
    """Does what it is told, and its answer is lost."""

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """Nothing."""
        return []


class Dead(Troubled):
    """Hears nothing and says nothing."""

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        """Nothing while it is dead."""
        return [] if self.when.strikes(now_s) else self.inner.heard(frame, now_s)

    def unasked(self, now_s: float) -> list[Transmission]:
        """Nothing while it is dead."""
        sayings = self.inner.unasked(now_s)
        return [] if self.when.within(now_s) else sayings


class Duplicated(Troubled):
    """Says its answer a second time."""

    def __init__(self, inner: Device, when: When, after_s: float = 0.05) -> None:
        """The second begins that long after the first began, or when the first is over."""
        super().__init__(inner, when)
        self._after_s = after_s

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """Twice."""
        return answers + [replace(each, delay_s=each.delay_s + self._after_s) for each in answers]


class Cut(Troubled):
    """Falls silent in the middle of its answer."""

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """At least one octet, and never all."""
        return [
            replace(each, octets=each.octets[: self.when.random.randrange(1, len(each.octets))])
            for each in answers
            if len(each.octets) > 1
        ]


class Flipped(Troubled):
    """Bits of its answer arrive flipped."""

    def __init__(self, inner: Device, when: When, bits: int = 1) -> None:
        """That many bits, anywhere."""
        super().__init__(inner, when)
        self._bits = bits

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """The same length, other bits."""
        return [replace(each, octets=self._flip(each.octets)) for each in answers]

    def _flip(self, octets: bytes) -> bytes:
        places = self.when.random.sample(range(8 * len(octets)), min(self._bits, 8 * len(octets)))
        number = int.from_bytes(octets, "big")
        for place in places:
            number ^= 1 << place
        return number.to_bytes(len(octets), "big")


class WrongUnit(Troubled):
    """Answers under another unit's number, with a sound check sum."""

    def __init__(self, inner: Device, when: When, other: int | None = None) -> None:
        """As that unit; None: as the next one."""
        super().__init__(inner, when)
        self._other = inner.unit % 247 + 1 if other is None else other

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """The same content, another name."""
        return [
            replace(each, octets=with_check_sum(bytes([self._other]) + each.octets[1:-2]))
            for each in answers
        ]


class Exceptional(Troubled):
    """Answers with an exception: 6 while it is busy, 3 or 4 after noise."""

    def __init__(self, inner: Device, when: When, code: int) -> None:
        """With that code (Modbus application protocol V1.1b3, section 7)."""
        super().__init__(inner, when)
        self._code = code

    def spoilt(self, answers: list[Transmission], now_s: float) -> list[Transmission]:
        """An exception in place of the answer."""
        return [
            replace(each, octets=_exception(each.octets[0], each.octets[1], self._code))
            for each in answers
        ]


class Holes(Troubled):
    """Refuses, with exception 2, to read where it has no registers."""

    def __init__(self, inner: Device, when: When, holes: Sequence[range]) -> None:
        """There are holes at these addresses."""
        super().__init__(inner, when)
        self._holes = tuple(holes)

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        """An exception for a read that touches a hole."""
        answers = self.inner.heard(frame, now_s)
        if not answers or len(frame) != 8 or frame[1] not in (READ_HOLDING, READ_INPUT):
            return answers
        address, count = struct.unpack(">HH", frame[2:6])
        touched = any(each.start < address + count and address < each.stop for each in self._holes)
        if not touched or not self.when.strikes(now_s):
            return answers
        refusal = _exception(frame[0], frame[1], ILLEGAL_ADDRESS)
        return [replace(each, octets=refusal) for each in answers]


class Babbling(Troubled):
    """Talks without being asked."""

    def __init__(
        self, inner: Device, when: When, every: Delay, octets: bytes | None = None
    ) -> None:
        """Again and again after such a pause.

        Args:
            inner: who babbles.
            when: in which window of time, and how likely each time.
            every: seconds from one word to the next.
            octets: what it says, with its check sum added; None: noise of 1 to 30 octets.
        """
        super().__init__(inner, when)
        self._every = every
        self._octets = octets
        self._next_s = when.from_s + every(when.random)

    def next_unasked_s(self) -> float | None:
        """Its next word, or one of the device inside."""
        inner_s = self.inner.next_unasked_s()
        own_s = self._next_s if self._next_s < self.when.until_s else None
        moments = [each for each in (inner_s, own_s) if each is not None]
        return min(moments, default=None)

    def unasked(self, now_s: float) -> list[Transmission]:
        """Its next word."""
        inner_s = self.inner.next_unasked_s()
        if inner_s is not None and inner_s <= now_s:
            return self.inner.unasked(now_s)
        random = self.when.random
        self._next_s = now_s + max(0.001, self._every(random))
        if not self.when.strikes(now_s):
            return []
        if self._octets is not None:
            return [Transmission(0.0, self._octets + check_sum(self._octets))]
        return [Transmission(0.0, random.randbytes(random.randint(1, 30)))]


def noise(when: When, every: Delay) -> Device:
    """Bursts on the line that are nobody's: a device that hears nothing and babbles."""
    return Babbling(Device(), when, every)


def _exception(unit: int, function: int, code: int) -> bytes:
    return with_check_sum(bytes([unit, function | ERROR_BIT, code]))
