"""A driver's timers, one of each name: setting one anew replaces it."""

import asyncio
from collections.abc import Callable


class Timers:
    """Timers that run in the event loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self._running: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        """Call something after so many seconds."""
        known = self._running.get(name)
        if known is not None:
            known.cancel()
        self._running[name] = asyncio.get_running_loop().call_later(delay_s, call)

    def left_s(self, name: str) -> float:
        """Seconds until a timer runs out; 0 when it has, or was never set."""
        timer = self._running.get(name)
        return 0.0 if timer is None else max(0.0, timer.when() - asyncio.get_running_loop().time())

    def cancel(self) -> None:
        """End them all."""
        for timer in self._running.values():
            timer.cancel()
        self._running.clear()
