"""The inside of a simulated board: the interpreter, its resets, and the pump to the console.

Decides what a reset looks like from outside, which is what mpremote relies on: the console never
closes; leaving with status 0 is a soft reset ("MPY: soft reboot", raw mode kept, main.py not run in
raw mode), anything else a hard one; Ctrl-C interrupts whatever runs. Sleeps in `select` whenever
nothing moves on the console; the RS-485 line goes to the interpreter without passing here.
"""

import contextlib
import ctypes
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

UP = "up"
"""Told on standard output, one word a line: the interpreter runs."""

SERVING = "serving"
"""The firmware answers its line."""

_UP_MARK = b"\x16"
_LOCKED_MARK = b"\x0e"
_RESET_MARK = b"\x0f"
_SERVING_MARK = b" serves unit "
_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D = 1, 2, 3, 4
_PROMPT = b">>> "
_RAW_PROMPT = b"\x04>"
_BLOCK_SIZE = 4096
_PR_SET_PDEATHSIG = 1  # prctl(2)
_CONSOLE_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a board is made of."""

    interpreter: str
    """Path of the unix port."""

    name: str
    """Becomes machine.unique_id()."""

    flash: Path
    """Image file."""

    blocks: int
    """Of 4 KiB in the flash."""

    heap: str
    """As `-X heapsize=` takes it."""

    console_fd: int
    """Near end of the console's terminal."""

    line_fd: int
    """Near end of the RS-485 line's terminal."""

    lock_fd: int
    """The flash, locked: held by whoever may write on it, see `insert_flash`."""

    def environment(self, raw: bool, watchdog_fd: int) -> dict[str, str]:
        """Settings that board_boot reads."""
        return os.environ | {
            "BOARD_ID": self.name,
            "BOARD_FLASH": str(self.flash.resolve()),
            "BOARD_BLOCKS": str(self.blocks),
            "BOARD_LINE_FD": str(self.line_fd),
            "BOARD_RAW": "1" if raw else "0",
            "BOARD_RTC": str(self.flash.resolve().with_name("rtc")),
            "BOARD_PINS": str(self.flash.resolve().with_name("pins")),
            "BOARD_WATCHDOG_FD": str(watchdog_fd),
        }


def insert_flash(path: Path, blocks: int) -> int:
    """Make a blank flash when there is none, and lock it.

    The interpreter inherits the lock, so a board that is started again waits here until the last
    process of its former life is gone.
    """
    if not path.exists():
        path.write_bytes(b"\xff" * (_BLOCK_SIZE * blocks))
    lock_fd = os.open(path, os.O_RDONLY)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    return lock_fd


