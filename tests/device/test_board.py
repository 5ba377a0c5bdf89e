"""The real firmware on a simulated board: made over mpremote, read over Modbus, cut from power."""

import itertools
import os
import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient

from device.provision.board import FIRMWARE, BoardRefused, Commissioned, commission, session
from device.provision.bundle import make
from hwsim.board import Board, BoardDied, inside
from meter.modbus import with_crc
from wire.errors import Unavailable
from wire.keys import ES256, SoftSigner
from wire.reading import SignedReading

T = 1_751_328_000
UNIT = 5
WINDOW = 0xF000
NONE = 0xFFFFFFFF
PATIENCE_S = 20.0
TECHNICIAN = SoftSigner.from_private(ES256, bytes(31) + b"\x07")


class Pace:
    """Network time, written as a pacer does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._generation = 0
        self.run(T - 10, T - 10, 1)

    def run(self, from_s: int, until_s: int, rate: int) -> None:
        """Let time run from one moment until another, `rate` times as fast as life."""
        self._generation += 1
        wall_us = time.time_ns() // 1000
        numbers = (from_s * 1000, wall_us, rate * 10**6, until_s * 1000)
        data = struct.pack("<6Q", self._generation, *numbers, self._generation)
        descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY)
        os.pwrite(descriptor, data, 0)
        os.close(descriptor)


class Meter:
    """A commissioned board, and a master on its line."""

    def __init__(self, folder: Path, intervals: int = 400, in_life: bool = False) -> None:
        folder.mkdir()
        self.pace = Pace(folder / "pace")
        profile = folder / "profile.csv"
        rows = range(intervals + 1)
        profile.write_text("".join(f"{T + 900 * i},{i * 250_400},{i * 7_000}\n" for i in rows))
        self.config: dict[str, Any] = {
            "meter": "GW-000001",
            "node": "LV1.101.Bus-7",
            "zone": "z1",
            "unit": UNIT,
            "service_window_ms": 0,
            "element": {"kind": "simulated", "profile": inside(profile)},
        }
        if in_life:  # With intervals of a second, as nobody waits for a quarter of an hour.
            self.config["interval_s"] = 1
        else:
            self.config["paced_time_file"] = inside(self.pace.path)
        self.board = Board(folder / "board", "meter-1")
        self.board.start()
        self.made = self.commission()
        self.board.wait_serving()
        self.master = ModbusSerialClient(str(self.board.line), timeout=0.5, retries=3)
        assert self.master.connect()

    def commission(self) -> Commissioned:
        return commission(str(self.board.console), FIRMWARE, self.config, TECHNICIAN)

    def words(self, address: int, count: int) -> list[int]:
        answer = self.master.read_holding_registers(address, count=count, device_id=UNIT)
        assert not answer.isError(), answer
        return list(answer.registers)

    def octets(self, address: int, count: int) -> bytes:
        return b"".join(word.to_bytes(2, "big") for word in self.words(address, count))

    def head(self) -> int:
        return int.from_bytes(self.octets(WINDOW + 2, 2), "big")

    def wait_head(self, wanted: int) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while (head := self.head()) < wanted:
            assert time.monotonic() < deadline, f"{head} records, not {wanted}"
        return head

    def record(self, sequence: int) -> bytes:
        words = [sequence >> 16, sequence & 0xFFFF]
        assert not self.master.write_registers(WINDOW + 6, words, device_id=UNIT).isError()
        loaded, size = struct.unpack(">LH", self.octets(WINDOW + 8, 3))
        assert loaded in (sequence, NONE)
        return (self.octets(WINDOW + 128, 64) + self.octets(WINDOW + 192, 64))[:size]

    def reading(self, sequence: int) -> SignedReading:
        signed = SignedReading.open(self.record(sequence))
        signed.verify(self.made.public)
        return signed

    def close(self) -> None:
        self.master.close()  # type: ignore[no-untyped-call]
        self.board.close()


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """A meter that has closed three intervals, for tests that change nothing."""
    made = Meter(tmp_path_factory.mktemp("meter") / "desk")
    made.pace.run(T - 10, T + 2700 + 2, 4_000)
    made.wait_head(3)
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Meter]:
    made = Meter(tmp_path / "desk")
    yield made
    made.close()


def test_a_closed_interval_is_signed_and_served(meter: Meter) -> None:
    reading = meter.reading(1).reading
    assert (reading.meter, reading.node) == ("GW-000001", "LV1.101.Bus-7")
    assert (reading.interval_start_s, reading.interval_s) == (T + 900, 900)
    assert (reading.import_wh, reading.export_wh) == (500, 14)
    assert (reading.import_advance_wh, reading.export_advance_wh) == (250, 7)
    assert (reading.sequence, reading.boots, reading.status) == (1, 1, 1 << 19)
    assert reading.clock.items() == [2, 1, 0, 1]
    assert reading.software_id == meter.made.software_id
    assert reading.configuration_id == meter.made.configuration_id


def test_readings_form_a_chain_whose_registers_add_up(meter: Meter) -> None:
    before, after = meter.reading(1), meter.reading(2)
    assert meter.reading(0).reading.previous == bytes(32)
    assert after.reading.previous == before.sig_hash
    advance = after.reading.import_advance_wh
    assert after.reading.import_wh == before.reading.import_wh + advance
    assert advance == 251, "the watt-hour that fractions of three intervals made"


def test_the_window_names_the_meter_and_its_key(meter: Meter) -> None:
    assert meter.octets(WINDOW, 6) == b"EW" + struct.pack(">HLL", 1, 3, 0)
    assert meter.octets(WINDOW + 16, 40).rstrip(b"\0") == b"GW-000001"
    assert meter.octets(WINDOW + 56, 32) == meter.made.public.raw


def test_a_record_that_the_log_has_not_is_shown_as_none(meter: Meter) -> None:
    assert meter.record(3) == b""
    assert meter.octets(WINDOW + 8, 2) == b"\xff" * 4


def test_sunspec_tools_find_the_models(meter: Meter) -> None:
    assert meter.octets(40000, 4) == b"SunS" + struct.pack(">HH", 1, 66)
    assert meter.octets(40052, 16).rstrip(b"\0") == b"GW-000001"
    assert meter.words(40070, 2) == [203, 105]
    assert meter.words(40072 + 105, 2) == [0xFFFF, 0]
    assert meter.octets(40072 + 36, 2) == (21).to_bytes(4, "big"), "exported Wh"
    assert meter.octets(40072 + 44, 2) == (751).to_bytes(4, "big"), "imported Wh"
    assert meter.words(40072 + 52, 1) == [0]


def raw(meter: Meter, request: bytes) -> None:
    """Put bytes on the line behind the master's back."""
    descriptor = os.open(meter.board.line, os.O_RDWR | os.O_NOCTTY)
    os.write(descriptor, request)
    os.close(descriptor)


