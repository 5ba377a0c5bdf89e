"""Whatever comes over the bus, the meter does what was asked of it, or nothing (server, CPython).

The same table runs against a board in test_modbus_hostility_on_board.
"""

import random
import struct
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.registered import SigningMeter
from meter import modbus
from meter.modbus import Server
from tests.device import hostile_bus as bus
from tests.device.hostile_bus import FENCE, MAGIC, UNIT, Case, with_crc
from tests.device.masters import Line, fetch_all, flip, take_turns
from tests.gateway import street

NOISE = random.Random(3).randbytes(1 << 20)


class Times(list[tuple[int, ...]]):
    """What time the bus gave: the four registers."""


def signing_meter(records: int) -> street.SigningMeter:
    """A meter that has signed records, behind a window like the firmware's."""
    meter = street.SigningMeter("GW-000001", "LV1.101.Bus-7")
    for i in range(records):
        meter.close(street.START_S + 900 * i, import_wh=i)
    return meter


SIGNER = signing_meter(8)
METER = SigningMeter("GW-000001", UNIT, "LV1.101.Bus-7", SIGNER.signer.public)


class Window:
    """The registers that the table needs; the firmware's own are behind the board's line."""

    def __init__(self, times: Times) -> None:
        self._meter = street.SigningMeter(SIGNER.name, SIGNER.node, SIGNER.signer)
        self._meter.records = SIGNER.records
        self._times = times

    def read(self, address: int, count: int) -> bytes | None:
        words = self._meter.read(3, address, count)
        return None if words is None else struct.pack(f">{count}H", *words)

    def write(self, address: int, words: tuple[int, ...]) -> bool:
        if address == bus.TIME and len(words) == 4:
            self._times.append(words)
            return True
        return self._meter.write(address, words)


def new_server() -> tuple[Server, Times]:
    times = Times()
    return Server(UNIT, Window(times)), times


def hear(server: Server, data: bytes, chunk: int = 256) -> bytes:
    """Everything that the meter says while bytes come, and in the silence behind them."""
    said = b""
    for i in range(0, len(data), chunk):
        said += server.feed(data[i : i + chunk])
    return said + bytes(server.silence())


def in_window(server: Server) -> bytes:
    return hear(server, bus.read(bus.WINDOW + 8, 2))[3:7]


@pytest.mark.parametrize("chunk", [512, 256, 3, 1])
@pytest.mark.parametrize("case", bus.REFUSED, ids=lambda case: case.name)
def test_a_wrong_request_is_refused_with_the_books_exception(case: Case, chunk: int) -> None:
    server, times = new_server()
    assert hear(server, case.said, chunk) == case.answer
    assert hear(server, FENCE) == MAGIC
    assert (in_window(server), times) == (b"\xff" * 4, [])


@pytest.mark.parametrize("chunk", [512, 256, 3, 1])
@pytest.mark.parametrize("case", bus.IGNORED, ids=lambda case: case.name)
def test_what_is_no_request_to_this_meter_gets_silence(case: Case, chunk: int) -> None:
    server, times = new_server()
    assert hear(server, case.said, chunk) == b""
    assert hear(server, FENCE) == MAGIC
    assert (in_window(server), times) == (b"\xff" * 4, [])


def test_the_most_that_the_book_allows_is_read() -> None:
    server, _ = new_server()
    answer = hear(server, bus.read(bus.WINDOW, 125))
    assert (len(answer), answer[:5]) == (255, bytes((UNIT, 3, 250)) + b"EW")


def test_a_broadcast_is_obeyed_and_never_answered() -> None:
    server, times = new_server()
    assert hear(server, bus.want(3, unit=0)) == b""
    assert in_window(server) == bytes((0, 0, 0, 3))
    assert hear(server, bus.write(bus.TIME, 1, 2, 3, 4, unit=0)) == b""
    assert times == [(1, 2, 3, 4)]
    assert hear(server, bus.write(bus.WINDOW, 1, unit=0)) == b""


def test_of_requests_in_one_burst_all_are_done_and_only_the_last_is_answered() -> None:
    server, times = new_server()
    burst = bus.write(bus.TIME, 0, 1, 2, 3) + bus.read(bus.WINDOW, 2) + bus.want(4)
    assert hear(server, burst) == bus.done(bus.WANTED, 2)
    assert (in_window(server), times) == (bytes((0, 0, 0, 4)), [(0, 1, 2, 3)])
    assert hear(server, FENCE * 32) == MAGIC
    assert hear(server, FENCE + bus.read(bus.WINDOW, 1, unit=6)) == b"", "the line is another's now"
    assert hear(server, FENCE + b"\0") == MAGIC, "a driver that is turned off makes such a byte"


