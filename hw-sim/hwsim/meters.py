"""Simulated Eastron meters on a Modbus TCP port or a serial line: what cannot sign, as it behaves.

Decides which meter of a feeder's day is which unit, and how faults look on the wire: a dead unit, a
late reply, a reply with a wrong check sum. Faults are switched while it runs by a JSON file:
`{"3": "dead", "4": "late", "5": "crc"}`, unit to fault. What registers hold is `hwsim.vendors`';
a line with the timing and the troubles of a real one is `hwsim.rs485`.

Which meters are served where is read by `hwsim.meters_config`.
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

from hwsim import port_name
from hwsim.feeder import FeederDay
from hwsim.meters_config import MetersConfig, load
from hwsim.modbus_device import check_sum
from hwsim.registers import Flow, RegisterMap
from hwsim.scaled_clock import PacedClock
from hwsim.vendors.eastron import Sdm120, Sdm630
from wire.errors import Malformed, Refused

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

    registers: RegisterMap
    """Its model."""

    def flow(self) -> Flow:
        """What flows and what was counted by now; power is the last minute's mean."""
        now_ms = self.clock.now_ms()
        taken, given = self.day.registers_mwh(self.id, now_ms)
        before = self.day.registers_mwh(self.id, now_ms - 60_000)
        watts = (taken - before[0] - given + before[1]) * 60 / 1000
        phases = self.day.meter(self.id).phases
        return Flow(taken, given, (watts / phases,) * phases)

    def answer(self, pdu: bytes) -> bytes:
        """The reply to a request (function code and data, without address and check sum)."""
        return self.registers.answer(pdu, self.flow())


def meter_of(name: str, day: FeederDay, clock: PacedClock, register_wh: int) -> Meter:
    """An SDM630, or an SDM120 where a meter has one phase."""
    model = Sdm120 if day.meter(name).phases == 1 else Sdm630
    return Meter(name, day, clock, model(step_wh=register_wh))


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


Send = Callable[[bytes, bool], None]
"""Puts a reply on the wire; damaged when the second argument says so."""


class Line:
    """The units of one line and how they answer."""

    def __init__(self, units: Mapping[int, Meter], faults: Faults) -> None:
        """Take who is on the line."""
        self._units = units
        self._faults = faults

    def request(self, unit: int, pdu: bytes, send: Send) -> None:
        """Answer one request through `send`, as the unit's fault allows."""
        meter, fault = self._units.get(unit), self._faults.of(unit)
        if meter is None or fault == "dead":
            return
        reply = meter.answer(pdu)
        if fault == "late":
            asyncio.get_running_loop().call_later(LATE_S, send, reply, False)
        else:
            send(reply, fault == "crc")


async def serve_tcp(port: int, line: Line) -> asyncio.Server:
    """Serve a line as a Modbus TCP gateway does."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Ending while a master is connected is ordinary, for either side.
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            while await _exchange(reader, writer, line):
                pass
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", port)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> bool:
    """Take one request; False when the peer does not speak Modbus."""
    transaction, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
    if protocol or not 2 <= length <= 254:
        return False
    pdu = await reader.readexactly(length - 1)

    def send(reply: bytes, damaged: bool) -> None:
        body = reply[:-1] if damaged else reply  # TCP has no check sum: a word is cut short.
        if not writer.is_closing():
            writer.write(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)

    line.request(unit, pdu, send)
    return True


class SerialLine:
    """A pseudo-terminal that stands for an RS-485 line; the link is the master's end."""

    def __init__(self, link: Path, line: Line) -> None:
        """Open it and link the master's end."""
        self._near, self._far = pty.openpty()
        tty.setraw(self._far, termios.TCSANOW)
        os.set_blocking(self._near, False)
        port_name.give(link, os.ttyname(self._far))
        self._link = link
        self._line = line
        self._held = b""
        asyncio.get_running_loop().add_reader(self._near, self._arrived)

    def close(self) -> None:
        """Take the line away."""
        asyncio.get_running_loop().remove_reader(self._near)
        port_name.take_away(self._link)
        os.close(self._near)
        os.close(self._far)

    def _arrived(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._held += os.read(self._near, 256)
        while len(self._held) >= RTU_REQUEST:
            frame = self._held[:RTU_REQUEST]
            if check_sum(frame[:-2]) != frame[-2:]:
                self._held = self._held[1:]  # Noise: look for the next frame.
                continue
            self._held = self._held[RTU_REQUEST:]
            self._line.request(frame[0], frame[1:-2], self._send_as(frame[0]))

    def _send_as(self, unit: int) -> Send:
        def send(reply: bytes, damaged: bool) -> None:
            body = bytes([unit]) + reply
            check = check_sum(body)
            os.write(self._near, body + (bytes([check[0] ^ 0xFF, check[1]]) if damaged else check))

        return send


async def serve(config: MetersConfig) -> None:
    """Serve all lines of a configuration until SIGTERM.

    Raises:
        Malformed: a unit is no meter of the day.
        OSError: a file is missing, or a port is taken.
    """
    day, clock = FeederDay.load(config.day), PacedClock(config.pace)
    faults = Faults(config.faults)
    named = {meter for each in config.lines for meter in each.units.values()}
    strangers = sorted(named - {each.id for each in day.meters})
    if strangers:
        raise Malformed(f"{day.name} has no meter {', '.join(strangers)}")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    servers: list[asyncio.Server | SerialLine] = []
    for each in config.lines:
        meters = {
            unit: meter_of(name, day, clock, config.register_wh)
            for unit, name in each.units.items()
        }
        line = Line(meters, faults)
        if isinstance(each.where, int):
            servers.append(await serve_tcp(each.where, line))
        else:
            servers.append(SerialLine(each.where, line))
    print("ready", flush=True)
    await ended.wait()
    for server in servers:
        server.close()


def main() -> int:
    """Run as a process of its own: `python -m hwsim.meters --config FILE`."""
    parser = argparse.ArgumentParser(description="Simulated Eastron meters")
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args()
    try:
        asyncio.run(serve(load(args.config)))
    except (Refused, OSError) as reason:
        print(f"simulated meters: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
