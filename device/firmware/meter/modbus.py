"""Modbus RTU server (Modbus over Serial Line 1.02, Application Protocol 1.1b3): FC 03, 04, 06, 16.

Decides what is a frame and what is the answer. A frame is told by its length and its CRC, not by
the silence of 3.5 characters, which no operating system keeps; silence only ends a frame that will
never be whole. Whatever is not a whole frame to this unit with a good CRC gets no answer and
changes nothing. The map behind it decides which registers exist: an object with
`read(address, count) -> bytes or None` and `write(address, words) -> bool`.
"""

import struct

READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY = 3, 4, 6, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
MOST_READ, MOST_WRITTEN = 125, 123
BROADCAST = 0
LONGEST_FRAME = 256
_EIGHT_BYTES = (1, 2, READ_HOLDING, READ_INPUT, 5, WRITE_ONE)  # Also those that are refused here.
_COUNTED = (15, WRITE_MANY)


def crc16(data):
    """The CRC of a frame, low byte first on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def with_crc(frame):
    """The frame as it goes on the wire."""
    return frame + struct.pack("<H", crc16(frame))


class Server:
    """Bytes in, answers out; the line itself belongs to the caller."""

    def __init__(self, unit, registers):
        """Answer for `unit` (1 to 247) with the given map."""
        self.unit = unit
        self._registers = registers
        self._buffer = b""

    @property
    def waiting(self):
        """True when part of a frame is here: call `silence` if the rest does not come."""
        return bool(self._buffer)

    def feed(self, data):
        """Take bytes from the line; return the answer to send, or b""."""
        self._buffer += data
        return self._scan(False)

    def silence(self):
        """The line has been silent: what is here now can only be garbage in front of a frame."""
        return self._scan(True)

    def _scan(self, ended):
        """Answer the first whole frame; bytes that cannot begin one are dropped."""
        while self._buffer:
            if self._buffer[0] == self.unit or self._buffer[0] == BROADCAST:
                size = self._size(ended)
                if size > len(self._buffer) and not ended:
                    return b""
                frame = self._buffer[:size]
                if 4 <= len(frame) == size and crc16(frame) == 0:
                    self._buffer = self._buffer[size:]
                    return self._answer(frame[0], frame[1:-2])
            self._buffer = self._buffer[1:]
        return b""

    def _size(self, ended):
        """Bytes of the frame that begins here; of an unknown function, whatever came by its end."""
        buffer = self._buffer
        if len(buffer) < 2:
            return 2
        if buffer[1] in _EIGHT_BYTES:
            return 8
        if buffer[1] in _COUNTED:
            return 9 + buffer[6] if len(buffer) > 6 else 9
        if buffer[0] == BROADCAST or len(buffer) > LONGEST_FRAME:
            return 0
        return len(buffer) + (not ended)

    def _answer(self, unit, pdu):
        result = self._perform(pdu)
        if unit == BROADCAST:
            return b""
        if isinstance(result, int):
            result = bytes((pdu[0] | 0x80, result))
        return with_crc(bytes((self.unit,)) + result)

    def _perform(self, pdu):
        """The answer's PDU, or an exception code."""
        if pdu[0] in (READ_HOLDING, READ_INPUT):
            return self._read(pdu)
        if pdu[0] == WRITE_ONE:
            address, value = struct.unpack(">HH", pdu[1:])
            return pdu if self._registers.write(address, (value,)) else ILLEGAL_ADDRESS
        if pdu[0] == WRITE_MANY:
            return self._write_many(pdu)
        return ILLEGAL_FUNCTION

    def _read(self, pdu):
        address, count = struct.unpack(">HH", pdu[1:])
        if not 1 <= count <= MOST_READ:
            return ILLEGAL_VALUE
        data = self._registers.read(address, count)
        if data is None:
            return ILLEGAL_ADDRESS
        return bytes((pdu[0], len(data))) + data

    def _write_many(self, pdu):
        address, count, size = struct.unpack(">HHB", pdu[1:6])
        if not 1 <= count <= MOST_WRITTEN or size != 2 * count:
            return ILLEGAL_VALUE
        words = struct.unpack(">%dH" % count, pdu[6:])
        return pdu[:5] if self._registers.write(address, words) else ILLEGAL_ADDRESS
