"""Simulated Eastron meters on a Modbus TCP port or a serial line: what cannot sign, as it behaves.

Decides the registers of an SDM630 (input registers, float32, kWh with a resolution of 10 Wh) and
how faults look on the wire: a dead unit, a late reply, a reply with a wrong check sum. Faults are
switched while it runs by a JSON file: `{"3": "dead", "4": "late", "5": "crc"}`, unit to fault.

Register addresses: Eastron SDM630 Modbus Protocol V2.0, section 1.2.1.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pty
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.feeder import FeederDay
from hwsim.scaled_clock import PacedClock

READ_INPUT = 4
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
MOST_WORDS = 80
REGISTERS = 0x160
RESOLUTION_WH = 10
"""What the meter's display and registers resolve."""

VOLTS, HERTZ = 230.0, 50.0
VOLTAGE, POWER, FREQUENCY, IMPORT_KWH, EXPORT_KWH = 0x00, 0x34, 0x46, 0x48, 0x4A
LATE_S = 1.0
"""A late reply comes after every master has given up."""

RTU_REQUEST = 8


@dataclass(frozen=True, slots=True)
class Meter:
    """One unit of a line."""

    id: str
    """Meter id."""

    day: FeederDay
    """What flows."""

    clock: PacedClock
    """Network time."""

    def words(self) -> list[int]:
        """All input registers as they are now."""
        now_ms = self.clock.now_ms()
        taken, given = self.day.registers_mwh(self.id, now_ms)
        before = self.day.registers_mwh(self.id, now_ms - 60_000)
        watts = (taken - before[0] - given + before[1]) * 60 / 1000
        floats = [0.0] * (REGISTERS // 2)
        for address, value in (
            (VOLTAGE, VOLTS),
            (VOLTAGE + 2, VOLTS),
            (VOLTAGE + 4, VOLTS),
            (POWER, watts),
            (FREQUENCY, HERTZ),
            (IMPORT_KWH, _kwh(taken)),
            (EXPORT_KWH, _kwh(given)),
        ):
            floats[address // 2] = value
        return list(struct.unpack(f">{REGISTERS}H", struct.pack(f">{len(floats)}f", *floats)))

    def answer(self, pdu: bytes) -> bytes:
        """The reply to a request (function code and data, without address and check sum)."""
        if len(pdu) != 5 or pdu[0] != READ_INPUT:
            return bytes([pdu[0] | 0x80, ILLEGAL_FUNCTION])
        address, count = struct.unpack(">HH", pdu[1:])
        if not 1 <= count <= MOST_WORDS:
            return bytes([READ_INPUT | 0x80, ILLEGAL_VALUE])
        if address % 2 or count % 2 or address + count > REGISTERS:
            return bytes([READ_INPUT | 0x80, ILLEGAL_ADDRESS])
        words = self.words()[address : address + count]
        return struct.pack(f">BB{count}H", READ_INPUT, 2 * count, *words)


def _kwh(energy_mwh: int) -> float:
    """A register's value: whole steps of its resolution."""
    return energy_mwh // 1000 // RESOLUTION_WH * RESOLUTION_WH / 1000


class Faults:
    """The fault of each unit, from a file that may change at any time."""

    def __init__(self, path: Path | None) -> None:
        """Take the file's name; it need not exist."""
        self._path = path

    def of(self, unit: int) -> str:
        """`dead`, `late`, `crc` or nothing."""
        if self._path is None:
            return ""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return str(json.loads(self._path.read_text()).get(str(unit), ""))
        return ""


def check_sum(data: bytes) -> bytes:
    """CRC-16 of Modbus RTU, low byte first (Modbus over serial line V1.02, section 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


Send = Callable[[bytes], None]


class Line:
    """The units of one line and how they answer."""

    def __init__(self, units: Mapping[int, Meter], faults: Faults) -> None:
        """Take who is on the line."""
        self._units = units
        self._faults = faults

    def request(self, unit: int, pdu: bytes, send: Send, damage: Callable[[bytes], bytes]) -> None:
        """Answer one request through `send`, as the unit's fault allows."""
        meter, fault = self._units.get(unit), self._faults.of(unit)
        if meter is None or fault == "dead":
            return
        reply = meter.answer(pdu)
        if fault == "late":
            asyncio.get_running_loop().call_later(LATE_S, send, reply)
        else:
            send(damage(reply) if fault == "crc" else reply)


async def serve_tcp(port: int, line: Line) -> asyncio.Server:
    """Serve a line as a Modbus TCP gateway does."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                transaction, protocol, length, unit = struct.unpack(
                    ">HHHB", await reader.readexactly(7)
                )
                if protocol or not 2 <= length <= 254:
                    break
                pdu = await reader.readexactly(length - 1)

                def send(reply: bytes, transaction: int = transaction, unit: int = unit) -> None:
                    head = struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit)
                    writer.write(head + reply)

                line.request(unit, pdu, send, lambda reply: reply[:-1])
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", port)


class SerialLine:
    """A pseudo-terminal that stands for an RS-485 line; the link is the master's end."""

    def __init__(self, link: Path, line: Line) -> None:
        """Open it and link the master's end."""
        self._near, self._far = pty.openpty()
        tty.setraw(self._far, termios.TCSANOW)
        os.set_blocking(self._near, False)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._far))
        self._line = line
        self._held = b""
        asyncio.get_running_loop().add_reader(self._near, self._arrived)

    def _arrived(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._held += os.read(self._near, 256)
        while len(self._held) >= RTU_REQUEST:
            frame = self._held[:RTU_REQUEST]
            if check_sum(frame[:-2]) != frame[-2:]:
                self._held = self._held[1:]  # Noise: look for the next frame.
                continue
            self._held = self._held[RTU_REQUEST:]
            unit = frame[0]
            damaged: list[bytes] = []

            def damage(reply: bytes, damaged: list[bytes] = damaged) -> bytes:
                damaged.append(reply)
                return reply

            def send(reply: bytes, unit: int = unit, damaged: list[bytes] = damaged) -> None:
                body = bytes([unit]) + reply
                check = check_sum(body)
                os.write(self._near, body + (bytes(2) if damaged else check))

            self._line.request(unit, frame[1:-2], send, damage)


async def serve(config: Mapping[str, Any]) -> None:
    """Serve all lines of a configuration until SIGTERM."""
    day, clock = FeederDay.load(Path(config["day"])), PacedClock(Path(config["pace"]))
    faults = Faults(Path(config["faults"]) if config.get("faults") else None)

    def line(units: Mapping[str, str]) -> Line:
        return Line({int(unit): Meter(name, day, clock) for unit, name in units.items()}, faults)

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    servers = [await serve_tcp(each["port"], line(each["units"])) for each in config["tcp"]]
    lines = [SerialLine(Path(each["link"]), line(each["units"])) for each in config["rtu"]]
    print("ready", flush=True)
    await ended.wait()
    for server in servers:
        server.close()
    del lines


def main() -> int:
    """Run as a process of its own: `python -m hwsim.meters --config FILE`."""
    parser = argparse.ArgumentParser(description="Simulated Eastron meters")
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args()
    asyncio.run(serve(json.loads(args.config.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
