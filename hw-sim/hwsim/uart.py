"""Characters as levels on a pair of wires, and as a receiver samples them.

Decides how long an octet is on the line, what a receiver with other settings makes of it, and what
is heard while two talk at once. A receiver waits for a low level, then samples each bit in its
middle: with the talker's settings it finds the octet, with any others the garbage that a real UART
finds. Where two drivers disagree, the level is a coin tossed by time and seed, so that everything
can be repeated.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from wire.errors import Malformed

PARITIES = "NEO"
_SLACK = 1e-3
"""Of a bit: two moments closer than this are one."""


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How octets become bits."""

    baudrate: int
    """Bits a second."""

    data_bits: int = 8
    """7 or 8."""

    parity: str = "N"
    """N, E or O."""

    stop_bits: int = 1
    """1 or 2."""

    character_bits: int = field(init=False, compare=False)
    """Start, data, parity and stop bits."""

    bit_s: float = field(init=False, compare=False)
    """Length of a bit."""

    character_s: float = field(init=False, compare=False)
    """Length of an octet on the line."""

    frame_end_s: float = field(init=False, compare=False)
    """Silence that ends a Modbus frame (Modbus over serial line V1.02, section 2.5.1.1)."""

    def __post_init__(self) -> None:
        bits = 1 + self.data_bits + (self.parity != "N") + self.stop_bits
        length_s = bits / self.baudrate
        object.__setattr__(self, "character_bits", bits)
        object.__setattr__(self, "bit_s", 1 / self.baudrate)
        object.__setattr__(self, "character_s", length_s)
        object.__setattr__(
            self, "frame_end_s", 0.00175 if self.baudrate > 19_200 else 3.5 * length_s
        )

    @classmethod
    def of(cls, baudrate: int, bits: str) -> Self:
        """From a rate and bits as everybody writes them: `8N1`; raises Malformed."""
        if len(bits) != 3 or bits[0] not in "78" or bits[1] not in PARITIES or bits[2] not in "12":
            raise Malformed(f"bits are written like 8N1, 8E1 or 7E1, not {bits!r}")
        if not 50 <= baudrate <= 4_000_000:
            raise Malformed(f"a baud rate is 50 to 4,000,000, not {baudrate}")
        return cls(baudrate, int(bits[0]), bits[1], int(bits[2]))

    @property
    def bits(self) -> str:
        """As everybody writes them: `8N1`."""
        return f"{self.data_bits}{self.parity}{self.stop_bits}"

    def parity_bit(self, data: int) -> int:
        """The parity bit that belongs to the data bits."""
        return (data.bit_count() + (self.parity == "O")) & 1

    def levels(self, octet: int) -> int:
        """The character's levels, the first in bit 0."""
        data = octet & (1 << self.data_bits) - 1
        levels, length = data << 1, 1 + self.data_bits
        if self.parity != "N":
            levels |= self.parity_bit(data) << length
            length += 1
        return levels | (1 << self.stop_bits) - 1 << length


@dataclass(eq=False, slots=True)
class Burst:
    """Octets that one talker sends without a pause."""

    talker: object | None
    """Who; None is the master."""

    format: LineFormat
    """The talker's settings."""

    start_s: float
    """Begin of the first start bit."""

    octets: bytes
    """What it sends."""

    end_s: float = field(init=False)
    """End of the last stop bit."""

    def __post_init__(self) -> None:
        self.end_s = self.start_s + len(self.octets) * self.format.character_s

    def level(self, at_s: float) -> int:
        """The level it drives; it must be talking then."""
        bit = int((at_s - self.start_s) * self.format.baudrate + _SLACK)
        index, place = divmod(bit, self.format.character_bits)
        return self.format.levels(self.octets[min(index, len(self.octets) - 1)]) >> place & 1

    def next_edge_s(self, at_s: float) -> float | None:
        """Begin of the first bit after a moment, None when there is none."""
        if at_s < self.start_s - _SLACK * self.format.bit_s:
            return self.start_s
        bit = int((at_s - self.start_s) * self.format.baudrate + _SLACK) + 1
        if bit >= len(self.octets) * self.format.character_bits:
            return None
        return self.start_s + bit * self.format.bit_s


@dataclass(frozen=True, slots=True)
class Heard:
    """One character as a receiver took it."""

    octet: int
    """Its data bits."""

    start_s: float
    """Begin of what was taken for a start bit."""

    end_s: float
    """End of what was taken for the last stop bit."""

    talkers: tuple[object | None, ...]
    """Who drove the line meanwhile; None is the master."""

    sound: bool
    """Parity and stop bit were right."""


class Ear:
    """A receiver: takes characters off the line one after the other."""

    def __init__(self, format_: LineFormat, seed: int, ready_s: float) -> None:
        """Listen with these settings from that moment on."""
        self.format = format_
        self._seed = seed
        self._ready_s = ready_s
        self._start_s: float | None = None

    def next_s(self) -> float | None:
        """When the character that is being received will be complete."""
        return None if self._start_s is None else self._start_s + self.format.character_s

    def look(self, bursts: Sequence[Burst]) -> None:
        """Find the next start bit among what is, or will be, on the line."""
        at_s: float | None = self._ready_s
        while at_s is not None and self._level(bursts, at_s):
            edges = [edge for each in bursts if (edge := each.next_edge_s(at_s)) is not None]
            at_s = min(edges, default=None)
        self._start_s = at_s

    def take(self, bursts: Sequence[Burst]) -> Heard:
        """The complete character; then look for the next."""
        assert self._start_s is not None
        start_s, line = self._start_s, self.format
        end_s, slack_s = start_s + line.character_s, _SLACK * line.bit_s
        on = [b for b in bursts if b.start_s < end_s - slack_s and b.end_s > start_s + slack_s]
        sound = True
        octet = self._clean(on[0], start_s) if len(on) == 1 else None
        if octet is None:
            octet, sound = self._sampled(on, start_s)
        self._ready_s = end_s - (line.stop_bits - 0.5) * line.bit_s
        self.look(bursts)
        return Heard(octet, start_s, end_s, tuple(b.talker for b in on), sound)

    def _clean(self, burst: Burst, start_s: float) -> int | None:
        """An octet that nothing disturbs, without sampling."""
        if burst.format != self.format:
            return None
        place = (start_s - burst.start_s) / self.format.character_s
        index = round(place)
        if abs(place - index) > _SLACK:
            return None
        return burst.octets[index] & (1 << self.format.data_bits) - 1

    def _sampled(self, on: Sequence[Burst], start_s: float) -> tuple[int, bool]:
        line = self.format
        middles = [start_s + (place + 0.5) * line.bit_s for place in range(line.character_bits)]
        levels = [self._level(on, middle_s) for middle_s in middles]
        data = sum(level << place for place, level in enumerate(levels[1 : 1 + line.data_bits]))
        sound = all(levels[-line.stop_bits :])
        if line.parity != "N":
            sound = sound and levels[1 + line.data_bits] == line.parity_bit(data)
        return data, sound

    def _level(self, bursts: Sequence[Burst], at_s: float) -> int:
        slack_s = _SLACK * self.format.bit_s
        driven = {b.level(at_s) for b in bursts if b.start_s - slack_s <= at_s < b.end_s - slack_s}
        if len(driven) == 2:
            return zlib.crc32(struct.pack(">qd", self._seed, at_s)) & 1
        return driven.pop() if driven else 1
