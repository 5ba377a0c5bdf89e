"""Modbus frames, told apart strictly: pure, bytes in, replies out.

pymodbus codes the PDUs and computes the CRC. Framing is ours, because a serial reply names neither
request nor register: pymodbus 3.16 hunts for a frame in whatever bytes came and hands the first
one of the right unit to whoever waits (measured: a reply that comes 50 ms after its time-out
becomes the answer to the next request, CRC valid, no error). Here a frame counts only when unit,
function and length are those of the one request in flight; anything else is stray.
"""

import struct
from dataclasses import dataclass
from typing import Protocol

from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
)

from wire.errors import Refused

READ_HOLDING, READ_INPUT, WRITE_MULTIPLE = 3, 4, 16
READS = (READ_HOLDING, READ_INPUT)
_FUNCTIONS = (1, 2, 3, 4, 5, 6, 15, 16)
_ERROR_BIT = 0x80
_ERROR_FRAME, _WRITE_FRAME, _READ_OVERHEAD = 5, 8, 5
_MOST_OVERHEARD = 256
_MBAP_HEAD = 7
_MOST_MBAP = 254

_decoder = DecodePDU(False)


class Garbled(Refused):
    """Bytes on the line that are no frame: a bad CRC, noise, two voices at once."""

    code = "garbled"


class DeviceRefused(Refused):
    """The device answered the request with an exception."""

    code = "device-refused"

    def __init__(self, exception: int) -> None:
        super().__init__(f"the device answered with Modbus exception {exception}")
        self.exception = exception
        """Exception code (Modbus application protocol V1.1b3, section 7)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to one device."""

    unit: int
    """Address of the device."""

    function: int
    """READ_HOLDING, READ_INPUT or WRITE_MULTIPLE."""

    address: int
    """First register, zero-based."""

    count: int
    """Number of registers."""

    values: tuple[int, ...] = ()
    """What to write."""

    @property
    def pdu(self) -> bytes:
        """Function code and data, as pymodbus codes them."""
        pdu: ModbusPDU
        if self.function == READ_HOLDING:
            pdu = ReadHoldingRegistersRequest(address=self.address, count=self.count)
        elif self.function == READ_INPUT:
            pdu = ReadInputRegistersRequest(address=self.address, count=self.count)
        else:
            pdu = WriteMultipleRegistersRequest(address=self.address, registers=list(self.values))
        return bytes([self.function]) + pdu.encode()

    @property
    def reply_size(self) -> int:
        """Octets of a serial line's reply that is no exception."""
        return _READ_OVERHEAD + 2 * self.count if self.function in READS else _WRITE_FRAME

    def accepts(self, reply: bytes) -> bool:
        """Whether a reply's PDU can be this request's: its function, and its length or address."""
        if reply[0] == self.function | _ERROR_BIT:
            return len(reply) == 2
        if reply[0] != self.function:
            return False
        if self.function in READS:
            return len(reply) == 2 + 2 * self.count and reply[1] == 2 * self.count
        return reply[1:] == struct.pack(">HH", self.address, self.count)


def registers(reply: bytes) -> tuple[int, ...]:
    """The registers of a reply that was accepted; raises DeviceRefused."""
    if reply[0] & _ERROR_BIT:
        raise DeviceRefused(reply[1])
    pdu = _decoder.decode(reply)
    if pdu is None:
        raise Garbled("a reply that cannot be decoded")
    return tuple(pdu.registers)


Stray = tuple[int, int]
"""Unit and octets of a sound frame that is not the answer to what was asked."""


class Framing(Protocol):
    """How requests and replies are put on a line."""

    echoes: int
    """How often the adapter heard its own request."""

    def frame(self, request: Request) -> bytes:
        """The bytes of a request."""

    def take(self, buffer: bytearray, request: Request) -> bytes | None:
        """Take the request's reply out of what came in; None when more must come.

        Frames that are not the request's are taken out and become strays.

        Raises:
            Garbled: what came is no frame.
        """

    def strays(self) -> list[Stray]:
        """The strays since it was last asked."""

    def overheard(self, octets: bytes) -> list[Stray]:
        """Sound frames among octets that nobody asked for."""


