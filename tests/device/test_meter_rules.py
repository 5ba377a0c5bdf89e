"""The meter's rules one by one, without a board: intervals, registers, log, time, framing."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter import boot, config, modbus, registers_map, sunspec
from meter.clock import BusClock
from meter.elements.simulated import SimulatedElement
from meter.intervals import Intervals
from meter.log import SLOT, Log
from meter.paced_clock import PacedClock
from meter.registers import Registers
from wire import cbor

T = 1_751_328_000
MINUTE_MS = 60_000


def walk(intervals: Intervals, times_ms: list[int]) -> list[int]:
    """Look at the clock at each time; the starts of the intervals that closed."""
    closed = []
    awake = False
    for now_ms in times_ms:
        boundary_s = intervals.boundary(now_ms, awake)
        awake = True
        if boundary_s is not None:
            start_s = intervals.close(boundary_s)
            closed += [] if start_s is None else [start_s]
    return closed


def every_minute(first_s: int, minutes: int) -> list[int]:
    return [first_s * 1000 + i * MINUTE_MS for i in range(minutes)]


def test_the_first_record_is_of_the_first_whole_interval() -> None:
    assert walk(Intervals(900), every_minute(T + 60, 45)) == [T + 900, T + 1800]


def test_an_interval_with_a_short_power_cut_is_closed_whole() -> None:
    resumed = Intervals(900, open_start_s=T, closed_until_s=T)
    assert walk(resumed, every_minute(T + 600, 10)) == [T]


def test_an_interval_whose_end_was_slept_through_is_a_gap() -> None:
    resumed = Intervals(900, open_start_s=T, closed_until_s=T)
    assert walk(resumed, every_minute(T + 1200, 30)) == [T + 900 + 900]


def test_a_jump_over_a_boundary_leaves_a_gap() -> None:
    times = every_minute(T + 60, 20) + every_minute(T + 4 * 900 + 60, 35)
    assert walk(Intervals(900), times) == [T + 5 * 900]


@settings(deadline=None)
@given(st.lists(st.integers(T * 1000, (T + 9000) * 1000), max_size=60))
def test_no_interval_is_closed_twice_whatever_the_clock_does(times_ms: list[int]) -> None:
    closed = walk(Intervals(900), times_ms)
    assert closed == sorted(set(closed))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9)) | st.none()))
def test_registers_never_run_backwards(counters: list[tuple[int, int] | None]) -> None:
    registers = Registers()
    before = registers.wh()
    for values in counters:
        registers.count(values)
        after = registers.wh()
        assert after[0] >= before[0]
        assert after[1] >= before[1]
        before = after


def test_an_exchanged_element_counts_on_from_zero() -> None:
    registers = Registers([5_000_000, 0], [9_000_000, 0])
    registers.count((40_000, 0))
    assert registers.wh() == (5_040, 0)


def test_the_simulated_element_interpolates_and_holds_at_its_ends(tmp_path: Path) -> None:
    profile = tmp_path / "profile.csv"
    profile.write_text(f"{T},0,50\n{T + 900},90000,50\n{T + 1800},90000,1850\n")
    element = SimulatedElement(str(profile))
    times_s = (T - 5, T, T + 450, T + 900, T + 1350, T + 9000, T + 1)
    assert [element.read(at * 1000) for at in times_s] == [
        (0, 50),
        (0, 50),
        (45_000, 50),
        (90_000, 50),
        (90_000, 950),
        (90_000, 1_850),
        (100, 50),
    ]


def test_the_log_is_a_ring_that_drops_its_oldest_file(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), files=2, per_file=3)
    for sequence in range(10):
        log.append(sequence, b"record %d" % sequence)
    again = Log(str(tmp_path / "log"), files=2, per_file=3)
    assert (again.tail, again.head) == (log.tail, log.head) == (6, 10)
    assert [again.read(i) for i in (5, 6, 9, 10)] == [None, b"record 6", b"record 9", None]


@pytest.mark.parametrize("left", [0, 1, 8, SLOT - 1])
def test_a_torn_tail_is_cut_off_and_made_again(tmp_path: Path, left: int) -> None:
    log = Log(str(tmp_path / "log"), per_file=3)
    log.append(0, b"first")
    log.append(1, b"second")
    path = tmp_path / "log" / "0"
    path.write_bytes(path.read_bytes()[: SLOT + left])
    again = Log(str(tmp_path / "log"), per_file=3)
    assert again.head == 1
    again.append(1, b"second")
    assert [again.read(i) for i in (0, 1)] == [b"first", b"second"]


def test_a_damaged_record_is_not_shown(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    for sequence in range(3):
        log.append(sequence, b"record")
    path = tmp_path / "log" / "0"
    data = bytearray(path.read_bytes())
    data[SLOT + 10] ^= 1
    path.write_bytes(data)
    again = Log(str(tmp_path / "log"))
    assert again.head == 3
    assert [again.read(i) for i in range(3)] == [b"record", None, b"record"]


def test_a_log_without_its_state_stops_the_meter(tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    assert boot.load(path, head=0)["boots"] == 0
    with pytest.raises(boot.StateLost):
        boot.load(path, head=1)


class Ticks:
    """A board's millisecond counter."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_a_clock_that_was_never_set_tells_no_time() -> None:
    clock = BusClock(Ticks(), lambda a, b: a - b, times_set=3, set_at_s=77)
    assert clock.now_ms() is None
    assert clock.evidence() == [0, 3, 77, 0]


