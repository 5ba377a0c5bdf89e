"""Network time on the board: what time it is, and what that is worth as evidence (field 14).

Decides when a clock may be believed. A clock that was never set tells no time at all: `now_ms`
returns None and the meter closes no interval. Operating time is the clock's other half: it only
grows, and never stands for a date.

`BusClock` is a meter in life: time is given over the bus and kept by the board's ticks.
`PacedClock` reads the file of a simulation whose network time runs faster than life.
"""

import struct
import time

UNKNOWN, SET, SYNCHRONISED = 0, 1, 2
EPOCH_S = 946684800 if time.gmtime(0)[0] == 2000 else 0  # Unix s at the zero of `time`.
DRIFT_PPM = 50  # A plain crystal over -20..60 °C, with room.
SYNCHRONISED_WITHIN_MS = 9000  # 1 % of the interval (PTB-A 50.8); beyond it quality drops.


class BusClock:
    """A clock that a master sets over the bus; unset after each reset, as most boards are.

    Time given within its own error bound disciplines it; anything further away sets it anew,
    which is counted and marks the interval.
    """

    def __init__(self, ticks_ms, ticks_diff, times_set=0, set_at_s=0):
        """Begin unset; the two numbers are what earlier boots remember of being set."""
        self._ticks, self._diff = ticks_ms, ticks_diff
        self._last = ticks_ms()
        self._up_ms = 0
        self._anchor = None  # (network ms, uptime ms) of the last time given.
        self._error_ms = 0
        self.times_set = times_set
        self.set_at_s = set_at_s
        self.adjusted = False

    def up_ms(self):
        """Milliseconds since this boot; call it more often than the ticks wrap (days)."""
        now = self._ticks()
        self._up_ms += self._diff(now, self._last)
        self._last = now
        return self._up_ms

    def now_ms(self):
        """Network time, or None while it was never set."""
        up = self.up_ms()
        if self._anchor is None:
            return None
        return self._anchor[0] + up - self._anchor[1]

    def _error_now_ms(self):
        return self._error_ms + (self.up_ms() - self._anchor[1]) * DRIFT_PPM // 1000000 + 1

    def give(self, network_ms, error_s, operating_s):
        """Take the time from a master, with the bound that it gives for its own error."""
        now = self.now_ms()
        error_ms = error_s * 1000
        if now is None or abs(network_ms - now) > self._error_now_ms() + error_ms:
            self.adjusted = now is not None
            self.times_set += 1
            self.set_at_s = operating_s
        self._anchor = (network_ms, self.up_ms())
        self._error_ms = error_ms

    def evidence(self):
        """[quality, times set, operating seconds when last set, error bound s]."""
        if self._anchor is None:
            return [UNKNOWN, self.times_set, self.set_at_s, 0]
        error_ms = self._error_now_ms()
        quality = SYNCHRONISED if error_ms <= SYNCHRONISED_WITHIN_MS else SET
        return [quality, self.times_set, self.set_at_s, (error_ms + 999) // 1000]


class PacedClock:
    """The time of a simulation: 48 bytes that its pacer rewrites, the same for every process.

    u64 little-endian: generation, network ms, the wall clock's µs at which that held, rate (network
    ms per real ms, in millionths), the ms beyond which time does not run, the generation again.
    The one clock in which operating time passes at the network's pace.
    """

    adjusted = False

    def __init__(self, path):
        """Read the file, which must exist: a meter of a paced world has no other clock."""
        self._path = path
        self._buffer = bytearray(48)
        self._latest = 0
        while not self.now_ms():
            pass  # Caught in the middle of a write, or made and not yet filled.
        self._booted = self._latest

    def now_ms(self):
        """Network time; never runs backwards, and stands while the file is being rewritten."""
        with open(self._path, "rb") as f:
            size = f.readinto(self._buffer)
        first, network_ms, anchor_us, rate_ppm, limit_ms, last = struct.unpack("<6Q", self._buffer)
        if size == 48 and first == last:
            passed_us = time.time_ns() // 1000 - anchor_us
            now = min(limit_ms, network_ms + passed_us * rate_ppm // 1000000000)
            self._latest = max(self._latest, now)
        return self._latest

    def up_ms(self):
        """Network milliseconds since this boot."""
        return self.now_ms() - self._booted

    def give(self, network_ms, error_s, operating_s):
        """Time over the bus means nothing here."""

    def evidence(self):
        """Synchronised, set once, at manufacture, to the second."""
        return [SYNCHRONISED, 1, 0, 1]
