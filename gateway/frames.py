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
_READS = (READ_HOLDING, READ_INPUT)
_ERROR_BIT = 0x80
_ERROR_FRAME, _WRITE_FRAME, _READ_OVERHEAD = 5, 8, 5
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

    def accepts(self, reply: bytes) -> bool:
        """Whether a reply's PDU can be this request's: its function, and its length or address."""
        if reply[0] == self.function | _ERROR_BIT:
            return len(reply) == 2
        if reply[0] != self.function:
            return False
        if self.function in _READS:
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


class Framing(Protocol):
    """How requests and replies are put on a line."""

    def frame(self, request: Request) -> bytes:
        """The bytes of a request."""

    def take(self, buffer: bytearray, request: Request) -> bytes | None:
        """Take the request's reply out of what came in; None when more must come.

        Frames that are not the request's are taken out and forgotten.

        Raises:
            Garbled: what came is no frame.
        """


class RtuFraming:
    """Unit, PDU, CRC-16 (Modbus over serial line V1.02, section 2.5.1)."""

    def frame(self, request: Request) -> bytes:
        """The bytes of a request."""
        body = bytes([request.unit]) + request.pdu
        return body + check_sum(body)

    def take(self, buffer: bytearray, request: Request) -> bytes | None:
        """Take the request's reply; see `Framing`."""
        while (size := self._size(buffer)) and len(buffer) >= size:
            body, crc = bytes(buffer[: size - 2]), bytes(buffer[size - 2 : size])
            if crc != check_sum(body):
                raise Garbled("a frame with a bad CRC")
            del buffer[:size]
            if body[0] == request.unit and request.accepts(body[1:]):
                return body[1:]
        return None

    @staticmethod
    def _size(buffer: bytearray) -> int:
        if len(buffer) < 3:
            return 0
        function = buffer[1]
        if function & _ERROR_BIT:
            return _ERROR_FRAME
        if function in _READS:
            return _READ_OVERHEAD + buffer[2]
        if function == WRITE_MULTIPLE:
            return _WRITE_FRAME
        raise Garbled(f"a frame of function {function}, which nobody asked for")


class TcpFraming:
    """MBAP header and PDU (Modbus messaging on TCP/IP V1.0b, section 3.1.3).

    Each request has a transaction number of its own.
    """

    def __init__(self) -> None:
        self._transaction = 0

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
        return None


def check_sum(body: bytes) -> bytes:
    """The CRC-16 of an RTU frame, low byte first (Modbus over serial line V1.02, section 6.2.2)."""
    return FramerRTU.compute_CRC(body).to_bytes(2, "big")
