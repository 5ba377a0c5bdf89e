"""What a Modbus master sees: SunSpec models 1 and 203, and the window to the signed records.

Decides the addresses. From 40000 the map is SunSpec's ("SunS", common model, three-phase wye meter,
end), so that its tools read this meter; points that the meter does not measure carry SunSpec's "not
implemented". From 0xF000 it is ours: identity, key, time, and one record at a time, chosen by its
sequence. A master checks the sequence that came with the bytes, as another may have chosen
meanwhile; the record itself carries it too.
"""

import struct

from meter import sunspec

WINDOW = 0xF000
WINDOW_SIZE = 256
LAYOUT = 1
WANTED, IN_WINDOW, METER_ID, PUBLIC_KEY, TIME, RECORD = 6, 8, 16, 56, 100, 128
NONE = 0xFFFFFFFF


def _text(value, size):
    data = value.encode()[:size]
    return data + bytes(size - len(data))


class RegistersMap:
    """The registers of one meter, over its log."""

    def __init__(self, meter, public, log, on_time):
        """`on_time(network_ms, error_s)` is called when a master has given the time."""
        self._log = log
        self._on_time = on_time
        self._loaded = NONE
        self._record = b""
        self._wanted = [0, 0]
        self._time = [0] * 4
        self._time_written = 0
        self._identity = _text(meter, 80) + public
        self.sunspec = b""

    def _window(self):
        """The window as bytes, made when it is read."""
        head = struct.pack(
            ">2sHLLHHLH",
            b"EW",
            LAYOUT,
            self._log.head,
            self._log.tail,
            self._wanted[0],
            self._wanted[1],
            self._loaded,
            len(self._record),
        )
        data = bytearray(2 * WINDOW_SIZE)
        data[: len(head)] = head
        data[2 * METER_ID : 2 * METER_ID + len(self._identity)] = self._identity
        struct.pack_into(">4H", data, 2 * TIME, *self._time)
        data[2 * RECORD : 2 * RECORD + len(self._record)] = self._record
        return data

    def read(self, address, count):
        """The registers' bytes, or None when one of them does not exist."""
        if address >= WINDOW:
            base, data = WINDOW, self._window()
        else:
            base, data = sunspec.START, self.sunspec
        start = 2 * (address - base)
        if start < 0 or start + 2 * count > len(data):
            return None
        return bytes(data[start : start + 2 * count])

    def write(self, address, words):
        """Write registers; False, with nothing changed, when one of them cannot be written."""
        first = address - WINDOW
        after = first + len(words)
        if first >= WANTED and after <= WANTED + 2:
            self._want(first - WANTED, words)
        elif first >= TIME and after <= TIME + 4:
            self._take_time(first - TIME, words)
        else:
            return False
        return True

    def _want(self, at, words):
        """Load the record when the sequence's low word is written."""
        self._wanted[at : at + len(words)] = words
        if at + len(words) == 2:
            sequence = self._wanted[0] << 16 | self._wanted[1]
            record = self._log.read(sequence)
            self._loaded = NONE if record is None else sequence
            self._record = record or b""

    def _take_time(self, at, words):
        """Seconds high and low, milliseconds, error: acted on when all four have come."""
        for i, word in enumerate(words):
            self._time[at + i] = word
            self._time_written |= 1 << (at + i)
        if self._time_written == 15:
            self._time_written = 0
            high, low, milliseconds, error_s = self._time
            self._on_time((high << 16 | low) * 1000 + milliseconds, error_s)
