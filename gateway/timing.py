"""Network time, and how well the gateway knows it.

Decides what the gateway may claim of its clock: the kernel says whether something disciplines it
and how far off it can be; and when after a start of the machine boundaries can be trusted. Which
clock a program runs by is chosen in `gridwitness`.
"""

import contextlib
import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

UNKNOWN, SET, SYNCHRONISED, DISCIPLINED = range(4)

_TIME_ERROR = 5
"""Return value of adjtimex(2): the clock is not synchronised."""

_PACED_ERROR_MS = 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another text each time the machine starts (random(4))."""


class NetworkClock(Protocol):
    """Tells network time."""

    def now_ms(self) -> int:
        """Network time, Unix milliseconds."""

    def real_s_until(self, network_ms: int) -> float:
        """Seconds of real time that one may sleep before looking again."""


class SystemClock:
    """The machine's clock: network time as it is in life."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def real_s_until(self, network_ms: int) -> float:
        """The difference, zero when it has passed."""
        return max(0, network_ms - self.now_ms()) / 1000


@dataclass(frozen=True, slots=True)
class ClockQuality:
    """What the gateway's clock is worth."""

    quality: int
    """0 unknown, 1 set, 2 synchronised, 3 disciplined."""

    error_ms: int
    """Bound of its error, milliseconds."""


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)); the rest is room that the kernel may write."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_quality() -> ClockQuality:
    """What the kernel knows of the machine's clock; unknown where it cannot be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    state = _Timex(modes=0)
    if not hasattr(libc, "adjtimex"):
        return ClockQuality(UNKNOWN, 0)
    answer = libc.adjtimex(ctypes.byref(state))
    if answer < 0:
        return ClockQuality(UNKNOWN, 0)
    error_ms = -(-max(state.maxerror, 0) // 1000)
    return ClockQuality(SET if answer == _TIME_ERROR else SYNCHRONISED, error_ms)


def quality_of(paced: bool) -> ClockQuality:
    """What may be claimed of network time.

    Args:
        paced: a simulator paces it, and every part of the network reads the same clock.
    """
    return ClockQuality(DISCIPLINED, _PACED_ERROR_MS) if paced else kernel_quality()


class FirstSync:
    """Whether anything ever disciplined this machine's clock since the machine started.

    A machine without a battery starts with the time at which it stopped. Until it is synchronised
    no boundary is where it seems to be, so nothing is read for one. A later loss of synchronisation
    is another matter: the clock drifts, and every statement says by how much.
    """

    def __init__(
        self, mark: Path, wait: bool, ask: Callable[[], ClockQuality] = kernel_quality
    ) -> None:
        """Take what is known.

        Args:
            mark: file that remembers the start of the machine in which the clock was synchronised.
            wait: False when the operator says that this clock is good although nothing says so.
            ask: tells the clock's quality.
        """
        self._mark = mark
        self._ask = ask
        self._boot = _boot_id()
        self._ready = not wait or self._is_marked()

    def ready(self) -> bool:
        """Whether boundaries can be trusted."""
        if not self._ready and self._ask().quality >= SYNCHRONISED:
            self._ready = True
            with contextlib.suppress(OSError):  # Without the mark the next start waits once more.
                self._mark.write_text(self._boot)
        return self._ready

    def _is_marked(self) -> bool:
        try:
            return bool(self._boot) and self._mark.read_text() == self._boot
        except (OSError, UnicodeDecodeError):
            return False


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
