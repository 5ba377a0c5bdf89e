"""The USB of a board's own, as an RP2040 has it, in front of a simulated board's console.

Its port is a pseudo-terminal that really goes with each reset of the board: hung up, its name
removed; it comes back after a while, under the next of its names. What the board says meanwhile is
lost.
"""

import os
import pty
import select
import threading
import time
import tty
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_STARTS = b"hard reset"


class VanishingPort:
    """A port that comes and goes; `names` are used in turn, the last for ever, "" is nowhere."""

    def __init__(self, console: Path, folder: Path, names: Sequence[str], gone_s: float) -> None:
        self._board = os.open(os.path.realpath(console), os.O_RDWR | os.O_NOCTTY)
        self._folder, self._names, self._gone_s = folder, list(names), gone_s
        self._wake, self._woken = os.pipe()
        self._near = self._far = -1
        self.link: Path | None = None
        self.times_gone = 0
        self._plug()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def comports(self) -> list[Any]:
        """What the computer lists: this port, by its USB serial number, and a stranger's."""
        found = [SimpleNamespace(device=str(self._folder / "ttyACM9"), serial_number="other")]
        if self.link is not None:
            found.append(SimpleNamespace(device=str(self.link), serial_number="E6614"))
        return found

    def close(self) -> None:
        """Take it away; the board stays."""
        if not self._thread.is_alive():
            return
        os.write(self._woken, b"x")
        self._thread.join(5)
        for end in (self._wake, self._woken, self._board):
            os.close(end)

    def _run(self) -> None:
        back_s = 0.0
        while True:
            ends = [self._board, self._wake, *([self._near] if self._near >= 0 else [])]
            wait_s = max(0.0, back_s - time.monotonic()) if back_s else None
            ready = select.select(ends, [], [], wait_s)[0]
            if self._wake in ready:
                self._unplug()
                return
            if back_s and time.monotonic() >= back_s:
                back_s = 0.0
                self._plug()
            if self._near in ready:
                os.write(self._board, os.read(self._near, 4096))
            if self._board in ready and self._passed(os.read(self._board, 4096)):
                back_s = time.monotonic() + self._gone_s

    def _passed(self, data: bytes) -> bool:
        """Show what the board says, unless that is a start; whether the port has gone with it."""
        if _STARTS in data and self._near >= 0:
            self._unplug()
            self.times_gone += 1
            return True
        if self._near >= 0:
            os.write(self._near, data)
        return False

    def _plug(self) -> None:
        name = self._names.pop(0) if len(self._names) > 1 else self._names[0]
        if not name:
            return
        self._near, self._far = pty.openpty()
        tty.setraw(self._far)
        link = self._folder / name
        link.symlink_to(os.ttyname(self._far))
        self.link = link

    def _unplug(self) -> None:
        if self._near < 0:
            return
        assert self.link is not None
        self.link.unlink()
        self.link = None
        for end in (self._near, self._far):
            os.close(end)
        self._near = self._far = -1
