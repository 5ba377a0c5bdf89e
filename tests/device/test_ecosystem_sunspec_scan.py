"""SunSpec's own client scans a MicroPython board over its serial line and finds what was measured.

The board runs the meter's Modbus server and SunSpec block behind elements that measure what the
test says, one unit each.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mpremote.transport_serial import SerialTransport
from sunspec2.modbus.client import SunSpecModbusClientDeviceRTU, SunSpecModbusClientError

from hwsim.board import Board
from meter import sunspec
from tests.device.test_ecosystem_sunspec_points import Reader, values

FIRMWARE = Path(__file__).parent.parent.parent / "device/firmware"
CODE = ("meter/__init__.py", "meter/modbus.py", "meter/sunspec.py")
MAIN = """
import machine
import select
from meter import sunspec
from meter.modbus import Server

class Map:
    def __init__(self, unit, arguments):
        self.arguments = arguments + (unit,)

    def read(self, address, count):
        block = sunspec.block(*self.arguments)
        start = 2 * (address - sunspec.START)
        if start < 0 or start + 2 * count > len(block):
            return None
        return block[start : start + 2 * count]

    def write(self, address, words):
        return False

uart = machine.UART(0, 9600)
servers = [Server(unit, Map(unit, arguments)) for unit, arguments in %r.items()]
poller = select.poll()
poller.register(uart, select.POLLIN)
print("meters", "serves unit", len(servers))
while True:
    data = uart.read(256) if poller.poll(20) else None
    for server in servers:
        answer = server.feed(data) if data else server.silence()
        if answer:
            uart.write(answer)
"""

METERS: dict[int, tuple[Any, ...]] = {
    1: ("GW-000001", "a1b2c3d4", 12_345_678, 7, None),
    2: ("GW-000002", "s", 1, 2**32 + 9, (50_013, ((231_420, 4_371, -987_654),))),
    3: ("GW-000003", "s", 0, 1, (49_987, ((0, 0, 0),))),
    247: (
        "GW-247",
        "s",
        2**32 - 1,
        3,
        (
            59_996,
            ((229_951, 31_007, 7_100_499), (230_049, 12, -1_500), (228_250, 99_999, -(2**24))),
        ),
    ),
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    board = Board(tmp_path_factory.mktemp("sunspec") / "board")
    board.start()
    transport = SerialTransport(os.path.realpath(board.console), timeout=20)
    transport.enter_raw_repl()
    transport.fs_mkdir("/meter")
    for name in CODE:
        transport.fs_writefile("/" + name, (FIRMWARE / name).read_bytes())
    transport.fs_writefile("/main.py", (MAIN % METERS).encode())
    transport.exec_raw_no_follow("import machine\nmachine.reset()")
    transport.close()
    board.wait_serving()
    yield board.line
    board.close()


def scanned(line: Path, unit: int, timeout: float = 5.0) -> SunSpecModbusClientDeviceRTU:
    device = SunSpecModbusClientDeviceRTU(unit, str(line), baudrate=9600, timeout=timeout)
    try:
        device.scan()
    finally:
        device.close()
    return device


@pytest.mark.parametrize("unit", METERS)
def test_the_scan_finds_every_point_as_it_was_measured(line: Path, unit: int) -> None:
    device = scanned(line, unit)
    expected = Reader(sunspec.block(*METERS[unit], unit))
    expected.scan()
    for number in (1, 203):
        [model] = device.models[number]
        assert model.error_info == ""
        assert values(model) == values(expected.models[number][0])


def test_the_numbers_are_those_on_the_elements_display(line: Path) -> None:
    common, meter = (values(scanned(line, 2).models[number][0]) for number in (1, 203))
    assert (common["SN"], common["DA"]) == ("GW-000002", 2)
    measured = {name: meter[name] for name in ("Hz", "PhVphA", "AphA", "WphA", "VAphA", "PFphA")}
    assert measured == {
        "Hz": 50.01,
        "PhVphA": 231.4,
        "AphA": 4.37,
        "WphA": -988,
        "VAphA": 1012,
        "PFphA": -97.64,
    }
    assert (meter["W"], meter["WphB"], meter["PPV"], meter["VAR"]) == (-988, None, None, None)
    assert (meter["TotWhImp"], meter["TotWhExp"]) == (1, 9)


def test_three_phases_add_up(line: Path) -> None:
    [meter] = scanned(line, 247).models[203]
    found = values(meter)
    assert [found[name] for name in ("WphA", "WphB", "WphC", "W")] == [7100, 0, -16780, -9680]
    assert [found[name] for name in ("AphA", "AphB", "AphC", "A")] == [31.01, 0.01, 100.0, 131.02]
    assert [found[name] for name in ("PhVphA", "PhVphB", "PhVphC")] == [230.0, 230.0, 228.3]
    assert found["TotWhImp"] == 2**32 - 1


def test_a_unit_that_is_not_there_is_silent(line: Path) -> None:
    with pytest.raises(SunSpecModbusClientError, match="Response timeout"):
        scanned(line, 99, timeout=0.1)
