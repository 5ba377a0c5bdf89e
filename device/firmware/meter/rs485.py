"""The RS-485 line as a UART whose driver speaks only while something is sent.

Decides when the driver is on: from before the first bit to after the last, told by the UART itself
and bounded by what the bytes take, so that a UART that never gets done does not keep the line.
What a transceiver echoes of our own bytes is dropped. Can be polled. Pins belong to the board.
"""

import io
import time

POLL = 3  # The stream protocol's request, with the events asked for.
POLL_IN, POLL_OUT = 1, 4
BITS = 11  # Of a character at most.
SPARE_MS = 20


class Rs485(io.IOBase):
    """`enable(1)` turns the driver on and the receiver off, `enable(0)` back."""

    def __init__(self, uart, enable, baudrate, clock=time):
        """`clock` has the ticks of MicroPython's `time`."""
        self._uart, self._enable, self._baudrate, self._clock = uart, enable, baudrate, clock
        enable(0)

    def read(self, size=256):
        """What has come, at most `size` bytes; None or nothing when nothing has."""
        return self._uart.read(size)

    def write(self, data):
        """Send it all; returns when the last bit is out."""
        clock, uart = self._clock, self._uart
        limit_ms = len(data) * BITS * 1000 // self._baudrate + SPARE_MS
        started = clock.ticks_ms()
        self._enable(1)
        try:
            sent = uart.write(data)
            while not uart.txdone() and clock.ticks_diff(clock.ticks_ms(), started) < limit_ms:
                pass  # Sleeping would hold the line from the next who speaks.
        finally:
            self._enable(0)
        if uart.any():
            uart.read(len(data))
        return sent

    def ioctl(self, request, argument):
        """For select.poll; there is nothing else to ask, and no file behind it."""
        if request != POLL:
            return -1
        ready = argument & POLL_OUT
        return ready | argument & POLL_IN if self._uart.any() else ready
