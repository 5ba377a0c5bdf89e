"""The same hostile bus as in test_modbus_hostility, on the serial line of a board that signs."""

import os
import random
import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.registered import SigningMeter
from tests.device import hostile_bus as bus
from tests.device.hostile_bus import FENCE, MAGIC, Case, with_crc
from tests.device.masters import Line, fetch_all, take_turns
from tests.device.test_board import UNIT, Meter, T

PATIENCE_S = 10.0
LOST_S = 0.3
SILENCE_S = 0.06
UNKNOWN = with_crc(bytes((UNIT, 0x2B)))


class Wire:
    """The line's bytes, without any master's manners."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def close(self) -> None:
        os.close(self._descriptor)

    def settle(self) -> None:
        """Wait until the line was silent: an unknown function is answered only then."""
        self.say(UNKNOWN)
        while not self.hear(5, SILENCE_S):
            self.say(UNKNOWN)
        self.say(FENCE)
        heard = b""
        while not heard.endswith(MAGIC):
            byte = self.hear(1)
            assert byte, "the meter has fallen silent"
            heard += byte

    def say(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def hear(self, size: int, patience_s: float = PATIENCE_S) -> bytes:
        """So many bytes, fewer when they do not come in time."""
        heard = b""
        deadline_s = time.monotonic() + patience_s
        while len(heard) < size:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self._descriptor], [], [], left_s)[0]:
                break
            heard += os.read(self._descriptor, size - len(heard))
        return heard

    def all_said_to(self, data: bytes, answer_size: int) -> bytes:
        """What the meter says to bytes with silence behind them, known by what it says next."""
        self.say(data)
        heard = self.hear(answer_size)
        self.say(FENCE)
        heard += self.hear(len(MAGIC))
        assert heard.endswith(MAGIC), heard
        return heard[: -len(MAGIC)]

    def frame(self, request: bytes) -> bytes:
        """A master's exchange: the answer, or b"" when none came."""
        self.say(request)
        head = self.hear(3, LOST_S)
        if len(head) < 3:
            return head
        rest = {3: head[2] + 2, 4: head[2] + 2}.get(head[1], 2 if head[1] & 0x80 else 5)
        return head + self.hear(rest, LOST_S)

    def in_window(self) -> bytes:
        return self.frame(bus.read(bus.WINDOW + 8, 2))[3:7]


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    made = Meter(tmp_path_factory.mktemp("hostile") / "desk")
    made.pace.run(T - 10, T + 4 * 900 + 2, 4_000)
    made.wait_head(4)
    yield made
    made.close()


@pytest.fixture
def wire(meter: Meter) -> Iterator[Wire]:
    """The line of a meter in whose window no record is, after a silence."""
    wire = Wire(meter.board.line)
    wire.settle()
    assert wire.frame(bus.want(0xFFFFFFFF)) == bus.done(bus.WANTED, 2)
    yield wire
    wire.close()


@pytest.mark.parametrize("case", bus.REFUSED, ids=lambda case: case.name)
def test_a_wrong_request_is_refused_with_the_books_exception(wire: Wire, case: Case) -> None:
    assert wire.all_said_to(case.said, len(case.answer)) == case.answer
    assert wire.in_window() == b"\xff" * 4


@pytest.mark.parametrize("case", bus.IGNORED, ids=lambda case: case.name)
def test_what_is_no_request_to_this_meter_gets_silence(wire: Wire, case: Case) -> None:
    assert wire.all_said_to(case.said, 0) == b""
    assert wire.in_window() == b"\xff" * 4


def test_no_register_that_is_only_read_can_be_written(wire: Wire) -> None:
    open_to_writes = {6, 7, 11, *range(100, 104)}
    addresses = [bus.WINDOW + i for i in range(256) if i not in open_to_writes]
    for address in (*addresses, *range(40_000, 40_179)):
        assert wire.frame(bus.write_one(address, 1)) == bus.refusal(6, 2), address
        assert wire.frame(bus.write(address, 1)) == bus.refusal(16, 2), address


@pytest.mark.parametrize("cut", range(1, 13))
def test_a_frame_may_come_in_two_pieces(wire: Wire, cut: int) -> None:
    whole = bus.want(2)
    wire.say(whole[:cut])
    wire.say(whole[cut:])
    assert wire.hear(8) == bus.done(bus.WANTED, 2)
    assert wire.in_window() == bytes((0, 0, 0, 2))


def test_a_broadcast_is_obeyed_and_never_answered(wire: Wire) -> None:
    assert wire.all_said_to(bus.want(1, unit=0), 0) == b""
    assert wire.in_window() == bytes((0, 0, 0, 1))


def test_of_requests_in_one_burst_the_last_is_answered(wire: Wire) -> None:
    wire.say(FENCE * 10 + bus.want(3) + bus.read(bus.WINDOW + 8, 2))
    assert wire.hear(9) == with_crc(bytes((UNIT, 3, 4, 0, 0, 0, 3)))
    assert wire.all_said_to(b"", 0) == b""


def test_a_megabyte_of_noise_is_survived(wire: Wire) -> None:
    wire.say(random.Random(3).randbytes(1 << 20))
    assert wire.all_said_to(b"", 0) == b""
    assert wire.in_window() == b"\xff" * 4


def test_records_are_made_while_the_line_is_flooded(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "desk")
    wire = Wire(meter.board.line)
    chance = random.Random(4)
    meter.pace.run(T - 10, T + 3 * 900 + 2, 4_000)
    deadline_s = time.monotonic() + PATIENCE_S
    head = 0
    while head < 3:
        assert time.monotonic() < deadline_s
        wire.say(chance.randbytes(1 << 15))
        answer = wire.frame(bus.read(bus.WINDOW + 2, 2))
        if len(answer) == 9:
            [head] = struct.unpack(">L", answer[3:7])
    assert [meter.reading(i).reading.sequence for i in range(3)] == [0, 1, 2]
    wire.close()
    meter.close()


@pytest.mark.parametrize("damage", [0.0, 0.1])
def test_two_masters_at_one_window_both_get_their_own_records(
    meter: Meter, wire: Wire, damage: float
) -> None:
    chance = random.Random(5)
    registered = SigningMeter("GW-000001", UNIT, "LV1.101.Bus-7", meter.made.public)
    line = Line(wire.frame, chance, damage)
    tried: list[int] = []
    wishes = [[0, 1, 2, 3], [3, 2, 1, 0]]
    results = take_turns([fetch_all(line, registered, wish, tried) for wish in wishes], chance)
    records = [meter.record(i) for i in range(4)]
    assert results == [[records[i] for i in wish] for wish in wishes]
