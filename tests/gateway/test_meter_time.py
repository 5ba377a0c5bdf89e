"""Time for signing meters: what a gateway may give, and what a real meter makes of it."""

import asyncio
import time
from pathlib import Path

import pytest

from gateway.config import BusConfig
from gateway.lines.frames import DeviceRefused, Request
from gateway.lines.line import Line
from gateway.lines.transport import SerialTransport
from gateway.polling import meter_time
from gateway.timing import DISCIPLINED, SET, SYNCHRONISED, ClockQuality, SystemClock
from tests.device.test_board import UNIT, Meter

GOOD = ClockQuality(SYNCHRONISED, 40)


class At:
    """A clock that stands."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def real_s_until(self, network_ms: int) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("quality", "may"),
    [
        (ClockQuality(SYNCHRONISED, 5_000), True),
        (ClockQuality(DISCIPLINED, 20), True),
        (ClockQuality(SYNCHRONISED, 5_001), False),
        (ClockQuality(SET, 0), False),
        (ClockQuality(0, 0), False),
    ],
)
def test_only_a_disciplined_clock_is_given(quality: ClockQuality, may: bool) -> None:
    assert meter_time.may_give(quality) is may


def test_time_is_given_in_one_write_with_its_bound() -> None:
    asked: list[Request] = []

    async def ask(request: Request) -> tuple[int, ...]:
        asked.append(request)
        return ()

    asyncio.run(meter_time.give(ask, 7, At(0x6560_1234_000 + 789), ClockQuality(2, 501)))
    seconds, milliseconds = divmod(0x6560_1234_000 + 789, 1000)
    words = (seconds >> 16, seconds & 0xFFFF, milliseconds, 2)
    assert asked == [Request(7, 16, 0xF064, 4, words)]


def test_a_real_meter_takes_the_time_and_says_what_it_is_worth(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "desk", in_life=True)
    meter.master.close()  # type: ignore[no-untyped-call]

    async def story() -> None:
        bus = BusConfig("desk", str(meter.board.line), 9_600, 2_000, ())
        line = Line(bus, SerialTransport(bus))
        try:
            before = await meter_time.state(line.ask, UNIT)
            assert (before.clock_quality, before.times_set, before.time_s) == (0, 0, 0)
            await meter_time.give(line.ask, UNIT, SystemClock(), GOOD)
            after = await meter_time.state(line.ask, UNIT)
            assert (after.clock_quality, after.times_set) == (SYNCHRONISED, 1)
            assert abs(after.time_s - time.time()) < 60
            assert 1 <= after.clock_error_s <= 2
            # Given again it agrees with what the meter knows, and no setting is counted.
            await meter_time.give(line.ask, UNIT, SystemClock(), GOOD)
            again = await meter_time.state(line.ask, UNIT)
            assert (again.clock_quality, again.times_set) == (SYNCHRONISED, 1)
            with pytest.raises(DeviceRefused):
                await meter_time.give(line.ask, UNIT, At(1_000), GOOD)
        finally:
            line.close()

    try:
        asyncio.run(story())
    finally:
        meter.board.close()
