"""Strangers read simulated meters on a pty: mbpoll, pymodbus's and pysunspec2's clients."""

import asyncio
import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusIOException
from sunspec2.modbus.client import SunSpecModbusClientDeviceRTU

from hwsim.curves import PowerSteps
from hwsim.faults import Babbling, When
from hwsim.line_file import Vanishing
from hwsim.line_port import LinePort
from hwsim.modbus_device import ModbusDevice, always
from hwsim.rs485 import Wire
from hwsim.vendors.peacefair import Pzem
from tests.hw_sim.line_master import read_frame, words_of

PATIENCE_S = 10.0
SILENCE_S = 0.07
COUNTERS = "import_kwh = 1234.567\nexport_kwh = 98.765\npower_w = 0\nphases = 3"
MODELS = (
    "eastron-sdm120", "eastron-sdm630", "peacefair-pzem", "carlo-gavazzi-em340",
    "carlo-gavazzi-em24", "abb-b23", "sunspec-meter-203", "sunspec-meter-213",
    "sunspec-inverter-103", "sunspec-der-701",
)  # fmt: skip
FAST = 'baudrate = 115200\nbits = "8N1"\n'
LINE = FAST + "".join(
    f'[[device]]\nmodel = "{model}"\nunit = {unit}\n{COUNTERS}\n'
    for unit, model in enumerate(MODELS, 1)
)