@pytest.mark.parametrize(
    "noise",
    [
        b"\x05\x03\xf0\x00\x00\x01\x00\x00",
        b"\x05\x10\xf0\x06\x00\x02\x04\x00\x00\x00\x01\xff\xff",
        random.Random(7).randbytes(200),
        b"\x05\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        with_crc(b"\x06\x03\xf0\x00\x00\x01"),
        with_crc(b"\x06\x10\xf0\x06\x00\x02\x04\x00\x00\x00\x01"),
    ],
    ids=[
        "read with a bad CRC",
        "write with a bad CRC",
        "garbage",
        "half a frame",
        "HTTP",
        "read from another unit",
        "write to another unit",
    ],
)
def test_noise_on_the_line_gets_silence_and_changes_nothing(meter: Meter, noise: bytes) -> None:
    meter.record(2)
    raw(meter, noise)
    assert meter.octets(WINDOW + 8, 2) == (2).to_bytes(4, "big")
    port: Any = meter.master.socket
    assert port.in_waiting == 0


def test_more_than_125_registers_are_an_exception(meter: Meter) -> None:
    frame = bytes((UNIT, 3)) + struct.pack(">HH", WINDOW, 126)
    raw(meter, with_crc(frame))
    port: Any = meter.master.socket
    assert port.read(5) == with_crc(bytes((UNIT, 0x83, 3)))


def test_what_is_not_there_cannot_be_read_or_written(meter: Meter) -> None:
    assert meter.master.read_holding_registers(0, count=2, device_id=UNIT).exception_code == 2
    for address in (WINDOW, WINDOW + 56, WINDOW + 128, 40000):
        assert meter.master.write_register(address, 1, device_id=UNIT).exception_code == 2