@pytest.mark.parametrize("cut", range(1, 13))
def test_half_a_request_is_forgotten_in_the_silence(cut: int) -> None:
    server, _ = new_server()
    whole = bus.want(2)
    assert hear(server, whole[:cut]) + hear(server, whole[cut:]) == b""
    assert in_window(server) == b"\xff" * 4
    assert hear(server, whole) == bus.done(bus.WANTED, 2)


def test_a_map_says_itself_why_it_refuses() -> None:
    class Busy:
        answers: Generator[Any, None, None]

        def __init__(self, *answers: Any) -> None:
            self.answers = (answer for answer in answers)

        def write(self, address: int, words: tuple[int, ...]) -> Any:
            answer = next(self.answers)
            if answer is OSError:
                raise OSError(5)
            return answer

    server = Server(UNIT, Busy(True, False, modbus.DEVICE_BUSY, modbus.ILLEGAL_VALUE, OSError))
    request = bus.write_one(7, 1)
    answers = [hear(server, request) for _ in range(5)]
    assert answers == [request, *(bus.refusal(6, code) for code in (2, 6, 3, 4))]


def test_a_megabyte_of_noise_changes_nothing_and_is_forgotten() -> None:
    server, times = new_server()
    for i in range(0, len(NOISE), 256):
        assert server.feed(NOISE[i : i + 256]) == b""
    server.silence()
    assert hear(server, FENCE) == MAGIC
    assert (in_window(server), times) == (b"\xff" * 4, [])


