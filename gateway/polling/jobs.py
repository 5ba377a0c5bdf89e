"""Questions from outside the schedule: a few wait their turn, the rest are refused.

Decides how many may wait, and that each gets an answer or a reason, also when the bus ends. When
they are asked is for `polling.bus`: between polls, when no living meter is due.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from gateway.lines.frames import Request
from wire.errors import Unavailable

MOST_WAITING = 32


class NotTaken(Unavailable):
    """The bus takes no question now."""


@dataclass(frozen=True, slots=True)
class Job:
    """One question and who waits for its answer."""

    request: Request
    """What to ask."""

    silence_ms: int
    """Silence that the device wants before it on a serial line."""

    answer: asyncio.Future[tuple[int, ...]]
    """The registers, or why there are none."""


class Jobs:
    """What waits for a bus."""

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._waiting: deque[Job] = deque()
        self._ended = False
        self._news = asyncio.Event()

    def submit(self, request: Request, silence_ms: int) -> asyncio.Future[tuple[int, ...]]:
        """Add a question; raises NotTaken when too many wait, or the bus has ended."""
        if self._ended:
            raise NotTaken(f"bus {self._bus} has ended")
        # Whoever went away meanwhile takes no place.
        self._waiting = deque(each for each in self._waiting if not each.answer.done())
        if len(self._waiting) >= MOST_WAITING:
            raise NotTaken(f"bus {self._bus} has {MOST_WAITING} questions waiting: ask again later")
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(Job(request, silence_ms, answer))
        self._news.set()
        return answer

    def take(self) -> Job | None:
        """The oldest question that somebody still waits for."""
        while self._waiting:
            job = self._waiting.popleft()
            if not job.answer.done():
                return job
        return None

    async def wait(self, at_most_s: float) -> None:
        """Wait until a question is added, or the time has passed."""
        self._news.clear()
        if not self._waiting and not self._ended:
            # Not wait_for: in Python 3.11 it can swallow the cancellation of this very task.
            try:
                async with asyncio.timeout(at_most_s):
                    await self._news.wait()
            except TimeoutError:
                return

    def end(self) -> None:
        """Refuse what waits and whatever comes."""
        self._ended = True
        self._news.set()
        while (job := self.take()) is not None:
            job.answer.set_exception(NotTaken(f"bus {self._bus} has ended"))
