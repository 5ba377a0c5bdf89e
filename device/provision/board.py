"""One serial session with a board: firmware on, configuration in, key made, meter running.

Decides the order, and that nothing is believed that the board can be asked: file hashes and the
software id are computed on the board and compared here. The private key is made on the board and
never crosses the line. Repeating it is harmless: files that are there stay, the key that is there
stays. Leaves talking to people, and everything after the first run, to the technician's tool.
"""

import ast
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from wire import cbor
from wire.errors import Refused, Unavailable
from wire.keys import ES256, PublicKey

FIRMWARE = Path(__file__).parents[1] / "firmware"
CHUNK = 1024
"""Bytes of a file sent at once; a quarter of them fits the smallest board's line buffer."""

HASHES = """
from hashlib import sha256
import os
found = {}
for path in %r:
    try:
        with open("/" + path, "rb") as f:
            whole = sha256()
            while True:
                piece = f.read(512)
                if not piece:
                    break
                whole.update(piece)
        found[path] = whole.digest()
    except OSError:
        pass
print(found)
"""
MAKE_KEY = """
from meter import signing
try:
    public = signing.make_key()
except signing.KeyExists:
    public = signing.public_key(signing.load_key())
signing.self_test()
print(public)
"""


class BoardRefused(Refused):
    """The board examined what it was given and did not accept it."""

    code = "board-refused"


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What the registry must know of a meter that was just made."""

    public: PublicKey
    """The key that it made."""

    software_id: bytes
    """Prefix of the hash of its code, 4 bytes."""

    configuration_id: bytes
    """Prefix of the hash of its configuration, 8 bytes."""


def firmware_files(firmware: Path) -> dict[str, bytes]:
    """The files of a firmware folder by their path on the board, in order."""
    paths = [firmware / "main.py", *(firmware / "meter").rglob("*.py")]
    return {str(path.relative_to(firmware)): path.read_bytes() for path in sorted(paths)}


def software_id(files: Mapping[str, bytes]) -> bytes:
    """What the firmware computes of itself: see `meter.software`."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(path.encode() + b"\x00" + hashlib.sha256(files[path]).digest())
    return whole.digest()[:4]


def configuration_id(config: Mapping[str, Any]) -> bytes:
    """Prefix of the SHA-256 of the configuration's deterministic CBOR."""
    content = {key: value for key, value in config.items() if key != "configuration_id"}
    return hashlib.sha256(cbor.encode(content)).digest()[:8]


@contextmanager
def session(port: str) -> Iterator[SerialTransport]:
    """A raw REPL on the board; raises Unavailable when there is none."""
    transport = None
    try:
        transport = SerialTransport(os.path.realpath(port), timeout=20)
        transport.enter_raw_repl()
        yield transport
    except TransportExecError as error:
        words = error.error_output.strip().splitlines()[-1:]
        raise BoardRefused(f"the board on {port} says: {''.join(words)}") from error
    except (TransportError, serial.SerialException) as error:
        raise Unavailable(f"no MicroPython answers on {port}: {error}") from error
    finally:
        if transport is not None:
            transport.close()


def _ask(transport: SerialTransport, code: str) -> Any:
    """Run code on the board and read the literal that it prints."""
    return ast.literal_eval(transport.exec(code).decode().strip())


def _hashes(transport: SerialTransport, paths: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = _ask(transport, HASHES % (paths,))
    return found


def install(transport: SerialTransport, files: Mapping[str, bytes]) -> None:
    """Copy what differs and have the board hash all of it; raises BoardRefused on a difference."""
    wanted = {path: hashlib.sha256(data).digest() for path, data in files.items()}
    present = _hashes(transport, list(wanted))
    folders = sorted({str(parent) for path in files for parent in Path(path).parents} - {"."})
    for folder in folders:
        if not transport.fs_exists("/" + folder):
            transport.fs_mkdir("/" + folder)
    for path, data in files.items():
        if present.get(path) != wanted[path]:
            transport.fs_writefile("/" + path, data, chunk_size=CHUNK)
    stored = _hashes(transport, list(wanted))
    for path, digest in wanted.items():
        if stored.get(path) != digest:
            raise BoardRefused(f"{path} is not on the board as it was sent: flash full or worn?")


def commission(port: str, firmware: Path, config: Mapping[str, Any]) -> Commissioned:
    """Make a meter of the board on `port` and set it running.

    Args:
        port: its serial port.
        firmware: the folder with main.py and meter/, normally `FIRMWARE`.
        config: as `meter.config` describes it; `configuration_id` is filled in when absent.

    Raises:
        Unavailable: no board answers there.
        BoardRefused: files, configuration or key were not accepted.
    """
    files = firmware_files(firmware)
    known_id = config.get("configuration_id")
    identity = bytes.fromhex(known_id) if known_id else configuration_id(config)
    complete = {**config, "configuration_id": identity.hex()}
    with session(port) as transport:
        install(transport, files)
        transport.fs_writefile("/config.json", json.dumps(complete).encode())
        transport.exec("from meter import config\nconfig.load()")
        public = PublicKey(ES256, _ask(transport, MAKE_KEY))
        found = _ask(transport, "from meter import software\nprint(software.software_id())")
        if found != software_id(files):
            raise BoardRefused(
                "the board's software id is another: files on it that we did not put"
            )
        transport.exec_raw_no_follow("import machine\nmachine.reset()")
    return Commissioned(public, software_id(files), identity)
