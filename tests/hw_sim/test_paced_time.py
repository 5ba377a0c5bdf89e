import asyncio
import os
import struct
import threading
import time
from pathlib import Path

import pytest

from hwsim.scaled_clock import DWELL_MS, HOLD_S, INTERVAL_MS, PacedClock, Pacer
from wire.errors import Unavailable

START_MS = 1_751_328_000_000
LEAD_MS = 60_000


async def at_once(_: int) -> bool:
    return True


async def never(_: int) -> bool:
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pace"


def test_time_stands_until_the_pacer_runs(path: Path) -> None:
    pacer, clock = Pacer(path, START_MS), PacedClock(path)
    try:
        assert clock.now_ms() == START_MS
        assert 0 < clock.real_s_until(START_MS + 1) <= 0.02
        assert clock.real_s_until(START_MS) == 0
    finally:
        clock.close()
        pacer.close()


def test_the_file_is_six_little_endian_numbers(path: Path) -> None:
    before_us = time.time_ns() // 1000
    Pacer(path, START_MS).close()
    first, network_ms, anchor_us, rate_ppm, limit_ms, last = struct.unpack("<6Q", path.read_bytes())
    assert (network_ms, rate_ppm, limit_ms) == (START_MS, 0, START_MS)
    assert first == last
    assert before_us <= anchor_us <= time.time_ns() // 1000


def test_time_waits_after_each_boundary_until_everyone_has_read_the_interval(path: Path) -> None:
    pacer, clock = Pacer(path, START_MS - LEAD_MS), PacedClock(path)
    asked: list[tuple[int, int]] = []
    reported: list[int] = []

    async def at_the_third_question(start_s: int) -> bool:
        asked.append((start_s, clock.now_ms()))
        return [each for each, _ in asked].count(start_s) == 3

    try:
        asyncio.run(pacer.run(2, at_the_third_question, progress=reported.append))
    finally:
        clock.close()
        pacer.close()
    # The registers at the first boundary begin the first interval: its end is waited for as well.
    ends_ms = [START_MS + number * INTERVAL_MS for number in range(3)]
    assert asked == [
        ((end_ms - INTERVAL_MS) // 1000, end_ms + DWELL_MS) for end_ms in ends_ms for _ in range(3)
    ]
    assert reported == [1, 2]


def test_a_reader_that_never_comes_holds_time_only_so_long(path: Path) -> None:
    pacer = Pacer(path, START_MS - LEAD_MS)
    started = time.monotonic()
    try:
        asyncio.run(pacer.run(1, never, hold_s=0.1))
    finally:
        pacer.close()
    assert 0.2 <= time.monotonic() - started < 2 * HOLD_S


def test_time_never_runs_backwards_in_one_reader(path: Path) -> None:
    pacer, clock = Pacer(path, START_MS - LEAD_MS), PacedClock(path)
    seen: list[int] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(clock.now_ms())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        asyncio.run(pacer.run(2, at_once))
    finally:
        over.set()
        reader.join()
        clock.close()
        pacer.close()
    assert seen == sorted(seen)
    assert seen[-1] <= START_MS + 2 * INTERVAL_MS + DWELL_MS


def test_a_pacer_that_is_set_back_does_not_set_its_readers_back(path: Path) -> None:
    path.write_bytes(struct.pack("<6Q", 1, START_MS, 0, 0, START_MS, 1))
    clock = PacedClock(path)
    assert clock.now_ms() == START_MS
    path.write_bytes(struct.pack("<6Q", 2, START_MS - 1, 0, 0, START_MS - 1, 2))
    assert clock.now_ms() == START_MS
    clock.close()


def test_a_torn_write_is_read_again_and_never_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = struct.pack("<6Q", 1, START_MS + 1, 0, 0, START_MS + 1, 2)
    whole = struct.pack("<6Q", 2, START_MS, 0, 0, START_MS, 2)
    path.write_bytes(torn)
    clock = PacedClock(path)
    reads = iter([torn, b"", torn[:40], whole])
    monkeypatch.setattr(os, "pread", lambda *_: next(reads))
    assert clock.now_ms() == START_MS
    clock.close()


def test_a_file_without_time_is_said_and_not_waited_for(path: Path) -> None:
    path.touch()
    clock = PacedClock(path)
    with pytest.raises(Unavailable, match="is its pacer running"):
        clock.now_ms()
    clock.close()
