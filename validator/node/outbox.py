"""What waits to be sent to one peer: votes first, blocks before batches, all of it bounded.

Decides what is lost when a peer reads too slowly: the oldest votes, which are said again, and the
newest answers, which are asked for again.
"""

import asyncio
from collections import deque

from validator.node.frames import Priority

MOST_BYTES = 16 * 1024 * 1024
"""Of each priority; one larger frame may wait alone."""

MOST_FRAMES = 1_000


class Outbox:
    """Frames in order of priority, then of arrival."""

    def __init__(self) -> None:
        """Start empty."""
        self._queues: dict[Priority, deque[bytes]] = {each: deque() for each in Priority}
        self._sizes = dict.fromkeys(Priority, 0)
        self._filled = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """What waits, bytes."""
        return sum(self._sizes.values())

    def put(self, frame: bytes, priority: Priority) -> None:
        """Add a frame."""
        queue = self._queues[priority]
        if priority is Priority.VOTES:
            while queue and not self._has_room(frame, priority):
                self._take(priority)
        if self._has_room(frame, priority):
            queue.append(frame)
            self._sizes[priority] += len(frame)
            self._filled.set()

    def _has_room(self, frame: bytes, priority: Priority) -> bool:
        queue = self._queues[priority]
        full = len(queue) >= MOST_FRAMES or self._sizes[priority] + len(frame) > MOST_BYTES
        return not queue or not full

    def _take(self, priority: Priority) -> bytes:
        frame = self._queues[priority].popleft()
        self._sizes[priority] -= len(frame)
        return frame

    async def get(self) -> bytes:
        """Wait for the next frame."""
        while True:
            for priority, queue in self._queues.items():
                if queue:
                    return self._take(priority)
            self._filled.clear()
            await self._filled.wait()

    def clear(self) -> None:
        """Forget what waits; a new connection begins with what is new."""
        for priority, queue in self._queues.items():
            queue.clear()
            self._sizes[priority] = 0
