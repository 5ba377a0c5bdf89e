"""Network time paced by a simulator: a file that every process and every board reads.

Decides how fast network time runs and where it waits. Between interval boundaries it is fast; two
seconds after each it stands until everyone has read the interval, or a bound of real time has
passed. A day so takes a minute, and a reading is still taken where it belongs.

The file holds six numbers, u64 little-endian: generation, network_ms, anchor_wall_us, rate_ppm,
limit_ms, generation again. Network time is `min(limit, network_ms + (wall - anchor) * rate)`. A
file whose two generations differ was caught in the middle of a write and is read again.
"""

import asyncio
import os
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from wire.errors import Unavailable

INTERVAL_MS = 900_000
DWELL_MS = 2_000
LONGEST_LOOK_S = 0.01
FASTEST_RATE = 6_000
"""Network seconds in a real second between boundaries."""

MOST_READS = 10_000
"""How often a file caught in the middle of a write is read again; a write takes microseconds."""

HOLD_S = 4.0
"""Real seconds that are waited for one interval's readers, at most."""

_LAYOUT = struct.Struct("<6Q")


class PacedClock:
    """Reads network time from a pace file."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises OSError when there is none."""
        self._path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._latest_ms = 0

    def now_ms(self) -> int:
        """Network time, Unix milliseconds; never less than it was.

        Raises:
            Unavailable: the file holds no time.
        """
        self._latest_ms = max(self._latest_ms, self._read_ms())
        return self._latest_ms

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def real_s_until(self, network_ms: int) -> float:
        """Seconds of real time that one may sleep before looking again."""
        return 0.0 if self.now_ms() >= network_ms else LONGEST_LOOK_S

    def _read_ms(self) -> int:
        for _ in range(MOST_READS):
            data = os.pread(self._file, _LAYOUT.size, 0)
            if len(data) < _LAYOUT.size:
                continue
            first, network_ms, anchor_us, rate_ppm, limit_ms, last = _LAYOUT.unpack(data)
            if first == last:
                passed_us = time.time_ns() // 1000 - anchor_us
                return int(min(limit_ms, network_ms + max(0, passed_us) * rate_ppm // 10**9))
        raise Unavailable(f"{self._path} holds no paced time: is its pacer running?")


class Pacer:
    """Writes the pace file."""

    def __init__(self, path: Path, start_ms: int, rate: int = FASTEST_RATE) -> None:
        """Make the file; network time stands at `start_ms` until `run`."""
        self.path = path
        self._rate = rate
        self._generation = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._limit_ms = start_ms
        self._write(start_ms, 0)
        self._clock = PacedClock(path)

    def close(self) -> None:
        """Let go of the file; network time stands where it was."""
        self._clock.close()
        os.close(self._file)

    async def run(
        self,
        intervals: int,
        done: Callable[[int], Awaitable[bool]],
        hold_s: float = HOLD_S,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Let time pass over that many interval ends.

        Args:
            intervals: how many.
            done: whether everyone has read the interval that starts at these Unix seconds.
            hold_s: real seconds to wait for them at most.
            progress: told how many intervals are over.
        """
        # The first boundary begins the first whole interval: its registers are read there too.
        first_ms = -(-self._limit_ms // INTERVAL_MS) * INTERVAL_MS
        for number in range(intervals + 1):
            boundary_ms = first_ms + number * INTERVAL_MS
            await self._advance(boundary_ms + DWELL_MS)
            await self._hold((boundary_ms - INTERVAL_MS) // 1000, done, hold_s)
            if number:
                progress(number)

    def let_pass(self, limit_ms: int) -> None:
        """Let time run up to a moment and stand there; returns at once."""
        now_ms, self._limit_ms = self._clock.now_ms(), limit_ms
        self._write(now_ms, self._rate * 10**6)

    def stop(self) -> None:
        """Let time stand where it is."""
        self.let_pass(self._clock.now_ms())

    async def _advance(self, limit_ms: int) -> None:
        self.let_pass(limit_ms)
        while self._clock.now_ms() < limit_ms:
            await asyncio.sleep(LONGEST_LOOK_S)

    async def _hold(
        self, start_s: int, done: Callable[[int], Awaitable[bool]], hold_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + hold_s
        while not await done(start_s) and loop.time() < deadline:
            await asyncio.sleep(LONGEST_LOOK_S * 2)

    def _write(self, network_ms: int, rate_ppm: int) -> None:
        self._generation += 1
        wall_us = time.time_ns() // 1000
        numbers = (network_ms, wall_us, rate_ppm, self._limit_ms)
        os.pwrite(self._file, _LAYOUT.pack(self._generation, *numbers, self._generation), 0)