def _take_terminal() -> None:
    """Make standard input the child's terminal, and have the kernel kill it with its parent."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Interpreter:
    """One life of the interpreter, between two resets."""

    def __init__(self, equipment: Equipment, raw: bool) -> None:
        """Start it on a terminal of its own, where Ctrl-C is a signal while a program runs."""
        near, far = pty.openpty()
        mode = termios.tcgetattr(far)
        mode[0], mode[1], mode[3] = 0, 0, termios.ISIG | termios.NOFLSH
        termios.tcsetattr(far, termios.TCSANOW, mode)
        boot = str(Path(__file__).with_name("board_boot.py"))
        self.terminal = near
        self.watchdog, fed = os.pipe()
        self._process = subprocess.Popen(
            [equipment.interpreter, "-X", f"heapsize={equipment.heap}", "-i", boot],
            stdin=far,
            stdout=far,
            stderr=far,
            env=equipment.environment(raw, fed),
            pass_fds=[equipment.line_fd, equipment.lock_fd, fed],
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(far)
        os.close(fed)
        self._bites_at = 0.0
        self._wanted_raw = raw
        self.up = False
        self._seen = b""
        self._pasted = False
        self.serving = False

    @property
    def words(self) -> str:
        """The end of what it printed."""
        return self._seen.decode(errors="replace").strip()

    def type(self, data: bytes) -> None:
        """Type on its keyboard.

        Ctrl-C is the terminal's to understand, which knows whether a program runs or the prompt
        waits; only a program sent by raw paste finds it in raw mode, and needs the signal itself.
        """
        if _CTRL_C in data and self._pasted:
            self._process.send_signal(signal.SIGINT)
            data = data[data.index(_CTRL_C) + 1 :]
        with contextlib.suppress(OSError):  # It has just ended; the next read says so.
            os.write(self.terminal, data)
        self._pasted = self._pasted or data.endswith(bytes([_CTRL_D]))

    def output(self) -> bytes | None:
        """What it printed; b"" for what the console must not see, None when it has ended."""
        try:
            data = os.read(self.terminal, 4096)
        except OSError:
            data = b""
        if not data:
            return None
        if _LOCKED_MARK in data:
            data = data.replace(_LOCKED_MARK, b"")
            self._lock()
        if _RESET_MARK in data:
            data = data.partition(_RESET_MARK)[0]
            self._process.kill()
        self._seen = (self._seen + data)[-512:]
        if not self.up:
            return self._first_output()
        self.serving = self.serving or _SERVING_MARK in self._seen
        if self._seen.endswith(_RAW_PROMPT):
            self._pasted = False
        return data

    def _first_output(self) -> bytes:
        """Hold everything back until a program runs or the prompt is there."""
        if _UP_MARK in self._seen:
            self.up = True
            data = self._seen.partition(_UP_MARK)[2]
            self.serving = _SERVING_MARK in data
            return data
        if not self._seen.endswith(_PROMPT):
            return b""
        self.up = True
        if self._wanted_raw:
            self.type(bytes([_CTRL_A]))
            return b""
        return self._seen

    def _lock(self) -> None:
        """Ctrl-C interrupts nothing any more."""
        mode = termios.tcgetattr(self.terminal)
        mode[3] &= ~termios.ISIG
        termios.tcsetattr(self.terminal, termios.TCSANOW, mode)

    def feed(self) -> bool:
        """Its watchdog was fed; False when the other end is closed."""
        fed = os.read(self.watchdog, 4096).split()
        if fed:
            self._bites_at = time.monotonic() + int(fed[-1]) / 1000
        return bool(fed)

    def patience_s(self) -> float | None:
        """Seconds until its watchdog resets it; None when it has none."""
        return max(0.0, self._bites_at - time.monotonic()) if self._bites_at else None

    def bite(self) -> None:
        """The watchdog resets it."""
        self._bites_at = 0.0
        self._process.kill()

    def status(self) -> int:
        """Exit status, once it has ended."""
        os.close(self.terminal)
        os.close(self.watchdog)
        return self._process.wait()


class BoardProcess:
    """The console's side: passes bytes, follows the mode, starts the next life."""

    def __init__(self, equipment: Equipment, tether: int | None) -> None:
        """Start; when `tether` (a pipe) closes, whoever held the board is gone, and it ends."""
        self._tether = [] if tether is None else [tether]
        self._equipment = equipment
        self._console = equipment.console_fd
        self._raw = False
        self._typed = b""
        self._since_interrupt = b""
        fcntl.fcntl(equipment.line_fd, fcntl.F_SETFL, os.O_NONBLOCK)
        equipment.flash.with_name("rtc").unlink(missing_ok=True)  # Power had been cut.
        self._interpreter = Interpreter(equipment, raw=False)
        self._fed_by = True  # The watchdog's pipe is open at its other end.
        self._told: set[str] = set()

    def run(self) -> str:
        """Pump until the process is killed or let go of; returns what went wrong, or ""."""
        while True:
            ready = self._wait()
            if any(end in ready for end in self._tether):
                return ""
            if self._console in ready:
                self._typed += os.read(self._console, 4096)
            if self._interpreter.terminal in ready and not self._pass_output():
                return f"{self._equipment.interpreter} does not start: {self._interpreter.words}"
            while self._typed and self._interpreter.up:
                self._pass_input()

    def _wait(self) -> list[int]:
        """Sleep until something comes; see to the watchdog."""
        ends = [self._interpreter.terminal, *self._tether]
        if len(self._typed) < _BLOCK_SIZE:
            ends.append(self._console)
        if self._fed_by:
            ends.append(self._interpreter.watchdog)
        ready, _, _ = select.select(ends, [], [], self._interpreter.patience_s())
        if not ready:
            self._interpreter.bite()
        if self._interpreter.watchdog in ready:
            self._fed_by = self._interpreter.feed()
        return ready

    def _pass_input(self) -> None:
        """Type what came, one Ctrl-C at a time: what stands before it may start a program."""
        end = self._typed.find(_CTRL_C, 1)
        data = self._typed if end < 0 else self._typed[:end]
        self._typed = self._typed[len(data) :]
        for byte in data:
            if byte in (_CTRL_A, _CTRL_B):
                self._raw = byte == _CTRL_A
        self._since_interrupt += data
        if data[0] == _CTRL_C:
            self._since_interrupt = data[1:]
        self._interpreter.type(data)

    def _pass_output(self) -> bool:
        """Show it; False when the interpreter ended before it ran, which no reset mends."""
        output = self._interpreter.output()
        if output is None:
            if not self._interpreter.up:
                return False
            self._reset()
            return True
        self._show(output)
        for word, true in ((UP, self._interpreter.up), (SERVING, self._interpreter.serving)):
            if true and word not in self._told:
                self._told.add(word)
                print(word, flush=True)
        return True

    def _show(self, data: bytes) -> None:
        """Print on the console; what nobody takes for a while is lost, as on a serial line."""
        while data and select.select([], [self._console], [], _CONSOLE_PATIENCE_S)[1]:
            data = data[os.write(self._console, data[:256]) :]

    def _reset(self) -> None:
        """Say what kind of reset it was, and start the next life.

        A Ctrl-C that came just before the program could be interrupted has ended the process: what
        was typed behind it is typed again, at the prompt that it was meant for.
        """
        status = self._interpreter.status()
        if status == -signal.SIGINT:
            self._raw = True
            self._typed = self._since_interrupt + self._typed
        elif status:
            self._raw = False
            self._show(b"\r\nhard reset (%d)\r\n" % status)
        else:
            self._show(b"MPY: soft reboot\r\n")
        self._told.clear()
        self._fed_by = True
        self._interpreter = Interpreter(self._equipment, self._raw)
