"""Runs the whole meter on a flash made by `year`: `whole.py IMAGE MODULES FRAMES ANSWERS`.

Decides what stands for the board: an RS-485 line whose requests are a file (a byte with the length
before each), whose answers go to another, and which ends the program when there are no more; a
clock that goes on by 250 ms whenever it is looked at. All this lives in the same heap, so it tells
its own share, and in the end what is in use.
"""
# ruff: noqa: SIM115

import gc
import io
import select
import sys
import time

from bench.flash import insert


class Line(io.IOBase):
    """The line: there is always a next request."""

    def ioctl(self, request, argument):
        """Ready to be read."""
        return argument & select.POLLIN if request == 3 else 0

    def read(self, size=256):
        """The next request, or the end."""
        length = frames.read(1)
        if not length:
            gc.collect()
            print("in use:", gc.mem_alloc())
            answers.close()
            sys.exit()
        return frames.read(length[0])

    def write(self, data):
        """Keep an answer."""
        return answers.write(data)

    def any(self):
        """As a UART tells."""
        return 1


class Ticks:
    """The module `time`, with faster ticks."""

    now = 0

    def ticks_ms(self):
        """A quarter of a second more."""
        self.now += 250
        return self.now

    def __getattr__(self, name):
        """The rest is the real one's."""
        return getattr(time, name)


class Board:
    """What a board file has, as far as a meter with a simulated element asks for it."""

    KIND = "bench"

    def rs485(self, baudrate):
        """The line."""
        return Line()

    def inputs(self):
        """Covers closed, no magnet."""
        return False, False, False

    def jumper(self):
        """Not set."""
        return False

    def watchdog(self, timeout_ms):
        """Never bites."""
        return self

    def feed(self):
        """Fed."""

    lock = feed

    def reset(self):
        """The end: whoever reads the answers misses some."""
        sys.exit()

    def rtc_s(self):
        """No clock of its own."""

    def set_rtc(self, unix_s, ms):
        """Nor one to set."""


frames = open(sys.argv[3], "rb")
answers = open(sys.argv[4], "wb")
sys.modules["board"] = Board()
sys.modules["time"] = Ticks()
gc.collect()
print("bench:", gc.mem_alloc())
insert(sys.argv[1], sys.argv[2])
import main  # noqa: E402, F401 - It runs the meter.
