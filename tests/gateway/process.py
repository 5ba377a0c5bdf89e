"""A gateway in a process of its own, for tests that kill it.

Run as a program: `python -m tests.gateway.process gateway.toml SPOOL CLOCK`, where CLOCK is a file
that holds network time in milliseconds.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from gateway import config, service


class FileClock:
    """Network time as a file tells it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def now_ms(self) -> int:
        return int(self._path.read_text())

    def real_s_until(self, network_ms: int) -> float:
        return 0.02 if network_ms > self.now_ms() else 0.0


if __name__ == "__main__":
    settings = replace(config.load(Path(sys.argv[1])), spool=Path(sys.argv[2]))
    asyncio.run(service.run(Path(sys.argv[1]), settings, FileClock(Path(sys.argv[3]))))
