"""A satellite receiver that speaks NMEA 0183: where the meter is, and what time it is.

Decides what is believed of a line that anybody may disturb: whole sentences with a right checksum,
from any talker, of which GGA gives the position (qualities 1 to 5: measured, not estimated, entered
or simulated), GST its standard deviations, RMC the time (valid status). Integers throughout. The
accuracy is the receiver's own from GST when that is fresh, else HDOP times 5 m. Leaves to `app` how
old a position may be, and to `clock` what the time is worth: it is that of the measurement, and the
sentence comes some hundred milliseconds later.
"""

import time

LONGEST = 100  # Bytes of a sentence; the standard ends them at 82.
AT_ONCE = 64  # Bytes taken in one step.
MEASURED = (b"1", b"2", b"3", b"4", b"5")
RANGE_ERROR_DM = 50  # One sigma, with an HDOP of 1.
GST_FRESH_MS = 5000
MOST_DM, MOST_AGE_S = 0xFFFF, 0xFF  # As `config` reckons when it asks whether a record fits.
E7 = 10000000
DAYS_BEFORE_2000 = 10957  # Since 1970.
MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Receiver:
    """The receiver at one UART."""

    def __init__(self, uart, ticks_ms, ticks_diff):
        """`uart` reads without blocking."""
        self._uart = uart
        self._ticks, self._diff = ticks_ms, ticks_diff
        self._last = ticks_ms()
        self._up_ms = 0
        self._line = b""
        self._fix = None  # (lat_e7, lon_e7, accuracy_dm, when by _up_ms)
        self._deviation = None  # (accuracy_dm, when)
        self._time = None  # (Unix ms, when)

    def step(self):
        """Take a little of what has come; never blocks. Call it often."""
        self._now()
        data = self._uart.read(AT_ONCE)
        if data:
            lines = (self._line + data).split(b"\n")
            # Of a sentence without an end nothing is of use.
            self._line = lines.pop()[-LONGEST:]
            for line in lines:
                self._take(line)

    def fix(self):
        """(lat_e7, lon_e7, accuracy_dm, age_s) of the last position, or None.

        Accuracy and age stay in what a record has room for: the largest stands for more as well.
        """
        if self._fix is None:
            return None
        latitude, longitude, accuracy_dm, when = self._fix
        age_s = (self._now() - when) // 1000
        return latitude, longitude, min(accuracy_dm, MOST_DM), min(age_s, MOST_AGE_S)

    def time(self):
        """(Unix s, ms that have passed since that second began), or None."""
        if self._time is None:
            return None
        unix_ms, when = self._time
        return unix_ms // 1000, unix_ms % 1000 + self._now() - when

    def _now(self):
        now = self._ticks()
        self._up_ms += self._diff(now, self._last)
        self._last = now
        return self._up_ms

    def _take(self, line):
        begin, end = line.rfind(b"$"), line.rfind(b"*")
        body = line[begin + 1 : end]
        if begin < 0 or end < begin or len(body) > LONGEST:
            return
        checksum = 0
        for byte in body:
            checksum ^= byte
        if line[end + 1 : end + 3].upper() != ("%02X" % checksum).encode():
            return
        fields = body.split(b",")
        read = READERS.get(fields[0][-3:])
        if read and len(fields[0]) == 5:
            try:
                read(self, fields)
            except (ValueError, IndexError):
                pass  # A sentence that means nothing, with a right checksum.

    def _position(self, fields):
        if fields[6] not in MEASURED:
            return
        latitude = _angle(fields[2], 90, fields[3], b"NS")
        longitude = _angle(fields[4], 180, fields[5], b"EW")
        accuracy_dm = _decimal(fields[8], 2) * RANGE_ERROR_DM // 100 + 1
        if self._deviation and self._now() - self._deviation[1] <= GST_FRESH_MS:
            accuracy_dm = self._deviation[0]
        self._fix = (latitude, longitude, accuracy_dm, self._now())

    def _deviations(self, fields):
        a, b = _decimal(fields[6], 2), _decimal(fields[7], 2)
        # No less than the root of the sum of squares, and at most an eighth more.
        self._deviation = ((max(a, b) + min(a, b) // 2) // 10 + 1, self._now())

    def _moment(self, fields):
        mode = fields[12] if len(fields) > 12 else b"A"
        if fields[2] != b"A" or mode not in (b"A", b"D", b"F", b"P", b"R"):
            return
        day_ms = _time_of_day_ms(fields[1])
        self._time = (_days(fields[9]) * 86400000 + day_ms, self._now())


READERS = {b"GGA": Receiver._position, b"GST": Receiver._deviations, b"RMC": Receiver._moment}


def _decimal(field, places):
    """A number without sign in units of 10**-places; what is smaller is cut off."""
    whole, _, part = field.partition(b".")
    digits = whole + (part + b"0" * places)[:places]
    if len(field) > 16 or not digits.isdigit() or not (whole + (part or b"0")).isdigit():
        raise ValueError
    return int(digits)


def _angle(field, limit, hemisphere, both):
    """(d)ddmm.mmmm and a letter in units of 1e-7 degrees."""
    minutes_e7 = _decimal(field, 7)
    degrees, minutes_e7 = minutes_e7 // (100 * E7), minutes_e7 % (100 * E7)
    value = degrees * E7 + (minutes_e7 + 30) // 60
    if minutes_e7 >= 60 * E7 or value > limit * E7 or len(hemisphere) != 1:
        raise ValueError
    return -value if both.index(hemisphere) else value


def _pairs(field):
    if len(field) != 6 or not field.isdigit():
        raise ValueError
    return int(field[:2]), int(field[2:4]), int(field[4:])


def _time_of_day_ms(field):
    hours, minutes, seconds = _pairs(field[:6])
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError
    fraction_ms = _decimal(b"0" + field[6:], 3)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction_ms


def _days(field):
    """Days since 1970 of ddmmyy, a year from 2000 to 2099."""
    day, month, year = _pairs(field)
    leap = year % 4 == 0
    if not 1 <= month <= 12 or not 1 <= day <= MONTHS[month - 1] + (leap and month == 2):
        raise ValueError
    before = sum(MONTHS[: month - 1]) + (leap and month > 2)
    return DAYS_BEFORE_2000 + 365 * year + (year + 3) // 4 + before + day - 1


def make(settings, board):
    """From {"kind": "nmea", "baudrate": 9600}."""
    uart = board.receiver_uart(settings.get("baudrate", 9600))
    return Receiver(uart, time.ticks_ms, time.ticks_diff)
