"""What comes over a line is the one reply that was asked for, or nothing."""

import asyncio
import errno
import os
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import serial
from pymodbus.framer.rtu import FramerRTU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.config import Address, BusConfig
from gateway.lines.frames import READ_HOLDING, READ_INPUT, DeviceRefused, Garbled, Request
from gateway.lines.line import Line, NoAnswer
from gateway.lines.transport import SerialTransport, TcpTransport
from gridwitness.addresses import free_ports
from tests.gateway.street import Eastron, ModbusHost, float_words
from wire.errors import Unavailable

ENERGY = Request(1, READ_INPUT, 0x48, 4)
TIMEOUT_MS = 60


def framed(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


GOOD = framed(bytes([1, 4, 8, 0, 1, 0, 2, 0, 3, 0, 4]))
WORDS = (1, 2, 3, 4)


@asynccontextmanager
async def serial_line(*replies: bytes) -> AsyncIterator[tuple[Line, list[bytes]]]:
    """A line on a pty whose other end sends prepared bytes, one portion for each request."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    heard: list[bytes] = []
    waiting = list(replies)

    def on_request() -> None:
        heard.append(os.read(master, 256))
        if waiting:
            os.write(master, waiting.pop(0))

    loop = asyncio.get_running_loop()
    loop.add_reader(master, on_request)
    bus = BusConfig("pty", os.ttyname(slave), 115_200, TIMEOUT_MS, ())
    line = Line(bus, SerialTransport(bus))
    try:
        yield line, heard
    finally:
        line.close()
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


async def ask(line: Line, request: Request = ENERGY) -> tuple[int, ...]:
    return await line.ask(request)


def test_a_request_goes_out_as_the_vendor_prints_it() -> None:
    async def scene() -> None:
        async with serial_line(bytes.fromhex("01 04 04 43 66 33 34 1B 38")) as (line, heard):
            words = await ask(line, Request(1, READ_INPUT, 0, 2))
            assert words == (0x4366, 0x3334)
            assert heard == [bytes.fromhex("01 04 00 00 00 02 71 CB")]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), Garbled),
        (GOOD[:3] + b"\xff" + GOOD[4:], Garbled),
        (b"\x00\xff\x00\xff\x00\xff", Garbled),
        (GOOD[:5], NoAnswer),
        (b"", NoAnswer),
        (framed(bytes([2]) + GOOD[1:-2]), NoAnswer),
        (framed(bytes([1, 3]) + GOOD[2:-2]), NoAnswer),
        (framed(bytes([1, 4, 4, 0, 1, 0, 2])), NoAnswer),
        (framed(bytes([1, 0x83, 2])), NoAnswer),
        (framed(bytes([1, 0x84, 2])), DeviceRefused),
    ],
    ids=[
        "bad crc",
        "changed byte",
        "noise",
        "half a frame",
        "silence",
        "another unit",
        "another function",
        "another length",
        "another function's exception",
        "exception",
    ],
)
def test_what_is_not_the_reply_is_refused(reply: bytes, failure: type[Exception]) -> None:
    async def scene() -> None:
        async with serial_line(reply, GOOD) as (line, _):
            with pytest.raises(failure):
                await ask(line)
            assert await ask(line) == WORDS

    asyncio.run(scene())


def test_a_stray_frame_before_the_reply_is_thrown_away() -> None:
    async def scene() -> None:
        stray = framed(bytes([1, 4, 4, 0, 9, 0, 9]))
        async with serial_line(stray + GOOD) as (line, _):
            assert await ask(line) == WORDS

    asyncio.run(scene())


def test_a_port_that_is_not_there_can_be_tried_again() -> None:
    async def scene() -> None:
        bus = BusConfig("gone", "/dev/not-there", 9_600, TIMEOUT_MS, ())
        line = Line(bus, SerialTransport(bus))
        for _ in range(2):
            with pytest.raises(Unavailable, match="cannot open"):
                await ask(line)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "is the adapter plugged in"),
        (errno.EACCES, "group dialout"),
        (errno.EAGAIN, "another program has it"),
        (errno.EIO, "plug it in again"),
    ],
)
def test_a_port_that_cannot_be_opened_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(number, "cannot")

    monkeypatch.setattr(serial, "Serial", refuse)
    transport = SerialTransport(BusConfig("b", "/dev/ttyUSB0", 9_600, TIMEOUT_MS, ()))
    with pytest.raises(Unavailable, match=words):
        asyncio.run(transport.open())


@contextmanager
def plugged(link: Path, reply: bytes) -> Iterator[None]:
    """An adapter under a fixed name, with a device behind it that has one answer."""
    master, slave = os.openpty()
    tty.setraw(slave)
    link.symlink_to(os.ttyname(slave))
    loop = asyncio.get_running_loop()
    loop.add_reader(master, lambda: os.read(master, 256) and os.write(master, reply))
    os.close(slave)
    try:
        yield
    finally:
        loop.remove_reader(master)
        os.close(master)
        link.unlink()


def test_an_adapter_that_was_unplugged_is_opened_again_under_its_name(tmp_path: Path) -> None:
    async def scene() -> None:
        link = tmp_path / "by-path"
        line = Line(*serial_bus(link))
        with plugged(link, GOOD):
            assert await ask(line) == WORDS
        for _ in range(2):
            with pytest.raises(Unavailable):
                await ask(line)
        assert "is the adapter plugged in" in line.down
        with plugged(link, GOOD):
            assert await ask(line) == WORDS
            assert line.down == ""
            line.close()

    asyncio.run(scene())


def serial_bus(port: Path) -> tuple[BusConfig, SerialTransport]:
    bus = BusConfig("pty", str(port), 115_200, TIMEOUT_MS, ())
    return bus, SerialTransport(bus)


def test_a_tcp_host_that_comes_back_is_found_again() -> None:
    async def scene() -> None:
        [port] = free_ports(1)
        bus = BusConfig("tcp", Address("127.0.0.1", port), 9_600, TIMEOUT_MS, ())
        line = Line(bus, TcpTransport(Address("127.0.0.1", port), 1.0))
        with pytest.raises(Unavailable):
            await ask(line)
        for kwh in (1.0, 2.0):
            host = ModbusHost({1: Eastron(import_kwh=kwh)})
            host.port = port
            async with host:
                words = await again(lambda: ask(line))
                assert words == (*float_words(kwh), *float_words(0.0))
            line.close()

    asyncio.run(scene())


async def again(work: Callable[[], Awaitable[tuple[int, ...]]]) -> tuple[int, ...]:
    try:
        return await work()
    except Unavailable:
        return await work()


def test_pymodbus_own_server_is_understood() -> None:
    async def scene() -> None:
        [port] = free_ports(1)
        data = SimData(0, values=[7, 8, 9, 10], datatype=DataType.REGISTERS)
        server = ModbusTcpServer(SimDevice(1, simdata=[data]), address=("127.0.0.1", port))
        await server.listen()
        bus = BusConfig("tcp", Address("127.0.0.1", port), 9_600, 1_000, ())
        line = Line(bus, TcpTransport(Address("127.0.0.1", port), 1.0))
        try:
            assert await ask(line, Request(1, READ_HOLDING, 1, 3)) == (8, 9, 10)
            with pytest.raises(DeviceRefused):
                await ask(line, Request(1, READ_HOLDING, 100, 2))
        finally:
            line.close()
            await server.shutdown()  # type: ignore[no-untyped-call]

    asyncio.run(scene())
