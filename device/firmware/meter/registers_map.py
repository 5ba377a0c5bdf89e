"""What a Modbus master sees: SunSpec's models, and the window to the signed records and events.

Decides the addresses. From 40000 the map is SunSpec's (`meter.sunspec`). From 0xF000 it is ours:
identity, key, state, time, and one record or event at a time, chosen by its number; numbers from
2^31 on are events. A master checks the number that came with the bytes, as another may have chosen
meanwhile; the signed bytes carry it too.
"""

import struct

from meter import sunspec

WINDOW = 0xF000
WINDOW_SIZE = 256
LAYOUT = 1
WANTED, IN_WINDOW, SNAPSHOT, METER_ID, PUBLIC_KEY, STATUS = 6, 8, 11, 16, 56, 88
TIME, RECORD = 100, 128
_EVENTS = 1 << 31
_NONE = 0xFFFFFFFF
ILLEGAL_VALUE, BUSY = 3, 6
_U32 = 0xFFFFFFFF


def _text(value, size):
    data = value.encode()[:size]
    return data + bytes(size - len(data))


class RegistersMap:
    """The registers of one meter, which is asked when they are read."""

    def __init__(self, meter, name, public):
        """`meter` is the application, `name` its id."""
        self._meter = meter
        self._loaded = _NONE
        self._record = b""
        self._wanted = [0, 0]
        self._time = [0] * 4
        self._time_written = 0
        self._identity = _text(name, 80) + public

    def _window(self):
        """The window as bytes, made when it is read."""
        meter = self._meter
        data = bytearray(2 * WINDOW_SIZE)
        struct.pack_into(
            ">2sHLLHHLHHLL",
            data,
            0,
            b"EW",
            LAYOUT,
            meter.records.head,
            meter.records.tail,
            self._wanted[0],
            self._wanted[1],
            self._loaded,
            len(self._record),
            meter.snapshot_waits,
            meter.events.head,
            meter.events.tail,
        )
        data[2 * METER_ID : 2 * METER_ID + len(self._identity)] = self._identity
        status, evidence, boots, operating_s, now_s = meter.moments()
        quality, times_set, _, error_s = evidence
        error_s = min(error_s, 0xFFFF)
        numbers = (times_set & _U32, boots & _U32, operating_s & _U32, now_s & _U32)
        struct.pack_into(">LHHLLLL", data, 2 * STATUS, status, quality, error_s, *numbers)
        struct.pack_into(">4H", data, 2 * TIME, *self._time)
        data[2 * RECORD : 2 * RECORD + len(self._record)] = self._record
        return data

    def read(self, address, count):
        """The registers' bytes, or None when one of them does not exist."""
        if address >= WINDOW:
            base, data = WINDOW, self._window()
        elif address >= sunspec.START:
            base, data = sunspec.START, self._meter.sunspec()
        else:
            return None
        start = 2 * (address - base)
        if start + 2 * count > len(data):
            return None
        return bytes(data[start : start + 2 * count])

    def write(self, address, words):
        """Write registers: True, or with nothing changed False (no such) or an exception code."""
        first = address - WINDOW
        after = first + len(words)
        if first >= WANTED and after <= WANTED + 2:
            self._want(first - WANTED, words)
        elif first == SNAPSHOT and after == SNAPSHOT + 1:
            if words[0] != 1:
                return ILLEGAL_VALUE
            return self._meter.snapshot() or BUSY
        elif first >= TIME and after <= TIME + 4:
            return self._take_time(first - TIME, words)
        else:
            return False
        return True

    def _want(self, at, words):
        """Load the record or event when the number's low word is written."""
        self._wanted[at : at + len(words)] = words
        if at + len(words) == 2:
            number = self._wanted[0] << 16 | self._wanted[1]
            if number >= _EVENTS:
                record = self._meter.events.read(number - _EVENTS)
            else:
                record = self._meter.records.read(number)
            self._loaded = _NONE if record is None else number
            self._record = record or b""

    def _take_time(self, at, words):
        """Seconds high and low, milliseconds, error: acted on when all four have come."""
        for i, word in enumerate(words):
            self._time[at + i] = word
            self._time_written |= 1 << (at + i)
        if self._time_written != 15:
            return True
        self._time_written = 0
        high, low, milliseconds, error_s = self._time
        taken = self._meter.give_time((high << 16 | low) * 1000 + milliseconds, error_s)
        return BUSY if taken is None else taken or ILLEGAL_VALUE