class RtuFraming:
    """Unit, PDU, CRC-16 (Modbus over serial line V1.02, section 2.5.1)."""

    def __init__(self) -> None:
        self.echoes = 0
        self._sent = b""
        self._strays: list[Stray] = []

    def frame(self, request: Request) -> bytes:
        """The bytes of a request."""
        body = bytes([request.unit]) + request.pdu
        self._sent = body + check_sum(body)
        return self._sent

    def take(self, buffer: bytearray, request: Request) -> bytes | None:
        """Take the request's reply; see `Framing`."""
        if self._may_be_echo(buffer):
            return None
        while (size := self._size(buffer)) and len(buffer) >= size:
            body, crc = bytes(buffer[: size - 2]), bytes(buffer[size - 2 : size])
            if crc != check_sum(body):
                raise Garbled("a frame with a bad CRC")
            del buffer[:size]
            if body[0] == request.unit and request.accepts(body[1:]):
                return body[1:]
            self._strays.append((body[0], size))
        return None

    def strays(self) -> list[Stray]:
        """The strays since it was last asked."""
        found, self._strays = self._strays, []
        return found

    def overheard(self, octets: bytes) -> list[Stray]:
        """Sound frames, wherever they begin; no further than one longest frame."""
        found: list[Stray] = []
        start, end = 0, min(len(octets), _MOST_OVERHEARD)
        while start + _ERROR_FRAME <= end:
            size = next((each for each in _sizes(octets[start:]) if _sound(octets, start, each)), 0)
            if size:
                found.append((octets[start], size))
            start += size or 1
        return found

    def _may_be_echo(self, buffer: bytearray) -> bool:
        """Take the adapter's echo of the request out; True while it may still be coming in.

        No reply looks like a whole read request: its third octet would have to be odd.
        """
        sent = self._sent
        if not sent or not buffer:
            return False
        if buffer.startswith(sent):
            del buffer[: len(sent)]
            self.echoes += 1
        elif sent.startswith(buffer):
            return True
        self._sent = b""
        return False

    @staticmethod
    def _size(buffer: bytearray) -> int:
        if len(buffer) < 3:
            return 0
        function = buffer[1]
        if function & _ERROR_BIT:
            return _ERROR_FRAME
        if function in READS:
            return _READ_OVERHEAD + buffer[2]
        if function == WRITE_MULTIPLE:
            return _WRITE_FRAME
        raise Garbled(f"a frame of function {function}, which nobody asked for")


def _sizes(octets: bytes) -> tuple[int, ...]:
    """How long a frame that begins here can be."""
    function = octets[1]
    if function & _ERROR_BIT:
        return (_ERROR_FRAME,)
    return (_READ_OVERHEAD + octets[2], _WRITE_FRAME) if function in _FUNCTIONS else ()


def _sound(octets: bytes, start: int, size: int) -> bool:
    body, end = octets[start : start + size - 2], start + size
    return end <= len(octets) and check_sum(body) == octets[end - 2 : end]


class TcpFraming:
    """MBAP header and PDU (Modbus messaging on TCP/IP V1.0b, section 3.1.3).

    Each request has a transaction number of its own.
    """

    def __init__(self) -> None:
        self.echoes = 0
        self._transaction = 0
        self._strays: list[Stray] = []

    def frame(self, request: Request) -> bytes:
        """The bytes of a request."""
        self._transaction = self._transaction % 0xFFFF + 1
        pdu = request.pdu
        return struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, request.unit) + pdu

    def take(self, buffer: bytearray, request: Request) -> bytes | None:
        """Take the request's reply; see `Framing`."""
        while len(buffer) >= _MBAP_HEAD:
            transaction, protocol, length, unit = struct.unpack(">HHHB", buffer[:_MBAP_HEAD])
            if protocol != 0 or not 3 <= length <= _MOST_MBAP:
                raise Garbled("not Modbus TCP")
            if len(buffer) < 6 + length:
                return None
            pdu = bytes(buffer[_MBAP_HEAD : 6 + length])
            del buffer[: 6 + length]
            if (transaction, unit) == (self._transaction, request.unit) and request.accepts(pdu):
                return pdu
            self._strays.append((unit, 6 + length))
        return None

    def strays(self) -> list[Stray]:
        """The strays since it was last asked."""
        found, self._strays = self._strays, []
        return found

    def overheard(self, octets: bytes) -> list[Stray]:
        """Whole frames from the start of what came."""
        found: list[Stray] = []
        while len(octets) >= _MBAP_HEAD:
            _, protocol, length, unit = struct.unpack(">HHHB", octets[:_MBAP_HEAD])
            size = 6 + length
            if protocol != 0 or not 3 <= length <= _MOST_MBAP or len(octets) < size:
                break
            found.append((unit, size))
            octets = octets[size:]
        return found


def check_sum(body: bytes) -> bytes:
    """The CRC-16 of an RTU frame, low byte first (Modbus over serial line V1.02, section 6.2.2)."""
    return FramerRTU.compute_CRC(body).to_bytes(2, "big")
