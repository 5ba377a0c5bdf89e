"""A meter on an RS-485 line that speaks Modbus RTU.

Decides what it takes for a request to itself, and when it answers. What it answers is its register
map's business (`hwsim.registers`), what flows through it its curve's (`hwsim.curves`).
"""

from collections.abc import Callable
from random import Random

from hwsim.registers import Curve, RegisterMap
from hwsim.rs485 import Device, Transmission
from hwsim.uart import LineFormat

BROADCAST = 0
USUAL_DELAY_S = 0.03
"""What meters take to answer, after the silence that ends a request."""

Delay = Callable[[Random], float]
"""Seconds from the end of a request to the begin of its answer."""


def always(delay_s: float) -> Delay:
    """The same delay each time."""
    return lambda _: delay_s


def between(least_s: float, most_s: float) -> Delay:
    """Any delay between two."""
    return lambda random: random.uniform(least_s, most_s)


def usually(median_s: float, spread: float) -> Delay:
    """Log-normal: most near the median, some much later; `spread` 0.5 is a lively meter."""
    return lambda random: median_s * random.lognormvariate(0.0, spread)


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes, start: int = 0xFFFF) -> int:
    """CRC-16 with the reflected polynomial 0xA001: of Modbus, and from 0 on of DSMR telegrams."""
    crc = start
    for octet in data:
        crc = crc >> 8 ^ _CRC[(crc ^ octet) & 0xFF]
    return crc


def check_sum(data: bytes) -> bytes:
    """CRC-16 of Modbus RTU, low byte first (Modbus over serial line V1.02, section 6.2.2)."""
    return crc16(data).to_bytes(2, "little")


def with_check_sum(data: bytes) -> bytes:
    """A frame: unit, function and data, followed by their check sum."""
    return data + check_sum(data)


class ModbusDevice(Device):
    """One unit of a line."""

    def __init__(
        self,
        unit: int,
        registers: RegisterMap,
        curve: Curve,
        delay: Delay | None = None,
        line: LineFormat | None = None,
        seed: int = 0,
    ) -> None:
        """Put a meter on a line.

        Args:
            unit: its address.
            registers: its model.
            curve: what flows through it.
            delay: how long it takes to answer; None: USUAL_DELAY_S.
            line: its own settings; None: the line's.
            seed: of its delays.
        """
        self.unit = unit
        self.registers = registers
        self.curve = curve
        self.silence_s = registers.silence_s
        self.line = line
        self._delay = delay or always(USUAL_DELAY_S)
        self._random = Random(f"{seed}/{unit}")

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        """Answer a sound frame to this unit."""
        if len(frame) < 4 or check_sum(frame[:-2]) != frame[-2:]:
            return []
        if frame[0] not in (self.unit, BROADCAST):
            return []
        reply = self.registers.answer(frame[1:-2], self.curve(now_s))
        if frame[0] == BROADCAST:
            return []
        whole = with_check_sum(bytes([self.unit]) + reply)
        return [Transmission(self._delay(self._random), whole)]
