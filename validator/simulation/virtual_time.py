"""Time that passes only because something is due: a queue of deeds, in virtual microseconds."""

import heapq
from collections.abc import Callable

Deed = Callable[[], None]


class VirtualTime:
    """What is due, in order; of two deeds of one moment the earlier planned comes first."""

    def __init__(self) -> None:
        """Start at 0 with nothing to do."""
        self.now_us = 0
        self._queue: list[tuple[int, int, Deed]] = []
        self._count = 0

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the start."""
        return self.now_us // 1000

    def after_us(self, delay_us: int, deed: Deed) -> None:
        """Plan a deed."""
        self._count += 1
        heapq.heappush(self._queue, (self.now_us + delay_us, self._count, deed))

    def after(self, delay_ms: int, deed: Deed) -> None:
        """Plan a deed, in milliseconds."""
        self.after_us(delay_ms * 1000, deed)

    def run(self, until_ms: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Do what is due until a time, or until it is enough."""
        until_us = until_ms * 1000
        while self._queue and self._queue[0][0] <= until_us and not enough():
            self.now_us, _, deed = heapq.heappop(self._queue)
            deed()
