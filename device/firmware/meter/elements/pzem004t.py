"""PZEM-004T v3: one phase, import only, over its own UART (Modbus RTU, 9600 baud, 8N1).

Source: Peacefair, "PZEM-004T V3.0 user manual", 1.6 and 2.3 to 2.6. Ten input registers from 0:
voltage 0.1 V, current 1 mA and power 0.1 W (each low word first), energy 1 Wh (low word first),
frequency 0.1 Hz, power factor, alarm. The chip keeps its energy through power cuts.

Decides what is believed. An answer counts with the right address, function, length and CRC, within
a bounded wait. A counter that fell, or rose faster than 100 A at 260 V can make it, is held once
and believed when the next reading agrees: such a chip was reset, exchanged, or has passed its end.
The manual ends the range at 9999.99 kWh and says no more; `meter.registers` then counts on from
zero, so that a passed end costs less than an interval's energy and never adds any.
"""

import struct
import time

from meter import NotConfigured
from meter.modbus import READ_INPUT, crc16, with_crc

ANSWER_SIZE = 25
TRIES = 2
WAIT_MS = 150  # For one answer, which takes 26 ms on the line; twice that bounds a reading.
STALE = 512  # Bytes that may lie in the receive buffer from before.
MOST_W = 26000
SLACK_WH = 2


class Pzem004t:
    """The measuring element at one UART."""

    volatile = False

    def __init__(self, uart, address=1, clock=time):
        """`uart` reads without blocking; `clock` has the ticks of MicroPython's `time`."""
        self._uart = uart
        self._clock = clock
        self._begins = bytes((address, READ_INPUT, 20))
        self._request = with_crc(bytes((address, READ_INPUT, 0, 0, 0, 10)))
        self._believed = None  # (Wh, ticks) of the last reading passed on.
        self._doubted = None  # The same of one that was held.

    def read(self, at_ms):
        """(import, export) counters in mWh now, whatever the time; None when held."""
        values = self._ask()
        if values is None:
            return None
        now = (values[5] | values[6] << 16, self._clock.ticks_ms())
        doubted, self._doubted = self._doubted, now
        believed = self._follows(self._believed, now)
        if not believed and not (doubted and self._follows(doubted, now)):
            return None
        self._believed, self._doubted = now, None
        return now[0] * 1000, 0

    def measure(self):
        """(mHz, ((mV, mA, mW),)), or None."""
        values = self._ask()
        if values is None:
            return None
        current_ma, power_dw = values[1] | values[2] << 16, values[3] | values[4] << 16
        return values[7] * 100, ((values[0] * 100, current_ma, power_dw * 100),)

    def _follows(self, before, after):
        """Whether one reading can come after another of the same undisturbed counter."""
        if before is None:
            return True
        passed_ms = self._clock.ticks_diff(after[1], before[1])
        grown_wh = after[0] - before[0]
        return grown_wh >= 0 and (grown_wh - SLACK_WH) * 3600000 <= MOST_W * passed_ms

    def _ask(self):
        """The eight registers from voltage to frequency, or None after the last try."""
        for _ in range(TRIES):
            self._uart.read(STALE)
            self._uart.write(self._request)
            answer = self._listen()
            if answer.startswith(self._begins) and len(answer) == ANSWER_SIZE and not crc16(answer):
                return struct.unpack(">8H", answer[3:19])
        return None

    def _listen(self):
        clock = self._clock
        answer = b""
        started = clock.ticks_ms()
        while clock.ticks_diff(clock.ticks_ms(), started) < WAIT_MS:
            answer += self._uart.read(ANSWER_SIZE - len(answer)) or b""
            if len(answer) >= ANSWER_SIZE:
                break
            clock.sleep_ms(2)
        return answer


def make(settings, board):
    """From {"kind": "pzem004t"}, with "address" 1 to 247 when it is not 1."""
    address = settings.get("address", 1)
    if not 1 <= address <= 247:
        raise NotConfigured("element: address from 1 to 247")
    return Pzem004t(board.element_uart(9600), address)
