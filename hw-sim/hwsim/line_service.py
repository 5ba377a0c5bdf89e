"""`gridwitness sim line`: a simulated line as a program, and what it tells of itself.

Decides what is printed: the port, who is on the line, and, when asked for, every frame with who
said it. Ends on SIGTERM and SIGINT.
"""

import asyncio
import json
import signal
from importlib.resources import files
from pathlib import Path

from hwsim import line_file
from hwsim.line_file import LineFile
from hwsim.line_port import LinePort
from hwsim.rs485 import Device, Frame
from wire.errors import Malformed


def example() -> str:
    """A file that shows most of what there is."""
    return (files("hwsim") / "line_example.toml").read_text()


async def serve(path: Path, link: Path | None, frames: bool, as_json: bool) -> None:
    """Serve a line's file until told to end.

    Raises:
        Malformed: the file is wrong.
        OSError: it cannot be read, or the link cannot be made.
    """
    line = line_file.load(path)
    if line.vanishing and link is None:
        raise Malformed("an adapter that vanishes returns on another pty: give it a name by --link")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    port = LinePort(line.wire, link, line.vanishing)
    try:
        _introduce(line, port.path, as_json)
        if frames:
            short = [name.split(",")[0] for name in line.names]
            names: dict[object | None, str] = dict(zip(line.wire.devices, short, strict=True))
            names[None] = "master"
            line.wire.watch = lambda frame: _show(frame, names, as_json)
        await ended.wait()
    finally:
        port.close()


def _introduce(line: LineFile, path: str, as_json: bool) -> None:
    settings = line.wire.format
    if as_json:
        told = {"path": path, "baudrate": settings.baudrate, "bits": settings.bits}
        print(json.dumps(told | {"devices": line.names}), flush=True)
        return
    print(path)
    print(f"{settings.baudrate} {settings.bits}: {'; '.join(line.names)}", flush=True)


def _show(frame: Frame, names: dict[object | None, str], as_json: bool) -> None:
    first = frame.characters[0]
    said = {names[who]: None for each in frame.characters for who in each.talkers}
    octets = bytes(each.octet for each in frame.characters)
    early = [name for who, name in names.items() if _comes_early(frame, octets, who)]
    if as_json:
        told = {"at_s": round(first.start_s, 6), "from": list(said), "octets": octets.hex(" ")}
        print(json.dumps(told | {"too_early_for": early}), flush=True)
        return
    note = f"  (too early for {early[0]})" if early else ""
    print(f"{first.start_s:10.4f} s  {' + '.join(said):28}  {octets.hex(' ')}{note}", flush=True)


def _comes_early(frame: Frame, octets: bytes, who: object | None) -> bool:
    """Whether a device did not hear a request to it for want of silence."""
    if not isinstance(who, Device) or None not in frame.characters[0].talkers:
        return False
    return octets[0] == who.unit != 0 and frame.comes_too_early(who.silence_s)
