"""What a board is asked over its console, as programs for its prompt, and what it answers.

Decides the questions; each prints one literal, and none prints the private key. They lean on the
board file and on the firmware's modules by name, never on their constants, which are not there any
more on a board with compiled files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpremote.transport import TransportExecError

from device.provision import faults
from device.provision.console import Console, last_words

_IDENTITY = """
import sys, os, json
def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""
def there(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False
try:
    import machine
    chip = bytes(machine.unique_id())
except (ImportError, AttributeError):
    chip = b""
try:
    config = json.loads(read("/config.json"))
except ValueError:
    config = {}
flash = os.statvfs("/")
missing = []
for name in ("hashlib", "json", "select", "struct", "binascii", "machine", "vfs"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print((sys.platform, tuple(sys.implementation[1][:3]), getattr(sys.implementation, "_mpy", 0),
    getattr(sys.implementation, "_machine", sys.platform), chip, flash[0] * flash[3],
    flash[0] * flash[2], missing, config, there("/key.bin"), there("/commissioning.cbor")))
"""
_HASHES = """
from hashlib import sha256
import os
found = {}
buffer = bytearray(512)
view = memoryview(buffer)
def look(folder):
    for name in sorted(os.listdir(folder)):
        path = (folder + "/" + name) if folder != "/" else "/" + name
        if os.stat(path)[0] & 0x4000:
            if folder == "/" or path.startswith("/lib/") or path.startswith("/meter/"):
                look(path)
            continue
        code = name.endswith(".py") or name.endswith(".mpy")
        if not code and not path.startswith("/meter/"):
            continue
        whole = sha256()
        with open(path, "rb") as f:
            while True:
                size = f.readinto(buffer)
                if not size:
                    break
                whole.update(view[:size])
        found[path[1:]] = whole.digest()
look("/")
print(found)
"""
_MAKE_SOFT = """
from meter import keys
made = False
try:
    keys.make_key()
    made = True
except keys.KeyExists:
    pass
"""
_KEY = """
from meter import keys, signing
keys.self_test()
if %r == "atecc608":
    import board
    from meter import atecc608
    signer = atecc608.AteccSigner(board.i2c())
else:
    signer = signing.SoftSigner(keys.load_key())
"""
_PROOF = "print((signer.public, signing.finish(signer.sign(%r))))"
_MAKE_SECURE = """
import board
from meter import atecc608, keys
made = False
try:
    if %r:
        atecc608.lock(board.i2c())
    atecc608.make_key(board.i2c())
    made = True
except keys.KeyExists:
    pass
"""
_MEASURE = """
import board
from meter.elements import %(kind)s as kind
try:
    element = kind.make(%(settings)r, board)
except Exception as error:
    print(("refused", str(error)))
else:
    found = None
    for _ in range(3):
        found = element.measure()
        if found:
            break
    print(("measured", found, element.read(%(at_ms)d)))
"""
_TICK = """
import board, time
before = board.rtc_s()
started = time.ticks_ms()
while board.rtc_s() == before and time.ticks_diff(time.ticks_ms(), started) < 1500:
    pass
print(board.rtc_s())
"""
_CHECK = """
from meter import config
import json
try:
    config.check(json.loads(%r))
    print(repr(""))
except config.NotConfigured as error:
    print(repr(str(error)))
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a board says of itself."""

    platform: str
    """`sys.platform`."""

    version: tuple[int, int, int]
    """Of MicroPython."""

    mpy: int
    """Version of the .mpy files that it loads; 0 for none."""

    machine: str
    """Name of board and chip."""

    chip: bytes
    """The chip's number."""

    free_bytes: int
    """Free on its flash."""

    flash_bytes: int
    """Size of its file system."""

    missing: tuple[str, ...]
    """Modules that it lacks."""

    config: Mapping[str, Any]
    """/config.json as it stands; empty when there is none."""

    has_key: bool
    """Whether a key is in its flash."""

    has_record: bool
    """Whether a commissioning record is on it."""

    @property
    def version_text(self) -> str:
        """Of MicroPython, for people."""
        return ".".join(map(str, self.version))

    @property
    def meter(self) -> str:
        """Id of the meter that it is; empty when it is none yet."""
        return str(self.config.get("meter", ""))


def identity(console: Console) -> Identity:
    """Which board, with which MicroPython, and what it already is."""
    found = console.ask(_IDENTITY)
    platform, version, mpy, machine, chip, free, size, missing, config, key, record = found
    known = config if isinstance(config, dict) else {}
    return Identity(
        platform, version, mpy & 0xFF, machine, chip, free, size, tuple(missing), known, key, record
    )


def hashes(console: Console) -> dict[str, bytes]:
    """SHA-256 of every file of the application, computed on the board, by path."""
    found: dict[str, bytes] = console.ask(_HASHES)
    return found


def make_key(console: Console, kind: str, lock_chip: bool) -> bool:
    """Make the meter's key when it has none; whether one was made.

    `lock_chip` locks a secure element's configuration for ever, which it needs once.
    """
    code = _MAKE_SECURE % lock_chip if kind == "atecc608" else _MAKE_SOFT
    try:
        made: bool = console.ask(code + "print(made)")
    except faults.RefusedFault as reason:
        if kind == "atecc608":
            raise faults.SECURE_ELEMENT_SILENT.fault(why=reason.values["words"]) from None
        raise
    return made


def proof(console: Console, kind: str, challenge: bytes) -> tuple[bytes, bytes]:
    """(public key, signature over the challenge), after the curve's self-test."""
    public, made = console.ask(_KEY % kind + _PROOF % (challenge,))
    return public, made


def set_clock(console: Console, unix_s: int, ms: int) -> None:
    """Set the board's clock."""
    console.run(f"import board\nboard.set_rtc({unix_s}, {ms})")


def knows_time(console: Console) -> bool:
    """Whether the board's clock was set since it had no power."""
    return console.ask("import board\nprint(board.rtc_s())") is not None


def next_tick(console: Console) -> int | None:
    """The board's clock at the moment when its second has just changed, Unix s; None: never set."""
    found: int | None = console.ask(_TICK)
    return found


def measured(console: Console, settings: Mapping[str, Any], at_ms: int) -> Any:
    """What the element measures: ("measured", measure(), read()) or ("refused", words)."""
    values = {"kind": settings["kind"], "settings": dict(settings), "at_ms": at_ms}
    return console.ask(_MEASURE % values)


def write_file(console: Console, path: str, data: bytes) -> None:
    """Replace a file whole: after a power cut the old or the new one is there."""
    try:
        console.fs_writefile(path + ".new", data, chunk_size=1024)
        console.run(f"import os\nos.rename({path + '.new'!r}, {path!r})")
    except (TransportExecError, OSError) as error:
        if isinstance(error, TransportExecError):
            raise faults.CRASHED.fault(words=last_words(error)) from None
        raise full(console, len(data)) from None


def store(console: Console, content: Mapping[str, Any], record: bytes) -> None:
    """Write configuration and commissioning record; what is there already is not written again."""
    for path, data in (
        ("/commissioning.cbor", record),
        ("/config.json", json.dumps(dict(content)).encode()),
    ):
        if content_of_file(console, path) != data:
            write_file(console, path, data)


def full(console: Console, needed: int) -> faults.Fault:
    """The fault of a flash without room."""
    free = identity(console).free_bytes
    return faults.FLASH_FULL.fault(free=free // 1024, needed=-(-needed // 1024))


def content_of_file(console: Console, path: str) -> bytes:
    """A file of the board; empty when it is not there."""
    code = f"try:\n    print(open({path!r}, 'rb').read())\nexcept OSError:\n    print(b'')"
    found: bytes = console.ask(code)
    return found


def configuration_id(console: Console) -> bytes:
    """What the board computes over its /config.json, after checking it; raises a Fault."""
    code = (
        "from meter import config\ntry:\n    print((1, config.load()['configuration_id']))\n"
        "except config.NotConfigured as error:\n    print((0, str(error)))"
    )
    accepted, found = console.ask(code)
    if not accepted:
        raise faults.CONFIGURATION_REFUSED.fault(why=found)
    identity_found: bytes = found
    return identity_found


def check_configuration(console: Console, config: Mapping[str, Any]) -> None:
    """Have the board check a configuration before it is stored; raises a Fault."""
    why = console.ask(_CHECK % json.dumps(dict(config)))
    if why:
        raise faults.CONFIGURATION_REFUSED.fault(why=why)