def test_time_within_the_bound_disciplines_and_time_beyond_it_is_counted_as_set() -> None:
    ticks = Ticks()
    clock = BusClock(ticks, lambda a, b: a - b)
    clock.give(T * 1000, 1, 10)
    ticks.now = 1_000_000
    clock.give(T * 1000 + 1_000_900, 1, 1010)
    assert (clock.evidence(), clock.adjusted) == ([2, 1, 10, 2], False)
    clock.give(T * 1000 + 9_000_000, 1, 1010)
    assert (clock.evidence(), clock.adjusted) == ([2, 2, 1010, 2], T * 1000 + 9_000_000)
    assert clock.now_ms() == T * 1000 + 9_000_000


def test_an_old_setting_lowers_the_quality_of_the_clock() -> None:
    ticks = Ticks()
    clock = BusClock(ticks, lambda a, b: a - b)
    clock.give(T * 1000, 1, 0)
    ticks.now = 400_000_000
    assert clock.evidence() == [1, 1, 0, 22]


def test_paced_time_stands_at_its_limit_and_never_runs_back(tmp_path: Path) -> None:
    pace = tmp_path / "pace"
    pace.write_bytes(struct.pack("<6Q", 1, T * 1000, 0, 10**6, T * 1000 + 5, 1))
    clock = PacedClock(str(pace))
    assert clock.now_ms() == T * 1000 + 5
    pace.write_bytes(struct.pack("<6Q", 2, T * 1000 + 90, 0, 0, T * 1000 + 90, 3))
    assert clock.now_ms() == T * 1000 + 5, "a torn file is not time"
    pace.write_bytes(struct.pack("<6Q", 2, T * 1000 - 90, 0, 0, T * 1000 - 90, 2))
    assert clock.now_ms() == T * 1000 + 5


class OneRegister:
    """A map with register 7 only."""

    def __init__(self) -> None:
        self.value = 99

    def read(self, address: int, count: int) -> bytes | None:
        return struct.pack(">H", self.value) if (address, count) == (7, 1) else None

    def write(self, address: int, words: tuple[int, ...]) -> bool:
        if address != 7:
            return False
        self.value = words[0]
        return True


READ_7 = modbus.with_crc(b"\x05\x03\x00\x07\x00\x01")
SAYS_99 = modbus.with_crc(b"\x05\x03\x02\x00\x63")


@settings(deadline=None)
@given(st.binary(max_size=20).filter(lambda data: 5 not in data and 0 not in data))
def test_a_frame_is_found_behind_garbage(garbage: bytes) -> None:
    server = modbus.Server(5, OneRegister())
    assert server.feed(garbage + READ_7) + server.silence() == SAYS_99


