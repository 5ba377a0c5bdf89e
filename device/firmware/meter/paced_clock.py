"""The clock of a simulation whose network time runs faster than life; no meter in life loads it."""

import struct
import time

from meter.clock import SYNCHRONISED


class PacedClock:
    """The time of a simulation: 48 bytes that its pacer rewrites, the same for every process.

    u64 little-endian: generation, network ms, the wall clock's µs at which that held, rate (network
    ms per real ms, in millionths), the ms beyond which time does not run, the generation again.
    The one clock in which operating time passes at the network's pace.
    """

    adjusted = False
    known_since_ms = 0
    times_set, set_at_s = 1, 0

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
        return "kept"

    def start_from(self, kept_s, not_before_s):
        """Nor does the board's own clock."""
        return True

    def told(self, end_s):
        """Nothing is ever adjusted."""

    def evidence(self):
        """Synchronised, set once, at manufacture, to the second."""
        return [SYNCHRONISED, 1, 0, 1]


def make(settings, board):
    """What makes it, whatever is remembered of it."""
    return lambda times_set, set_at_s: PacedClock(settings["paced_time_file"])