class Program:
    """`gridwitness sim line` as a program."""

    def __init__(self, folder: Path, content: str, *arguments: str) -> None:
        (folder / "line.toml").write_text(content)
        command = [sys.executable, "-c", "from gridwitness.cli import main; exit(main())"]
        command += ["sim", "line", str(folder / "line.toml"), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline().strip()

    def end(self) -> tuple[str, str]:
        """Told to end; what it still said on both outputs."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE_S)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Program(tmp_path_factory.mktemp("line"), LINE) as program:
        yield program.first


def be_silent() -> None:
    """What an Eastron wants before it hears a request: no stranger here does it by itself."""
    time.sleep(SILENCE_S)


def mbpoll(port: str, unit: int, *options: str, baudrate: int = 115_200) -> dict[int, str]:
    """What mbpoll reads, by its own numbers (from 1)."""
    be_silent()
    command = ["mbpoll", "-m", "rtu", "-b", str(baudrate), "-P", "none", "-o", "1", "-1"]
    command += ["-a", str(unit), *options, port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    found = re.findall(r"^\[(\d+)\]:\s+(\S+)", done.stdout, re.MULTILINE)
    return {int(number): value for number, value in found}


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("eastron-sdm120", "-t 3:float -B -r 73 -c 2", {73: "1234.56", 75: "98.76"}),
        ("eastron-sdm630", "-t 3:float -B -r 73 -c 2", {73: "1234.56", 75: "98.76"}),
        ("peacefair-pzem", "-t 3:int -r 6 -c 1", {6: "1333332"}),
        ("carlo-gavazzi-em340", "-t 4:int -r 53 -c 1", {53: "13333"}),
        ("carlo-gavazzi-em24", "-t 4:int -r 63 -c 1", {63: "12345"}),
        ("abb-b23", "-t 4:int -B -r 20483 -c 1", {20483: "123456"}),
        ("sunspec-meter-203", "-t 4:int -B -r 40117 -c 1", {40117: "1234567"}),
        ("sunspec-meter-213", "-t 4:float -B -r 40139 -c 1", {40139: "1.23457e+06"}),
        ("sunspec-inverter-103", "-t 4:int -B -r 40095 -c 1", {40095: "98765"}),
        ("sunspec-der-701", "-t 4:int -B -r 40092 -c 1", {40092: "98765"}),
    ],
)
def test_mbpoll_reads_each_meter(
    port: str, model: str, options: str, expected: dict[int, str]
) -> None:
    assert mbpoll(port, MODELS.index(model) + 1, *options.split()) == expected


def test_mbpoll_at_another_rate_gets_no_answer(port: str) -> None:
    assert mbpoll(port, 1, "-t", "3", "-r", "1", "-c", "2", baudrate=57_600) == {}


def test_pymodbus_reads_each_meter(port: str) -> None:
    energies = {
        "eastron-sdm120": (4, 0x48, 4, "ff", (1_234.56, 98.76)),
        "eastron-sdm630": (4, 0x48, 4, "ff", (1_234.56, 98.76)),
        "peacefair-pzem": (4, 5, 2, "HH", (1_333_332 & 0xFFFF, 1_333_332 >> 16)),
        "carlo-gavazzi-em340": (3, 0x34, 2, "HH", (13_333, 0)),
        "carlo-gavazzi-em24": (3, 0x3E, 2, "HH", (12_345, 0)),
        "abb-b23": (3, 0x5000, 8, "QQ", (123_456, 9_876)),
        "sunspec-meter-203": (3, 40_116, 2, "I", (1_234_567,)),
        "sunspec-meter-213": (3, 40_138, 2, "f", (1_234_567.0,)),
        "sunspec-inverter-103": (3, 40_094, 2, "I", (98_765,)),
        "sunspec-der-701": (3, 40_089, 8, "QQ", (98_765, 1_234_567)),
    }
    assert energies.keys() == set(MODELS)
    with ModbusSerialClient(port, baudrate=115_200, timeout=PATIENCE_S) as master:
        for unit, model in enumerate(MODELS, 1):
            function, address, count, layout, expected = energies[model]
            be_silent()
            read: Any = {3: master.read_holding_registers, 4: master.read_input_registers}[function]
            words = read(address, count=count, device_id=unit).registers
            values = struct.unpack(f">{layout}", struct.pack(f">{len(words)}H", *words))
            assert values == pytest.approx(expected), model


def test_pymodbus_which_keeps_no_silence_is_not_heard_by_an_eastron(port: str) -> None:
    with ModbusSerialClient(port, baudrate=115_200, timeout=0.3, retries=0) as master:
        be_silent()
        assert not master.read_input_registers(0x48, count=4, device_id=1).isError()
        with pytest.raises(ModbusIOException):
            master.read_input_registers(0x48, count=4, device_id=1)


def test_pysunspec_scans_a_meter_on_the_line(port: str) -> None:
    device = SunSpecModbusClientDeviceRTU(
        slave_id=MODELS.index("sunspec-meter-203") + 1, name=port, baudrate=115_200, timeout=2
    )
    try:
        device.scan()
        assert device.models[203][0].TotWhImp.cvalue == 1_234_567
    finally:
        device.close()


def test_a_schneider_is_read_at_the_factorys_19200_8e1(tmp_path: Path) -> None:
    device = f'[[device]]\nmodel = "schneider-iem3155"\nunit = 1\n{COUNTERS}'
    with Program(tmp_path, f'baudrate = 19200\nbits = "8E1"\n{device}') as program:
        options = "-t 4:int -B -r 3206 -c 1"
        command = ["mbpoll", "-m", "rtu", "-b", "19200", "-P", "even", "-1", "-a", "1"]
        done = subprocess.run(
            [*command, *options.split(), program.first],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert "[3206]: \t1234567" in done.stdout
        # A pty has no parity, and pyserial insists on what it asks for: the line's file has it.
        with ModbusSerialClient(program.first, baudrate=19_200, timeout=2) as master:
            words = master.read_holding_registers(0x0C83, count=8, device_id=1).registers
        assert struct.unpack(">QQ", struct.pack(">8H", *words)) == (1_234_567, 98_765)


def test_the_program_says_which_request_came_too_early(tmp_path: Path) -> None:
    content = f'{FAST}[[device]]\nmodel = "eastron-sdm120"\nunit = 1'
    with (
        Program(tmp_path, content, "--json", "--frames") as program,
        ModbusSerialClient(
            json.loads(program.first)["path"], baudrate=115_200, timeout=0.3, retries=0
        ) as master,
    ):
        master.read_input_registers(0, count=2, device_id=1)
        with pytest.raises(ModbusIOException):
            master.read_input_registers(0, count=2, device_id=1)
        assert program.process.stdout is not None
        frames = [json.loads(program.process.stdout.readline()) for _ in range(3)]
    early = [each["too_early_for"] for each in frames]
    assert early == [[], [], ["unit 1 eastron-sdm120"]]


def test_the_program_tells_its_port_and_every_frame_and_ends_cleanly(tmp_path: Path) -> None:
    link = tmp_path / "port"
    content = f'{FAST}[[device]]\nmodel = "peacefair-pzem"\nunit = 1'
    with Program(tmp_path, content, "--json", "--frames", "--link", str(link)) as program:
        told = json.loads(program.first)
        assert told["path"] == str(link)
        assert told["devices"] == ["unit 1 peacefair-pzem"]
        assert mbpoll(str(link), 1, "-t", "3", "-r", "1", "-c", "1") == {1: "2300"}
        assert program.process.stdout is not None
        frames = [json.loads(program.process.stdout.readline()) for _ in range(2)]
        assert program.end() == ("", "")
        assert program.process.returncode == 0
        assert [each["from"] for each in frames] == [["master"], ["unit 1 peacefair-pzem"]]
        assert frames[0]["octets"] == read_frame(1, 0, 1).hex(" ")
        assert not link.is_symlink()


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def arrives(descriptor: int) -> bytes:
    """What comes in next; raises OSError when the port hung up."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, came.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await came.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 256)


async def hung_up(descriptor: int) -> bool:
    """Wait until the port says something: an end or an error, as Linux likes."""
    try:
        return await arrives(descriptor) == b""
    except OSError:
        return True


async def answer_on(path: Path, length: int) -> bytes:
    """Open a port, ask for ten registers, wait for the answer."""
    answer = b""
    with opened(path) as descriptor:
        os.write(descriptor, read_frame(1, 0, 10))
        while len(answer) < length:
            answer += await arrives(descriptor)
    return answer


async def condition(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


def test_an_adapter_that_vanishes_hangs_up_and_returns_under_its_name(tmp_path: Path) -> None:
    async def live() -> None:
        link = tmp_path / "port"
        wire = Wire([ModbusDevice(1, Pzem(), PowerSteps())], 115_200)
        port = LinePort(wire, link, [Vanishing(0.5, 0.2)])
        try:
            words_of(await answer_on(link, 25))
            with opened(link) as descriptor:
                assert await hung_up(descriptor)
            await condition(lambda: not link.is_symlink())
            await condition(link.is_symlink)
            words_of(await answer_on(link, 25))
        finally:
            port.close()
        assert not link.is_symlink()

    asyncio.run(live())


def test_octets_that_nobody_reads_are_lost_when_the_port_is_full(tmp_path: Path) -> None:
    async def live() -> int:
        device = ModbusDevice(1, Pzem(), PowerSteps())
        babbling = Babbling(device, When(), always(0.005), bytes(200))
        port = LinePort(Wire([babbling], 460_800))
        try:
            await condition(lambda: port.lost_octets)
        finally:
            port.close()
        return port.lost_octets

    assert asyncio.run(live()) > 0
