"""Modbus RTU server (Modbus over Serial Line 1.02, Application Protocol 1.1b3): FC 03, 04, 06, 16.

Decides what is a frame and what is the answer. A frame is told by its length and its CRC, not by
the silence of 3.5 characters, which no operating system keeps. From a silence on, frames between
others are stepped over whole, so that nothing inside them is taken for a frame. Behind bytes that
nobody understands this is in step no more until the next silence: it still answers reads, wherever
one begins, and writes nothing, as the book would have all of it dropped. Of several requests in one
burst all writes are done and only the last is answered: who asks again has given up the answer
before, and would take it for the next. Whatever is not a whole frame to this unit with a good CRC
gets no answer and changes nothing.

The map behind it decides which registers exist: an object with `read(address, count)`, which
returns bytes or None, and `write(address, words)`, which returns True, False when one of the
registers cannot be written, or the exception code to answer with.
"""

import struct
from array import array

READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY = 3, 4, 6, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, DEVICE_BUSY = 1, 2, 3, 4, 6
MOST_READ, MOST_WRITTEN = 125, 123
BROADCAST = 0
LONGEST_FRAME = 256
_READS = (1, 2, READ_HOLDING, READ_INPUT)
_SINGLE = (5, WRITE_ONE)
_COUNTED = (15, WRITE_MANY)
_WRITES = (WRITE_ONE, WRITE_MANY)
_NO_ADDRESS = b"\x00\xff"  # What a line makes by itself when a driver is turned on or off.
_MORE = -1


def _crc_table():
    table = array("H", range(256))
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table[i] = crc
    return table


_TABLE = _crc_table()  # 512 bytes, for nine times the speed of the loop over bits.


def crc16(data):
    """The CRC of a frame, low byte first on the wire; 0 over a frame with its own."""
    crc = 0xFFFF
    table = _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def with_crc(frame):
    """The frame as it goes on the wire."""
    return frame + struct.pack("<H", crc16(frame))


def _our_sizes(buffer, at, have, ended):
    """Sizes of a request to us; of an unknown function whatever came by its end."""
    function = buffer[at + 1]
    if function & 0x80:
        return (5,)
    if function in _READS or function in _SINGLE:
        return (8,)
    if function in _COUNTED:
        return (9 + buffer[at + 6],) if have > 6 else (7,)
    return (have if ended else have + 1,)


def _others_sizes(buffer, at, have):
    """Sizes of a frame between a master and another or every unit, a request or an answer."""
    function = buffer[at + 1]
    if function in _READS:
        return (8, 5 + buffer[at + 2]) if have > 2 else (3,)
    if function in _SINGLE:
        return (8,)
    if function in _COUNTED:
        return (8, 9 + buffer[at + 6] if have > 6 else 7)
    return (5,) if function & 0x80 else ()


class Server:
    """Bytes in, answers out; the line itself belongs to the caller."""

    def __init__(self, unit, registers):
        """Answer for `unit` (1 to 247) with the given map."""
        self.unit = unit
        self._registers = registers
        self._buffer = b""
        self._in_step = True  # Since the last silence everything made sense.

    @property
    def waiting(self):
        """True when something here has no sense yet: call `silence` if no more comes."""
        return bool(self._buffer) or not self._in_step

    def feed(self, data):
        """Take bytes from the line, 256 at a time; return the answer to send, or b""."""
        self._buffer += data
        return self._take(False)

    def silence(self):
        """The line has been silent: what is here now is whole or will never be."""
        answer = self._take(True)
        self._in_step = True
        return answer

    def _take(self, ended):
        """Step over the frames that are here; obey those that are ours, answer the last."""
        buffer, last, at = self._buffer, b"", 0
        while at < len(buffer):
            if not self._in_step and buffer[at] != self.unit:
                at += 1
                continue
            size = self._size(buffer, at, ended)
            if size == _MORE:
                break
            if size:
                if last and last[1] in _WRITES:
                    self._answer(last)
                last = buffer[at : at + size]
            elif buffer[at] not in _NO_ADDRESS:
                self._in_step = False
            at += size or 1
        self._buffer = buffer[at:]
        return self._answer(last) if last else b""

    def _size(self, buffer, at, ended):
        """Bytes of the good frame that begins here; 0 when none does, _MORE when one may."""
        have = len(buffer) - at
        more = False
        for size in self._sizes(buffer, at, have, ended):
            if size > LONGEST_FRAME:
                continue
            if size > have:
                more = True
            elif size >= 4 and crc16(memoryview(buffer)[at : at + size]) == 0:
                return size
        return _MORE if more and not ended else 0

    def _sizes(self, buffer, at, have, ended):
        """The sizes that a frame can have that begins here; more than is here while unknown."""
        if have < 2:
            return (2,)
        unit, function = buffer[at], buffer[at + 1]
        if not self._in_step:
            return (8,) if function in _READS else ()
        if unit != self.unit:
            return _others_sizes(buffer, at, have)
        return _our_sizes(buffer, at, have, ended)

    def _answer(self, frame):
        """Do what a frame says; return the answer to send, b"" when nobody expects ours."""
        unit, function = frame[0], frame[1]
        if unit == BROADCAST:
            if function not in _WRITES:
                return b""
        elif unit != self.unit or function & 0x80:  # An answer asks nothing.
            return b""
        pdu = frame[1:-2]
        try:
            result = self._perform(pdu)
        except OSError:  # The flash does not give or take what is asked for.
            result = DEVICE_FAILURE
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
            return self._write(address, (value,), pdu)
        if pdu[0] == WRITE_MANY:
            return self._write_many(pdu)
        return ILLEGAL_FUNCTION

    def _read(self, pdu):
        address, count = struct.unpack(">HH", pdu[1:])
        if not 1 <= count <= MOST_READ:
            return ILLEGAL_VALUE
        data = None
        if address + count <= 0x10000:
            data = self._registers.read(address, count)
        if data is None:
            return ILLEGAL_ADDRESS
        return bytes((pdu[0], len(data))) + data

    def _write_many(self, pdu):
        address, count, size = struct.unpack(">HHB", pdu[1:6])
        if not 1 <= count <= MOST_WRITTEN or size != 2 * count:
            return ILLEGAL_VALUE
        return self._write(address, struct.unpack(">%dH" % count, pdu[6:]), pdu[:5])

    def _write(self, address, words, answer):
        if address + len(words) > 0x10000:
            return ILLEGAL_ADDRESS
        done = self._registers.write(address, words)
        if done is True:
            return answer
        return done or ILLEGAL_ADDRESS
