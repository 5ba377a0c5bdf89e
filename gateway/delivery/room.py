"""Room on the disk: how full it is, and the reserve that keeps acknowledgements working.

Decides when new readings must wait (they would take the last of the disk), and gives the reserve
up when the disk is full, so that what is acknowledged can still be deleted and make room. Nothing
is ever dropped to make room: signing meters keep their records meanwhile, and a boundary that
cannot be kept is a gap that is told.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

_log = structlog.get_logger()

ALARMS_PERCENT = (80, 90, 95)
"""The disk's marks: at the first make room soon, at the last make room now."""

RESERVE_BYTES = 8_000_000
"""What acknowledgements need at most: the write-ahead file, and pages that deletions touch."""

LEAST_FREE_BYTES = 8_000_000
"""Below this, new readings wait; signatures and acknowledgements go on."""

AGAIN_S = 1.0


class DiskFigures(Protocol):
    """What statvfs(3) says."""

    @property
    def f_frsize(self) -> int:
        """Bytes of a block."""

    @property
    def f_blocks(self) -> int:
        """All blocks."""

    @property
    def f_bfree(self) -> int:
        """Free blocks."""

    @property
    def f_bavail(self) -> int:
        """Free blocks that ordinary users may take."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a disk is, as df(1) counts."""

    used_percent: int
    """Of what ordinary users may use."""

    free_bytes: int
    """What they may still use."""

    @property
    def alarm_percent(self) -> int:
        """The highest mark that is passed; 0 when none is."""
        return max((each for each in ALARMS_PERCENT if self.used_percent >= each), default=0)


def fill_of(folder: Path, ask: Callable[[Path], DiskFigures] = os.statvfs) -> Fill:
    """How full the disk of a folder is."""
    figures = ask(folder)
    used = figures.f_blocks - figures.f_bfree
    usable = max(1, used + figures.f_bavail)
    return Fill(-(-100 * used // usable), figures.f_bavail * figures.f_frsize)


class Room:
    """The room of one spool."""

    def __init__(
        self,
        spool: Path,
        reserve_bytes: int = RESERVE_BYTES,
        ask: Callable[[Path], DiskFigures] = os.statvfs,
    ) -> None:
        """Take the spool's path; nothing is touched yet. No reserve is kept of 0 bytes."""
        self.reserve = spool.with_name(spool.name + ".reserve")
        self._ask = ask
        self._reserve_bytes = reserve_bytes
        self._alarm_percent = 0
        self._full = self._lent = False
        self.waiting = 0
        """New readings that wait for room now."""

    def fill(self) -> Fill:
        """How full the disk is; a mark that is passed is told once."""
        fill = fill_of(self.reserve.parent, self._ask)
        alarm = fill.alarm_percent
        if alarm > self._alarm_percent:
            _log.error("the disk fills up: make room", used_percent=fill.used_percent)
        self._alarm_percent = alarm
        return fill

    def keep_reserve(self) -> None:
        """Take the reserve when there is plenty; give it up when nearly nothing is left."""
        if not self._reserve_bytes:
            return
        free_bytes = self.fill().free_bytes
        held = self.reserve.exists()
        if held and free_bytes < LEAST_FREE_BYTES // 2:
            self.give_up_reserve()
        elif not held and free_bytes > 2 * (self._reserve_bytes + LEAST_FREE_BYTES):
            self._take_reserve()

    def give_up_reserve(self) -> bool:
        """Free the reserve for acknowledgements; False when it was given up before."""
        try:
            self.reserve.unlink()
        except FileNotFoundError:
            return False
        self._lent = True
        _log.error("the disk is full: the reserve goes to acknowledgements; make room")
        return True

    def refused(self) -> None:
        """The disk did not take something."""
        self._full = True
        self.give_up_reserve()

    def taken(self) -> None:
        """The disk took something."""
        self._full = False

    @property
    def is_full(self) -> bool:
        """Whether new readings wait for room."""
        return self._full or not self._has_room()

    async def wait(self) -> None:
        """Wait until the disk has room for new readings."""
        self.keep_reserve()
        if self._has_room():
            return
        _log.error("no room for new readings: they wait, and nothing is dropped; make room")
        self.waiting += 1
        try:
            while not self._has_room():
                await asyncio.sleep(AGAIN_S)
                self.keep_reserve()
        finally:
            self.waiting -= 1

    def _has_room(self) -> bool:
        """The reserve's room is not for new readings: not before it could be taken again."""
        return not self._lent and self.fill().free_bytes >= LEAST_FREE_BYTES

    def _take_reserve(self) -> None:
        new = self.reserve.with_name(self.reserve.name + ".new")
        try:
            with new.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
        except OSError as reason:
            new.unlink(missing_ok=True)
            _log.warning("no reserve could be kept", reason=reason.strerror)
            return
        new.rename(self.reserve)
        self._lent = False