def cpu_ms(pid: int) -> int:
    """Milliseconds of processor time of a process and its running children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_ms(int(child)) for child in children)


def test_a_waiting_board_costs_next_to_no_processor_time(meter: Meter) -> None:
    before = cpu_ms(meter.board.pid)
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        assert select.select([quiet], [], [], 1.0) == ([], [], [])
    assert cpu_ms(meter.board.pid) - before <= 50


def test_provisioning_again_keeps_the_key_and_the_records(fresh: Meter) -> None:
    fresh.pace.run(T - 10, T + 902, 4_000)
    fresh.wait_head(1)
    assert fresh.commission() == fresh.made
    fresh.board.wait_serving()
    assert fresh.reading(0).reading.boots == 1
    assert fresh.made.software_id == make("simulated").software_id


@pytest.mark.parametrize("program", ["while True: pass", "import time\ntime.sleep(1000)"])
def test_a_board_can_always_be_interrupted(tmp_path: Path, program: str) -> None:
    board = Board(tmp_path / "board")
    board.start()
    for _ in range(3):
        with session(str(board.console)) as console:
            console.leave(program)
    with session(str(board.console)) as console:
        assert console.ask("print(6 * 7)") == 42
    board.close()


def test_a_board_refuses_a_configuration_that_it_cannot_run_with(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    board.start()
    with pytest.raises(BoardRefused, match="node is missing"):
        commission(str(board.console), FIRMWARE, {"meter": "M-1"}, TECHNICIAN)
    board.close()
    with pytest.raises(Unavailable):
        commission(str(board.console), FIRMWARE, {"meter": "M-1"}, TECHNICIAN)


def test_a_broken_interpreter_is_told_apart_from_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROPYTHON", "/nonexistent")
    with pytest.raises(BoardDied):
        Board(tmp_path / "board").start()


def test_a_meter_that_does_not_know_the_time_closes_nothing_until_it_is_given(
    tmp_path: Path,
) -> None:
    meter = Meter(tmp_path / "desk", in_life=True)
    reads = 50
    assert [meter.head() for _ in range(reads)] == [0] * reads
    words = [T >> 16, T & 0xFFFF, 500, 1]
    assert not meter.master.write_registers(WINDOW + 100, words, device_id=UNIT).isError()
    meter.wait_head(1)
    reading = meter.reading(0).reading
    assert (reading.interval_start_s, reading.clock.quality) == (T + 1, 2)
    assert reading.clock.times_set == 1
    meter.board.kill()
    meter.board.start()
    meter.board.wait_serving()
    head = meter.head()
    assert [meter.head() for _ in range(reads)] == [head] * reads, "its clock has stopped"
    meter.close()


def test_power_cuts_lose_no_record_and_reuse_no_sequence(fresh: Meter) -> None:
    chance = random.Random(2)
    fresh.pace.run(T - 10, T + 300 * 900, 9_000)
    fresh.wait_head(1)
    seen: dict[int, bytes] = {}
    for _ in range(25):
        head = fresh.wait_head(len(seen) + chance.randint(0, 2))
        for sequence in range(len(seen), head):
            seen[sequence] = fresh.record(sequence)
        fresh.board.kill()
        fresh.board.start()
        fresh.board.wait_serving()
        assert fresh.head() >= head
    fresh.wait_head(len(seen) + 2)
    check_history(fresh, [fresh.reading(sequence) for sequence in range(len(seen))])
    assert [fresh.record(sequence) for sequence in seen] == list(seen.values())


def check_history(meter: Meter, history: list[SignedReading]) -> None:
    """The whole life of a meter hangs together over its power cuts."""
    for before, after in itertools.pairwise(history):
        older, newer = before.reading, after.reading
        assert newer.previous == before.sig_hash
        assert newer.sequence == older.sequence + 1
        assert newer.boots >= older.boots
        assert newer.operating_s > older.operating_s
        assert newer.interval_start_s > older.interval_start_s
        if newer.interval_start_s == older.interval_start_s + 900:
            assert newer.import_wh == older.import_wh + newer.import_advance_wh
        assert newer.import_wh == (newer.interval_start_s + 900 - T) // 900 * 250_400 // 1000
    assert len({reading.reading.boots for reading in history}) > 10