@pytest.mark.parametrize("cut", range(8))
def test_a_frame_may_come_in_pieces_and_any_wrong_bit_silences_it(cut: int) -> None:
    server = modbus.Server(5, OneRegister())
    for bit in range(64):
        assert server.feed(READ_7[:cut]) + server.feed(READ_7[cut:]) == SAYS_99
        wrong = bytearray(READ_7)
        wrong[bit // 8] ^= 1 << bit % 8
        assert server.feed(bytes(wrong)) + server.silence() == b""


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_never_answered_and_never_writes(garbage: bytes) -> None:
    registers = OneRegister()
    server = modbus.Server(5, registers)
    if modbus.crc16(garbage[-8:]):
        assert server.feed(garbage) + server.silence() == b""
    assert registers.value == 99


def test_half_a_frame_is_forgotten_in_the_silence() -> None:
    server = modbus.Server(5, OneRegister())
    server.feed(READ_7[:5])
    assert server.waiting
    assert server.silence() == b""
    assert server.feed(READ_7) == SAYS_99


def test_a_broadcast_writes_and_is_not_answered() -> None:
    registers = OneRegister()
    server = modbus.Server(5, registers)
    assert server.feed(modbus.with_crc(b"\x00\x06\x00\x07\x01\x00")) == b""
    assert registers.value == 256


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\x03\x00\x07\x00\x7e", 3),
        (b"\x04\x00\x07\x00\x00", 3),
        (b"\x03\x00\x08\x00\x01", 2),
        (b"\x06\x00\x08\x00\x01", 2),
        (b"\x10\x00\x07\x00\x01\x03\x00\x00\x00", 3),
        (b"\x01\x00\x07\x00\x01", 1),
        (b"\x2b\x0e\x01\x00", 1),
    ],
)
def test_refusals_carry_their_exception(pdu: bytes, code: int) -> None:
    server = modbus.Server(5, OneRegister())
    answer = server.feed(modbus.with_crc(b"\x05" + pdu)) + server.silence()
    assert answer == modbus.with_crc(bytes((5, pdu[0] | 0x80, code)))


class TimeTaker:
    """A meter's application, as far as time and snapshots go."""

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []
        self.answer: bool | None = True

    def give_time(self, network_ms: int, error_s: int) -> bool | None:
        self.given.append((network_ms, error_s))
        return self.answer

    def snapshot(self) -> bool | None:
        return self.answer


def test_time_counts_when_all_four_registers_have_come() -> None:
    meter = TimeTaker()
    window = registers_map.RegistersMap(meter, "M-1", bytes(64))
    base = registers_map.WINDOW + registers_map.TIME
    assert window.write(base, (T >> 16, T & 0xFFFF, 250)) is True
    assert meter.given == []
    assert window.write(base + 3, (2,)) is True
    assert meter.given == [(T * 1000 + 250, 2)]
    assert window.write(base + 3, (2, 2)) is False
    assert window.write(sunspec.START, (0,)) is False


def test_nonsense_is_an_illegal_value_and_a_full_event_log_a_busy_device() -> None:
    meter = TimeTaker()
    window = registers_map.RegistersMap(meter, "M-1", bytes(64))
    time, snapshot = (registers_map.WINDOW + at for at in (registers_map.TIME, 11))
    for answer, code in ((False, 3), (None, 6)):
        meter.answer = answer
        assert window.write(time, (T >> 16, T & 0xFFFF, 0, 1)) == code
    assert window.write(snapshot, (1,)) == 6
    meter.answer = True
    assert window.write(snapshot, (1,)) is True
    assert window.write(snapshot, (2,)) == 3


SOUND: dict[str, Any] = {
    "meter": "GW-000001",
    "node": "LV1.101.Bus-7",
    "zone": "z1",
    "unit": 5,
    "element": {"kind": "simulated", "profile": "/profile.csv"},
}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"unit": 0}, "unit"),
        ({"color": "red"}, "color"),
        ({"unit": "5"}, "unit"),
        ({"configuration_id": "00"}, "configuration_id is not known"),
        ({"locked": True}, "only integers"),
        ({"site": [13.7, 100]}, "only integers"),
        ({"log_days": 401}, "log_days: not from 2 to 400"),
        ({"element": "s0"}, "element: an object"),
        ({"key": "paper"}, "key: flash or atecc608"),
        ({"zone": "z 1"}, "zone"),
        ({"node": "bus 7"}, "node"),
        ({"node": "-7"}, "node"),
        ({"meter": ""}, "meter"),
        ({"meter": "m" * 20, "node": "n" * 33}, "too long"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_key(
    tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SOUND))
    sound = config.load(str(path), str(tmp_path / "none"))
    assert (sound["interval_s"], sound["commissioned"]) == (900, False)
    payload = cbor.encode(SOUND)
    assert sound["configuration_id"] == hashlib.sha256(payload).digest()[:8]
    signed = tmp_path / "commissioning.cbor"
    signed.write_bytes(b"head" + payload + b"signatures")
    assert config.load(str(path), str(signed))["commissioned"] is True
    path.write_text(json.dumps(SOUND | change))
    with pytest.raises(config.NotConfigured, match=word):
        config.load(str(path))
