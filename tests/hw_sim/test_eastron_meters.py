"""Simulated meters as a master sees them, each line in a process of its own."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

from hwsim.feeder import FeederDay, synthetic_day
from hwsim.meters import LATE_S
from hwsim.modbus_device import check_sum
from hwsim.scaled_clock import INTERVAL_MS, Pacer

UNITS = {"1": "boundary", "2": "customer-1", "9": "plant"}
SDM120_UNIT = 2
ENERGY, WORDS = 0x48, 4
PATIENCE_S = 10.0
SILENT_S = 0.3


def day() -> FeederDay:
    """The synthetic day, one customer with one phase."""
    whole = synthetic_day(intervals=8)
    return replace(
        whole,
        meters=tuple(
            replace(each, phases=1) if each.id == "customer-1" else each for each in whole.meters
        ),
    )


@dataclass
class Street:
    """Running meters."""

    day: FeederDay
    pacer: Pacer
    port: int
    link: Path
    faults: Path
    process: subprocess.Popen[str]

    def run(self, intervals: int) -> None:
        async def read(_: int) -> bool:
            return True

        asyncio.run(self.pacer.run(intervals, read))

    def energy(self, unit: int) -> tuple[int, int]:
        """The registers over TCP, Wh."""
        taken, given = struct.unpack(">2f", struct.pack(">4H", *self.read(unit, ENERGY, WORDS)))
        return round(taken * 1000), round(given * 1000)

    def value(self, unit: int, address: int) -> float:
        (value,) = struct.unpack(">f", struct.pack(">2H", *self.read(unit, address, 2)))
        return float(value)

    def read(self, unit: int, address: int, count: int) -> list[int]:
        with ModbusTcpClient("127.0.0.1", port=self.port, timeout=PATIENCE_S) as client:
            found = client.read_input_registers(address, count=count, device_id=unit)
            assert not found.isError(), found
            return list(found.registers)

    def exception(self, request: bytes) -> int:
        """The exception code that a request over TCP is answered with."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as line:
            line.sendall(struct.pack(">HHHB", 7, 0, len(request) + 1, 1) + request)
            answer = line.recv(300)
        assert answer[:6] == struct.pack(">HHH", 7, 0, 3)
        assert answer[7] == request[0] | 0x80
        return answer[8]


