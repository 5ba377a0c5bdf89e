"""A demo that is told to end takes with it what it has started."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gridwitness import world
from gridwitness.cli import main


class ToldToEnd:
    """A world in whose midst somebody ends the demo."""

    number: signal.Signals
    closed = 0

    def __init__(self, *_: Any) -> None:
        pass

    def prepare(self) -> None:
        pass

    async def start(self) -> None:
        os.kill(os.getpid(), self.number)
        await asyncio.Event().wait()

    def close(self) -> None:
        ToldToEnd.closed += 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_demo_that_is_told_to_end_closes_its_world(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "World", ToldToEnd)
    monkeypatch.setattr(ToldToEnd, "number", number, raising=False)
    before = ToldToEnd.closed
    assert main(["demo", "--grid", "synthetic", "--dir", str(tmp_path / "demo")]) == 128 + number
    assert ToldToEnd.closed == before + 1
