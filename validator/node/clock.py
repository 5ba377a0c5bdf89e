"""Network time, as the node asks for it. Which clock a program runs by is chosen elsewhere."""

from typing import Protocol


class NetworkClock(Protocol):
    """Tells network time."""

    def now_ms(self) -> int:
        """Network time, Unix milliseconds."""

    def real_s_until(self, network_ms: int) -> float:
        """Seconds of real time that one may sleep before looking again."""