@pytest.fixture
def street(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Street]:
    today = day()
    pacer = Pacer(tmp_path / "pace", today.start_s * 1000)
    today.save(tmp_path / "day.json")
    port, link, faults = free_port(), tmp_path / "line", tmp_path / "faults.json"
    config = {
        "pace": str(pacer.path),
        "day": str(tmp_path / "day.json"),
        "faults": str(faults),
        "tcp": [{"port": port, "units": UNITS}],
        "rtu": [{"link": str(link), "units": UNITS}],
        **getattr(request, "param", {}),
    }
    (tmp_path / "meters.json").write_text(json.dumps(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "hwsim.meters", "--config", str(tmp_path / "meters.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Street(today, pacer, port, link, faults, process)
    finally:
        process.kill()
        process.communicate()
        pacer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_every_unit_counts_its_own_meters_day_in_network_time(street: Street) -> None:
    street.run(3)
    at_ms = street.day.start_s * 1000 + 3 * INTERVAL_MS + 2_000
    for unit, name in UNITS.items():
        expected = [mwh // 10_000 * 10 for mwh in street.day.registers_mwh(name, at_ms)]
        assert list(street.energy(int(unit))) == expected


@pytest.mark.parametrize("street", [{"register_wh": 1}], indirect=True)
def test_registers_resolve_what_the_configuration_says(street: Street) -> None:
    street.run(1)
    at_ms = street.day.start_s * 1000 + INTERVAL_MS + 2_000
    expected = tuple(mwh // 1000 for mwh in street.day.registers_mwh("customer-1", at_ms))
    assert street.energy(2) == expected
    assert expected[0] % 10


def test_a_three_phase_meter_shows_plausible_power_and_voltage(street: Street) -> None:
    street.run(2)
    advance_wh = (
        street.day.meter("boundary").import_wh[2] - street.day.meter("boundary").import_wh[1]
    )
    assert [street.value(1, address) for address in (0x00, 0x02, 0x04, 0x46)] == [230] * 3 + [50]
    assert street.value(1, 0x34) == pytest.approx(advance_wh * 4, rel=0.1)
    phases = [street.value(1, address) for address in (0x0C, 0x0E, 0x10)]
    assert sum(phases) == pytest.approx(street.value(1, 0x34), rel=1e-5)


def test_a_single_phase_meter_is_an_sdm120(street: Street) -> None:
    street.run(2)
    assert [street.value(SDM120_UNIT, address) for address in (0x00, 0x02, 0x34)] == [230, 0, 0]
    assert street.value(SDM120_UNIT, 0x0C) > 200


def test_what_an_eastron_refuses_is_refused_as_it_does(street: Street) -> None:
    assert street.exception(struct.pack(">BHH", 3, ENERGY, 4)) == 2
    assert street.exception(struct.pack(">BHH", 1, ENERGY, 4)) == 1
    assert street.exception(struct.pack(">BHH", 4, 0x49, 2)) == 2
    assert street.exception(struct.pack(">BHH", 4, 0x48, 3)) == 2
    assert street.exception(struct.pack(">BHH", 4, 0x400, 2)) == 2
    assert street.exception(struct.pack(">BHH", 4, 0, 82)) == 3
    assert street.exception(struct.pack(">BHH", 4, 0, 0)) == 3


def test_an_ordinary_master_reads_the_serial_line(street: Street) -> None:
    with ModbusSerialClient(str(street.link), baudrate=9_600, timeout=PATIENCE_S) as master:
        for unit in map(int, UNITS):
            found = master.read_input_registers(ENERGY, count=WORDS, device_id=unit)
            assert list(found.registers) == street.read(unit, ENERGY, WORDS)


@contextlib.contextmanager
def serial_line(link: Path) -> Iterator[int]:
    port = os.open(link, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port, termios.TCSANOW)
    try:
        yield port
    finally:
        os.close(port)


def ask(port: int, unit: int, wait_s: float, noise: bytes = b"") -> bytes:
    """Ask for the energies on a serial line; whatever comes back in that time."""
    request = struct.pack(">BBHH", unit, 4, ENERGY, WORDS)
    os.write(port, noise + request + check_sum(request))
    return answer(port, wait_s)


def answer(port: int, wait_s: float) -> bytes:
    held, deadline = b"", time.monotonic() + wait_s
    while len(held) < 5 + 2 * WORDS and (left_s := deadline - time.monotonic()) > 0:
        if select.select([port], [], [], left_s)[0]:
            held += os.read(port, 256)
    return held


def stands(frame: bytes) -> bool:
    return len(frame) == 5 + 2 * WORDS and check_sum(frame[:-2]) == frame[-2:]


def test_faults_are_switched_while_the_meters_run(street: Street) -> None:
    with serial_line(street.link) as port:
        assert stands(ask(port, 1, PATIENCE_S))
        street.faults.write_text('{"1": "crc"}')
        damaged = ask(port, 1, PATIENCE_S)
        assert len(damaged) == 13
        assert not stands(damaged)
        street.faults.write_text('{"1": "dead", "2": "late"}')
        assert ask(port, 1, SILENT_S) == b""
        assert ask(port, 2, LATE_S / 2) == b""
        assert stands(answer(port, PATIENCE_S))
        assert stands(ask(port, 9, PATIENCE_S))
        street.faults.unlink()
        assert stands(ask(port, 1, PATIENCE_S))


def test_noise_and_strangers_units_are_not_answered(street: Street) -> None:
    with serial_line(street.link) as port:
        assert ask(port, 77, SILENT_S) == b""
        assert stands(ask(port, 1, PATIENCE_S, noise=b"\x00\xff\x13"))


def test_over_tcp_a_damaged_reply_is_cut_short(street: Street) -> None:
    street.faults.write_text('{"1": "crc"}')
    request = struct.pack(">BHH", 4, ENERGY, WORDS)
    with socket.create_connection(("127.0.0.1", street.port), timeout=PATIENCE_S) as line:
        line.sendall(struct.pack(">HHHB", 7, 0, len(request) + 1, 1) + request)
        reply = line.recv(300)
    assert reply[8] == 2 * WORDS
    assert len(reply) == 9 + 2 * WORDS - 1


def test_who_speaks_no_modbus_over_tcp_loses_the_line_and_nobody_else_does(street: Street) -> None:
    with socket.create_connection(("127.0.0.1", street.port), timeout=PATIENCE_S) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(300) == b""
    assert street.energy(1) == (50_000, 20_000)


def test_sigterm_ends_it_without_a_word_while_masters_are_connected(street: Street) -> None:
    with socket.create_connection(("127.0.0.1", street.port), timeout=PATIENCE_S):
        assert street.energy(1) == (50_000, 20_000)
        street.process.send_signal(signal.SIGTERM)
        _, said = street.process.communicate(timeout=PATIENCE_S)
    assert (street.process.returncode, said) == (0, "")
    assert not street.link.is_symlink()
