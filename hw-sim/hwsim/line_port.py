"""A simulated line on a pseudo-terminal, in real time: any program can be its master.

Decides what the master's port is: a pty whose baud rate the line follows (Linux keeps it; parity
and data bits of a pty cannot be seen, so those are the line's), under a name that stays while the
adapter is unplugged and plugged in again. What happens on the line is `hwsim.rs485`'s.
"""

import asyncio
import contextlib
import os
import pty
import termios
import tty
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hwsim import port_name
from hwsim.line_file import Vanishing
from hwsim.rs485 import Wire

_RATES = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name.startswith("B") and name[1:].isdigit() and name != "B0"
}
_CHUNK = 4_096
_LUMP_S = 0.001
"""Octets are handed on once a millisecond, as a USB adapter does."""

_OUTPUT_SPEED = 5


class LinePort:
    """The master's end. Line time 0 is when it was made; needs a running loop."""

    def __init__(
        self, wire: Wire, link: Path | None = None, vanishing: Sequence[Vanishing] = ()
    ) -> None:
        """Open the port.

        Args:
            wire: the line.
            link: a name for the port; needed where it vanishes.
            vanishing: when the adapter is unplugged.
        """
        self.path = ""
        """Of the port, or of its link."""
        self.lost_octets = 0
        """That came in while nobody read them and the port was full."""
        self._loop = asyncio.get_running_loop()
        self._origin_s = self._loop.time()
        self._wire = wire
        self._link = link
        self._timer: asyncio.TimerHandle | None = None
        self._near = self._far = -1
        self._plug()
        self._comings = [
            self._loop.call_at(self._origin_s + at_s, what)
            for each in vanishing
            for at_s, what in ((each.at_s, self._unplug), (each.at_s + each.for_s, self._plug))
        ]

    def close(self) -> None:
        """Take the port away."""
        for each in self._comings:
            each.cancel()
        self._unplug()

    def _plug(self) -> None:
        if self._near >= 0:
            return
        if self._link is not None:
            port_name.check(self._link)
        self._near, self._far = pty.openpty()
        tty.setraw(self._far, termios.TCSANOW)
        attributes = termios.tcgetattr(self._far)
        by_rate = {rate: code for code, rate in _RATES.items()}
        attributes[4] = attributes[5] = by_rate.get(self._wire.format.baudrate, termios.B9600)
        termios.tcsetattr(self._far, termios.TCSANOW, attributes)
        os.set_blocking(self._near, False)
        self.path = os.ttyname(self._far)
        if self._link is not None:
            port_name.give(self._link, self.path)
            self.path = str(self._link)
        self._loop.add_reader(self._near, self._sent)
        self._wind()

    def _unplug(self) -> None:
        if self._near < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._near)
        if self._link is not None:
            port_name.take_away(self._link)
        os.close(self._near)
        os.close(self._far)
        self._near = self._far = -1

    def _now_s(self) -> float:
        return self._loop.time() - self._origin_s

    def _sent(self) -> None:
        """The master wrote."""
        octets = b""
        with contextlib.suppress(BlockingIOError):
            octets = os.read(self._near, _CHUNK)
        now_s = self._now_s()
        self._follow(now_s)
        self._wire.send(now_s, octets)
        self._wind()

    def _follow(self, now_s: float) -> None:
        """Take the baud rate that the master has set."""
        code = termios.tcgetattr(self._near)[_OUTPUT_SPEED]
        rate = _RATES.get(code, self._wire.format.baudrate)
        if rate != self._wire.format.baudrate:
            self._wire.change_format(now_s, replace(self._wire.format, baudrate=rate))

    def _due(self, happens_s: float) -> None:
        # Sums of floats may fall short of the moment that was waited for.
        now_s = max(self._now_s(), happens_s)
        self._follow(now_s)
        arrived = self._wire.receive(now_s)
        taken = 0
        if arrived:
            with contextlib.suppress(BlockingIOError):
                taken = os.write(self._near, arrived)
        self.lost_octets += len(arrived) - taken
        self._wind()

    def _wind(self) -> None:
        """Wake when something happens next."""
        if self._timer is not None:
            self._timer.cancel()
        next_s = self._wire.next_s()
        if next_s is not None:
            at_s = max(self._origin_s + next_s, self._loop.time() + _LUMP_S)
            self._timer = self._loop.call_at(at_s, self._due, next_s)
