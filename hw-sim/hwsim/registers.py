"""What a meter's registers hold and which questions it answers: one idea for every simulated meter.

Decides how a flow of energy becomes registers and how a Modbus request becomes a reply; which
register holds what is a vendor's business (`hwsim.vendors`). The same maps answer on a simulated
RS-485 line (`hwsim.modbus_device`) and over Modbus TCP (`hwsim.meters`).
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

READ_HOLDING, READ_INPUT, WRITE_SINGLE, WRITE_MULTIPLE = 3, 4, 6, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, BUSY = 1, 2, 3, 4, 6
ERROR_BIT = 0x80


@dataclass(frozen=True, slots=True)
class Flow:
    """What flows through a meter, and what it has counted."""

    import_mwh: int | None
    """Energy taken, mWh; None: the meter does not know, and says so in its own way."""

    export_mwh: int | None
    """Energy given, mWh."""

    phase_w: tuple[float, ...]
    """Power of each phase, positive into the customer."""

    volts: float = 230.0
    """Of each phase to neutral."""

    hertz: float = 50.0
    """Frequency."""

    @property
    def watts(self) -> float:
        """Power of all phases."""
        return sum(self.phase_w)

    def amperes(self, phase: int) -> float:
        """Current of a phase."""
        return abs(self.phase_w[phase]) / self.volts if self.volts else 0.0


Curve = Callable[[float], Flow]
"""What flows at a time of the line, seconds."""


class RegisterMap(ABC):
    """Registers of one model of meter. A vendor's class says what is special."""

    functions: tuple[int, ...] = (READ_HOLDING, READ_INPUT)
    """Functions that read the energy registers."""

    most_words = 125
    """Registers in one answer."""

    readable: tuple[range, ...] = ()
    """Where registers are; those that `words` does not give are 0."""

    baudrate = 9_600
    """As it leaves the factory."""

    bits = "8N1"
    """Likewise."""

    silence_s = 0.0
    """Silence that it needs before a request."""

    @abstractmethod
    def words(self, flow: Flow) -> Mapping[int, int]:
        """Registers by address."""

    def read(self, function: int, address: int, count: int, flow: Flow) -> list[int] | int:
        """Registers, or the exception that refuses them."""
        if function not in self.functions:
            return ILLEGAL_FUNCTION
        refusal = self.refusal(address, count)
        if refusal:
            return refusal
        words = self.words(flow)
        return [words.get(each, 0) for each in range(address, address + count)]

    def refusal(self, address: int, count: int) -> int:
        """The exception that refuses to read these registers, 0 for none."""
        if not 1 <= count <= self.most_words:
            return ILLEGAL_VALUE
        inside = any(address in each and address + count - 1 in each for each in self.readable)
        return 0 if inside else ILLEGAL_ADDRESS

    def write(self, address: int, values: Sequence[int]) -> int:
        """Take registers; the exception that refuses them, 0 for none."""
        return ILLEGAL_ADDRESS

    def special(self, pdu: bytes, flow: Flow) -> bytes | None:
        """The reply to a function of the vendor's own; None: it has no such function."""
        return None

    def answer(self, pdu: bytes, flow: Flow) -> bytes:
        """The reply to a request; both are function code and data."""
        function = pdu[0]
        reply = self.special(pdu, flow)
        if reply is not None:
            return reply
        if function in (READ_HOLDING, READ_INPUT) and len(pdu) == 5:
            address, count = struct.unpack(">HH", pdu[1:])
            read = self.read(function, address, count, flow)
            if isinstance(read, int):
                return bytes([function | ERROR_BIT, read])
            return struct.pack(f">BB{len(read)}H", function, 2 * len(read), *read)
        values = _written(pdu)
        if values is None:
            return bytes([function | ERROR_BIT, ILLEGAL_FUNCTION])
        refusal = self.write(int.from_bytes(pdu[1:3], "big"), values)
        return bytes([function | ERROR_BIT, refusal]) if refusal else pdu[:5]


def _written(pdu: bytes) -> tuple[int, ...] | None:
    """What a request writes, None when it is no write."""
    if pdu[0] == WRITE_SINGLE and len(pdu) == 5:
        return struct.unpack(">H", pdu[3:])
    if pdu[0] == WRITE_MULTIPLE and len(pdu) > 6 and len(pdu) == 6 + pdu[5]:
        count = int.from_bytes(pdu[3:5], "big")
        if count and pdu[5] == 2 * count:
            return struct.unpack(f">{count}H", pdu[6:])
    return None


def big(value: int, words: int) -> list[int]:
    """An integer in that many registers, high word first; wraps, negative in two's complement."""
    value &= (1 << 16 * words) - 1
    return [value >> 16 * place & 0xFFFF for place in reversed(range(words))]


def little(value: int, words: int) -> list[int]:
    """An integer in that many registers, low word first."""
    return big(value, words)[::-1]


def float32(value: float) -> list[int]:
    """An IEEE 754 single in two registers, high word first."""
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def text(value: str, words: int) -> list[int]:
    """ASCII, two characters a register, padded with NUL."""
    octets = value.encode("ascii")[: 2 * words].ljust(2 * words, b"\0")
    return list(struct.unpack(f">{words}H", octets))


def lay(registers: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Registers by address from values by their first address."""
    return {
        first + place: word
        for first, words in registers.items()
        for place, word in enumerate(words)
    }
