"""Messages from the broker that wait to be looked at: a queue for each topic, taken in turns.

Decides who is looked at next, and who loses a message when all room is taken: the topic that takes
most of it loses its oldest. The broker lets each gateway publish under its own topic only, so that
one's flood, of large messages or of many, keeps out nobody else.
"""

import asyncio
from collections import deque


class Inbox:
    """Waiting messages, bounded in number and bytes."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """Take how many may wait in all, and how many bytes."""
        self._most_bytes = most_bytes
        self._least_bytes = most_bytes // most
        self._queues: dict[str, deque[bytes]] = {}
        self._bytes: dict[str, int] = {}
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def _size(self, payload: bytes) -> int:
        """What a message counts for: its bytes, and not less than its place."""
        return max(len(payload), self._least_bytes)

    def put(self, topic: str, payload: bytes) -> None:
        """Keep a message; whoever has most waiting loses some when there is no room."""
        size = self._size(payload)
        while self._queues and sum(self._bytes.values()) + size > self._most_bytes:
            self._take(max(self._bytes, key=lambda each: self._bytes[each]))
        self._queues.setdefault(topic, deque()).append(payload)
        self._bytes[topic] = self._bytes.get(topic, 0) + size
        self._some.set()

    def _take(self, topic: str) -> bytes:
        """A topic's oldest; whoever has more is last in turn from now on."""
        queue, size = self._queues.pop(topic), self._bytes.pop(topic)
        payload = queue.popleft()
        if queue:
            self._queues[topic], self._bytes[topic] = queue, size - self._size(payload)
        return payload

    async def get(self) -> tuple[str, bytes]:
        """The next message with its topic: each topic's oldest in turn."""
        while not self._queues:
            self._some.clear()
            await self._some.wait()
        topic = next(iter(self._queues))
        return topic, self._take(topic)
