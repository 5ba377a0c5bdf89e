"""What tests of measuring elements share: a board's ticks, its buses, and MicroPython itself."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from hwsim.board import micropython

FIRMWARE = Path(__file__).parents[2] / "device" / "firmware"


class Clock:
    """The ticks of a board; whoever sleeps or waits makes them pass."""

    def __init__(self) -> None:
        self.now = 5_000

    def ticks_ms(self) -> int:
        self.now += 1
        return self.now

    def ticks_diff(self, a: int, b: int) -> int:
        return a - b

    def sleep_ms(self, ms: int) -> None:
        self.now += ms


def on_micropython(code: str) -> str:
    done = subprocess.run(
        [micropython(), "-X", "heapsize=128k", "-c", code],
        env={"MICROPYPATH": f"{FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


class Board:
    """What `make` asks for."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def element_uart(self, baudrate: int) -> Any:
        assert baudrate == 9600
        return self.given["uart"]

    def element_spi(self) -> Any:
        return self.given["spi"]

    def pulse_input(self, pin_name: str, on_edge: Any) -> Any:
        self.given[pin_name] = on_edge
        return self.given.get("counter")


def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """MicroPython's names in CPython's `time`, on a clock of its own."""
    clock = Clock()
    for name in ("ticks_ms", "ticks_diff", "sleep_ms"):
        monkeypatch.setattr(f"time.{name}", getattr(clock, name), raising=False)
    return clock
