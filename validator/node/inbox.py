"""Messages from the broker that wait to be looked at: a queue for each topic, taken in turns.

Decides who is looked at next, and who loses a message when all places are taken: the topic that has
most waiting loses its oldest. The broker lets each gateway publish under its own topic only, so
that one's flood keeps out nobody else.
"""

import asyncio
from collections import deque


class Inbox:
    """Waiting messages, bounded."""

    def __init__(self, most: int) -> None:
        """Take how many may wait in all."""
        self._most = most
        self._queues: dict[str, deque[bytes]] = {}
        self._count = 0
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    def put(self, topic: str, payload: bytes) -> None:
        """Keep a message; whoever has most waiting loses one when there is no place."""
        if self._count == self._most:
            self._forget()
        self._queues.setdefault(topic, deque()).append(payload)
        self._count += 1
        self._some.set()

    def _forget(self) -> None:
        longest = max(self._queues, key=lambda topic: len(self._queues[topic]))
        self._queues[longest].popleft()
        self._count -= 1
        if not self._queues[longest]:
            del self._queues[longest]

    async def get(self) -> tuple[str, bytes]:
        """The next message with its topic: each topic's oldest in turn."""
        while not self._queues:
            self._some.clear()
            await self._some.wait()
        topic = next(iter(self._queues))
        queue = self._queues.pop(topic)
        payload = queue.popleft()
        self._count -= 1
        if queue:
            self._queues[topic] = queue
        return topic, payload
