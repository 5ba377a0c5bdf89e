"""The service manager's watchdog, fed only while every part makes progress.

Decides when a part counts as stuck: each beats its heart whenever it has done a round of its work,
at least once in the time that it names itself. A program whose timers still run while its work
stands still is restarted like one that is dead. Without a service manager nothing is sent. The
protocol is that of sd_notify(3) and sd_watchdog_enabled(3).
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

_log = structlog.get_logger()

IDLE_S = 20.0
"""A part that has nothing to do looks again after this."""

STUCK_S = 90.0
"""A part that has not done a round for so long is stuck: the longest pause, and a slow token."""

_LOOK_S = 5.0


class Heart:
    """Beats when its part has done a round of its work."""

    def __init__(self, name: str, at_most_s: float = STUCK_S) -> None:
        """Take the part's name, and the longest that one of its rounds can take, seconds."""
        self.name = name
        self.at_most_s = at_most_s
        self._last_s: float | None = None

    def beat(self) -> None:
        """A round is done."""
        self._last_s = asyncio.get_running_loop().time()

    def is_stuck(self, now_s: float) -> bool:
        """Whether the last round was done too long ago; never before the first one."""
        return self._last_s is not None and now_s - self._last_s > self.at_most_s


async def woken(event: asyncio.Event, at_most_s: float | None = None) -> None:
    """Wait until an event is set, or long enough for a heart to beat meanwhile."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(IDLE_S if at_most_s is None else at_most_s):
            await event.wait()


class ServiceManager:
    """Whoever started this program, if it wants to be told."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0
        """A watchdog message is due this often, seconds; 0 when none is wanted."""

    def tell(self, state: str) -> None:
        """Send a state such as `READY=1`; a manager that does not listen is no fault."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
            try:
                out.sendto(state.encode(), address)
            except OSError as reason:
                _log.warning("the service manager does not listen", reason=str(reason))


def reloading_state() -> str:
    """What systemd wants to hear before a configuration is read again (sd_notify(3))."""
    microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    return f"RELOADING=1\nMONOTONIC_USEC={microseconds}"


async def watch(manager: ServiceManager, hearts: Callable[[], Sequence[Heart]]) -> None:
    """Feed the watchdog for ever; a part that is stuck is named, and the feeding stops."""
    told: set[str] = set()
    while True:
        now_s = asyncio.get_running_loop().time()
        stuck = {heart.name for heart in hearts() if heart.is_stuck(now_s)}
        if stuck - told:
            _log.error("no progress", parts=sorted(stuck))
            manager.tell(f"STATUS=no progress: {', '.join(sorted(stuck))}")
        if not stuck and manager.watchdog_s:
            manager.tell("WATCHDOG=1")
        told = stuck
        await asyncio.sleep(min(manager.watchdog_s / 3 or _LOOK_S, _LOOK_S))