FLOODS = {
    "noise": NOISE[: 1 << 15],
    "writes begun": bytes((UNIT, 16, 0, 0, 0, 0, 0xF6)) * 4000,
    "answers of another begun": bytes((6, 3, 0xF6, 0)) * 8000,
    "our address": bytes((UNIT,)) * (1 << 15),
    "everybody": bytes(1 << 15),
    "reads": FENCE * 4000,
    "reads begun": bytes((UNIT, 3)) * (1 << 14),
    "empty answers of another": with_crc(b"\6\3\0") * 6000,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_the_work_and_the_memory_for_any_flood_are_bounded(
    flood: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0
    crc16 = modbus.crc16

    def counted(data: Any) -> Any:
        nonlocal checked
        checked += len(data)
        return crc16(data)

    monkeypatch.setattr(modbus, "crc16", counted)
    server, _ = new_server()
    for i in range(0, len(flood), 256):
        checked = 0
        server.feed(flood[i : i + 256])
        assert checked <= 8 * 256
        assert len(server._buffer) <= modbus.LONGEST_FRAME
    server.silence()
    assert server.feed(FENCE + bus.want(1)) == bus.done(bus.WANTED, 2)


UNDERSTOOD = {
    "our refusal": with_crc(bytes((UNIT, 0x83, 2))),
    "another's refusal": bus.read(0, 1, unit=6) + with_crc(bytes((6, 0x83, 2))),
    "a read": bus.read(0, 60, unit=6) + with_crc(bytes((6, 3, 120)) + bytes(120)),
    "a write": bus.write(0, 1, 2, unit=6) + with_crc(struct.pack(">BBHH", 6, 16, 0, 2)),
    "a broadcast read": bus.read(0, 1, unit=0),
    "what a driver makes": b"\0\xff\0",
}
NOISES = {
    "another function": b"\x01\x2b\x06\x03\xf0",
    "another function of ours": b"\x01\x2b" + bytes((UNIT, 0x2B)),
}


@pytest.mark.parametrize("before", UNDERSTOOD.values(), ids=UNDERSTOOD.keys())
def test_what_is_understood_does_not_delay_a_write(before: bytes) -> None:
    server, _ = new_server()
    assert server.feed(before + bus.want(1)) == bus.done(bus.WANTED, 2)


@pytest.mark.parametrize("before", NOISES.values(), ids=NOISES.keys())
def test_what_cannot_be_understood_does_not_delay_a_read(before: bytes) -> None:
    server, _ = new_server()
    assert server.feed(before + FENCE) == MAGIC


@pytest.mark.parametrize(
    "request_", [bus.want(1), bus.want(1, unit=0), bus.write_one(bus.WANTED, 1)]
)
def test_behind_what_nobody_understands_nothing_is_written_before_a_silence(
    request_: bytes,
) -> None:
    server, _ = new_server()
    assert hear(server, b"\x01\x2b" + request_) == b""
    assert hear(server, b"\x01\x2b" + FENCE + request_) == MAGIC
    assert in_window(server) == b"\xff" * 4
    hear(server, b"\0\xff\0" + request_)
    assert (in_window(server) == b"\xff" * 4) == (len(request_) == 8)


def test_the_caller_is_told_to_listen_for_silence() -> None:
    server, _ = new_server()
    assert not server.waiting
    server.feed(FENCE)
    assert not server.waiting
    server.feed(b"\x01\x2b")
    assert server.waiting, "what comes now begins no frame, before a silence"
    server.silence()
    assert not server.waiting


def test_no_map_is_asked_for_a_register_behind_the_last() -> None:
    class Everything:
        def read(self, address: int, count: int) -> bytes:
            assert address + count <= 0x10000
            return bytes(2 * count)

        def write(self, address: int, words: tuple[int, ...]) -> bool:
            assert address + len(words) <= 0x10000
            return True

    server = Server(UNIT, Everything())
    assert hear(server, bus.read(0xFFFF, 2)) == bus.refusal(3, 2)
    assert hear(server, bus.write(0xFFFF, 1, 2)) == bus.refusal(16, 2)
    assert hear(server, bus.read(0xFFFF, 1)) == with_crc(bytes((UNIT, 3, 2, 0, 0)))
    assert hear(server, bus.write(0xFFFF, 1)) == bus.done(0xFFFF, 1)


ANSWER = with_crc(bytes((9, 3, 26)) + bus.want(2) * 2)
SEGMENTS = st.one_of(
    st.binary(max_size=40).map(lambda data: ("garbage", data)),
    st.integers(0, 7).map(lambda sequence: ("want", bus.want(sequence))),
    st.integers(0, 7).map(lambda sequence: ("want of another", bus.want(sequence, unit=9))),
    st.integers(1, 125).map(lambda count: ("read", bus.read(bus.WINDOW, count))),
    st.integers(1, 60).map(lambda count: ("read of another", bus.read(bus.WINDOW, count, unit=9))),
    st.lists(st.one_of(st.binary(min_size=2), st.just(bus.want(6))), min_size=1)
    .map(lambda parts: b"".join(parts)[:250])
    .map(lambda data: ("answer of another", with_crc(bytes((9, 3, len(data))) + data))),
    st.integers(0, 7).map(lambda bit: ("damaged answer of another", flip(ANSWER, 1, bit))),
    st.tuples(st.integers(0, 12), st.integers(0, 7)).map(
        lambda at: ("damaged want", flip(bus.want(1), *at))
    ),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(SEGMENTS, max_size=12), st.integers(1, 256))
def test_between_silences_exactly_the_good_frames_count(
    segments: list[tuple[str, bytes]], chunk: int
) -> None:
    server, _ = new_server()
    wanted = b"\xff" * 4
    for kind, data in segments:
        said = hear(server, data, chunk)
        if kind == "want":
            assert said == bus.done(bus.WANTED, 2)
            wanted = data[7:11]
        elif kind == "read":
            assert said[:3] == bytes((UNIT, 3, 2 * data[5]))
        else:
            assert said == b""
        assert in_window(server) == wanted


@settings(deadline=None, max_examples=400)
@given(st.lists(SEGMENTS, max_size=12), st.integers(1, 256))
def test_without_silences_nothing_is_done_that_nobody_asked(
    segments: list[tuple[str, bytes]], chunk: int
) -> None:
    server, _ = new_server()
    said = hear(server, b"".join(data for _, data in segments), chunk)
    asked = [data for kind, data in segments if kind == "want"]
    assert in_window(server) in [b"\xff" * 4, *(data[7:11] for data in asked)]
    if not any(kind in ("want", "read") for kind, _ in segments):
        assert said == b""
    assert hear(server, FENCE) == MAGIC


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 0.3]))
def test_two_masters_at_one_window_both_get_their_own_records(seed: int, damage: float) -> None:
    chance = random.Random(seed)
    line = Line(partial(hear, new_server()[0]), chance, damage)
    tried: list[int] = []
    wishes = [[0, 1, 2, 3], [7, 6, 5, 4]]
    results = take_turns([fetch_all(line, METER, wish, tried) for wish in wishes], chance)
    assert results == [[SIGNER.records[i] for i in wish] for wish in wishes]
    assert len(tried) < 4000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_lost_and_damaged_frames_cost_tries_and_never_a_record(seed: int) -> None:
    chance = random.Random(seed)
    tried: list[int] = []
    line = Line(partial(hear, new_server()[0]), chance, 0.5)
    [result] = take_turns([fetch_all(line, METER, list(range(8)), tried)], chance)
    assert result == SIGNER.records
