"""One serial session with a board: a raw REPL that is found, kept, and missed in words.

Decides how long a board is waited for, what is tried to reach it (Ctrl-C again and again with
growing pauses, a reset by DTR and RTS, a word to the person who can press the button), and which
fault it is when it cannot be reached or stops answering. Leaves what is asked to others.
"""

import ast
import contextlib
import io
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from device.provision import faults, usb

Say = Callable[[str], None]

PROMPT = b">>> "
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
REBOOTED = b"soft reboot\r\n"
STARTS = (b"hard reset", b"soft reboot", b"rst:0x", b"rst cause", b"Brownout")
"""Words of a board that starts: ESP32 and ESP8266 boot ROMs, MicroPython."""

LOOPS = 3
"""So many starts while a prompt is waited for are a board that cannot stay up."""

PRESS_RESET = (
    "no prompt yet: if this meter is locked, press its reset button now (or power it again)"
)
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 1.0
_ANSWER_LIMIT_S = 10.0
_RESET_PULSE_S = 0.1

RETURN_LIMIT_S = 15.0
"""For a port that went with a reset: start, enumeration, and a computer that looks at it first."""

_RETURN_LOOK_S = 0.05
_VANISHES_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a board is waited for."""

    alone_s: float = 10.0
    """Until it answers by itself, or after a reset by DTR and RTS."""

    by_hand_s: float = 30.0
    """Longer, for a person who presses its reset button; 0 when nobody is there."""


class Console(SerialTransport):  # type: ignore[misc]
    """mpremote's transport, whose troubles are faults of the table."""

    def __init__(self, port: str, say: Say = lambda _: None) -> None:
        """Open the port; raises a Fault that tells why not."""
        self.port = port
        self._say = say
        self._serial_number = usb.serial_number(port)
        try:
            self._open(port)
        except (TransportError, serial.SerialException, OSError):
            raise why_not_open(port) from None

    def _open(self, port: str) -> None:
        super().__init__(os.path.realpath(port), timeout=_ANSWER_LIMIT_S)

    def come_back(self) -> None:
        """The port went with a reset, as a board's own USB does: wait for it and open it again.

        It may have another name then; a port with a serial number is found by that. Raises a Fault.
        """
        self.close()
        deadline = time.monotonic() + RETURN_LIMIT_S
        name = ""
        while time.monotonic() < deadline:
            name = usb.now(self.port, self._serial_number)
            if name:
                with contextlib.suppress(TransportError, serial.SerialException, OSError):
                    self._open(name)
                    self.port = name
                    return
            time.sleep(_RETURN_LOOK_S)
        if name:
            raise why_not_open(name)
        raise faults.NOT_BACK.fault(port=self.port, seconds=round(RETURN_LIMIT_S))

    def see_reset(self) -> None:
        """After a reset that nobody waits for: leave when a port that may vanish is back."""
        if not usb.may_vanish(self.port):
            return
        try:
            self.hear_until((), _VANISHES_S)
        except faults.AwayFault:
            self.come_back()

    # Reaching it.

    def reach(self, patience: Patience) -> None:
        """Enter the raw REPL with a soft reset behind it; raises a Fault."""
        began = time.monotonic()
        deadlines = [began + patience.alone_s / 2, began + patience.alone_s]
        if patience.by_hand_s:
            deadlines.append(deadlines[-1] + patience.by_hand_s)
        heard = b""
        for attempt, deadline in enumerate(deadlines):
            if attempt == 1:
                self._pulse_reset()
            elif attempt == 2:
                self._say(PRESS_RESET)
            heard += self._interrupt_until(deadline, heard)
            if heard.endswith(RAW_PROMPT):
                self.fresh()
                return
        raise self._nothing(heard, time.monotonic() - began)

    def _interrupt_until(self, deadline: float, before: bytes) -> bytes:
        """Ctrl-C and Ctrl-A with growing pauses until the raw prompt comes; what was heard."""
        heard, pause_s = b"", _FIRST_PAUSE_S
        while time.monotonic() < deadline:
            self.write(b"\r\x03\x03\r\x01")
            quiet_until = time.monotonic() + pause_s
            while time.monotonic() < quiet_until:
                heard += self._heard()
                if heard.endswith(RAW_PROMPT):
                    self.in_raw_repl = True
                    return heard
            if _starts(before + heard) >= LOOPS:
                raise faults.BOOT_LOOP.fault(
                    port=self.port, times=_starts(before + heard), seconds=round(pause_s + 0.5)
                )
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
        return heard

    def hear_until(self, words: tuple[bytes, ...], limit_s: float) -> bytes:
        """What the board says until it says one of these words, or for so long."""
        heard, deadline = b"", time.monotonic() + limit_s
        while time.monotonic() < deadline and not any(word in heard for word in words):
            heard += self._heard()
        return heard

    def _heard(self) -> bytes:
        """What came within a hundredth of a second."""
        with self._own_faults():
            self.serial.timeout = 0.01
            try:
                data: bytes = self.serial.read(max(1, self.serial.in_waiting))
            finally:
                self.serial.timeout = _ANSWER_LIMIT_S
        return data

    def write(self, data: bytes) -> None:
        """Type this; raises a Fault when the port is gone."""
        with self._own_faults():
            self.serial.write(data)

    def fresh(self) -> None:
        """A soft reset, which does not run main.py in raw mode: the memory is empty again."""
        heard = b""
        self.write(b"\x04")
        deadline = time.monotonic() + _ANSWER_LIMIT_S
        while not (REBOOTED in heard and heard.endswith(RAW_PROMPT)):
            if time.monotonic() > deadline:
                raise faults.WENT_SILENT.fault(port=self.port)
            heard += self._heard()
        # mpremote looks for the prompt's end before each command.
        self.serial.write(b"\r\x01")

    def _pulse_reset(self) -> None:
        """Reset a board whose adapter wires DTR and RTS to it; a pseudo-terminal has neither."""
        with contextlib.suppress(OSError):
            self.serial.dtr = False
            self.serial.rts = True
            time.sleep(_RESET_PULSE_S)
            self.serial.rts = False

    def _nothing(self, heard: bytes, seconds: float) -> faults.Fault:
        words = bytes(each for each in heard if 32 <= each < 127 or each in b"\r\n")
        for echoed in (b"raw REPL; CTRL-B to exit", b">>>", b">"):
            words = words.replace(echoed, b"")
        if not words.strip() and len(heard) < 8:
            return faults.NO_ANSWER.fault(port=self.port, seconds=round(seconds))
        shown = words.decode().strip().split("\n")[-1].strip()[-40:] or heard[-12:].hex(" ")
        return faults.NOT_MICROPYTHON.fault(port=self.port, heard=repr(shown))

    # Asking it.

    def read_until(self, *arguments: Any, timeout: Any = None, **options: Any) -> Any:
        """As mpremote's, with our limit for a board that is silent."""
        limit_s = _ANSWER_LIMIT_S if timeout is None else timeout
        return super().read_until(*arguments, timeout=limit_s, **options)

    def exec_raw(self, command: Any, timeout: Any = None, data_consumer: Any = None) -> Any:
        """As mpremote's, with our faults."""
        # mpremote prints what it heard when it gives up.
        with self._own_faults(), contextlib.redirect_stdout(io.StringIO()):
            return super().exec_raw(command, timeout, data_consumer)

    def ask(self, code: str) -> Any:
        """Run code on the board and read the literal that it prints; raises a Fault."""
        try:
            return ast.literal_eval(self.exec(code).decode().strip())
        except TransportExecError as error:
            words = last_words(error)
            if words.startswith("ImportError"):  # No application, or that of another tool.
                raise faults.NOT_INSTALLED.fault(differences=words) from None
            raise faults.CRASHED.fault(words=words) from None
        except (ValueError, SyntaxError, UnicodeDecodeError):
            raise faults.WENT_SILENT.fault(port=self.port) from None

    def run(self, code: str) -> None:
        """Run code that prints nothing; raises a Fault."""
        self.ask(code + "\nprint(0)")

    def leave(self, code: str) -> None:
        """Run code that does not come back."""
        with self._own_faults(), contextlib.redirect_stdout(io.StringIO()):
            self.exec_raw_no_follow(code)

    @contextmanager
    def _own_faults(self) -> Iterator[None]:
        try:
            yield
        except TransportExecError:
            raise
        except OSError:  # Of which pyserial's is one.
            self.in_raw_repl = False
            raise faults.UNPLUGGED.fault(port=self.port) from None
        except (TransportError, struct.error, IndexError):
            self.in_raw_repl = False
            raise faults.WENT_SILENT.fault(port=self.port) from None

    def close(self) -> None:
        """Close the port, whatever has become of it."""
        with contextlib.suppress(OSError, serial.SerialException):
            super().close()


def last_words(error: TransportExecError) -> str:
    """The last line of what a board printed when it failed."""
    return "".join(error.error_output.strip().splitlines()[-1:])


def _starts(heard: bytes) -> int:
    return sum(heard.count(word) for word in STARTS)


def why_not_open(port: str) -> faults.Fault:
    """The fault of a port that could not be opened."""
    path = os.path.realpath(port)
    if not os.path.exists(path):
        return faults.WRONG_PORT.fault(port=port)
    if not os.access(path, os.R_OK | os.W_OK):
        return faults.NO_PERMISSION.fault(port=port)
    try:
        serial.Serial(path, exclusive=True).close()
    except (serial.SerialException, OSError) as error:
        if "lock" in str(error) or "busy" in str(error):
            return faults.BUSY_PORT.fault(port=port)
    return faults.WRONG_PORT.fault(port=port)


@contextmanager
def session(
    port: str, say: Say = lambda _: None, patience: Patience | None = None
) -> Iterator[Console]:
    """A raw REPL on the board; raises a Fault when there is none, or none any more."""
    console = Console(port, say)
    try:
        console.reach(patience or Patience(by_hand_s=0))
        yield console
    finally:
        console.close()
