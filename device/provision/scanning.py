"""What is on each serial port, found out without harm: for a person who does not know the cables.

Decides how carefully a port is asked. It hears Ctrl-C, the interrupt of a MicroPython, twice at
most, and nothing else unless a prompt answers. No reset line is moved. A program that the interrupt
stopped is started again: a meter by its own reset, another MicroPython by a soft one. A board that
waited at its prompt waits there afterwards, with its variables. What is locked, or no MicroPython,
only hears the interrupt.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from serial.tools import list_ports

from device.provision import asked, faults
from device.provision.console import PROMPT, RAW_PROMPT, Console
from device.provision.running import RESET

METER, MICROPYTHON, OTHER, SILENT = "meter", "micropython", "other", "silent"
NOT_OPENED = "not opened"
_INTERRUPTS = 2
_LISTEN_S = 0.7
_DRAIN_S = 0.1
_STOPPED = (b"KeyboardInterrupt", b"service: ", b'Type "help()"')
"""What a MicroPython says when Ctrl-C stopped a program, and not when it was at its prompt."""

_BLUETOOTH = ("rfcomm", "Bluetooth")
_SOFTWARE = "from meter import software\nprint(software.software_id())"


@dataclass(frozen=True, slots=True)
class Seen:
    """A port and what is there."""

    port: str
    """Its name."""

    kind: str
    """`METER`, `MICROPYTHON`, `OTHER`, `SILENT` or `NOT_OPENED`."""

    words: str
    """For people: which one, and in what state; or why it is not known."""

    meter: str = ""
    """Id of the meter."""

    micropython: str = ""
    """Version of the MicroPython."""

    software_id: str = ""
    """Of the meter's application, hex."""

    state: str = ""
    """Of the meter: commissioned or not, locked or not, at work or stopped."""


class Careful(Console):
    """A console that leaves nothing behind on the board."""

    def ask(self, code: str) -> Any:
        """As a console does, with names of its own."""
        return super().ask(f"exec({code!r}, {{}})")

    def interrupt(self) -> bytes:
        """Ctrl-C until a prompt answers, twice at most; what was heard."""
        self.hear_until((), _DRAIN_S)  # What was said before is not the answer.
        heard = b""
        for _ in range(_INTERRUPTS):
            self.write(b"\x03")
            deadline = time.monotonic() + _LISTEN_S
            while time.monotonic() < deadline and not heard.endswith(PROMPT):
                heard += self.hear_until((PROMPT,), _LISTEN_S / 10)
            if heard.endswith(PROMPT):
                break
        return heard

    def enter(self) -> bool:
        """From a friendly prompt to the raw one, without a reset; False when there is none."""
        self.write(b"\x01")
        if RAW_PROMPT not in self.hear_until((RAW_PROMPT,), _LISTEN_S):
            return False
        self.in_raw_repl = True
        self.write(b"\r\x01")  # mpremote looks for the prompt's end before each command.
        return True

    def leave_as_it_was(self, stopped: bool, is_meter: bool) -> None:
        """Start again what the interrupt stopped; else back to the friendly prompt."""
        if stopped and is_meter:
            self.leave(RESET)
            self.see_reset()
            return
        self.write(b"\r\x02")
        if stopped:
            self.write(b"\x04")


def everything() -> list[str]:
    """All serial ports that this computer knows, USB or not."""
    return sorted(each.device for each in list_ports.comports())


def scan(names: Sequence[str]) -> Iterator[Seen]:
    """Ask each port, one after the other."""
    for name in names:
        yield _seen(name)


def _seen(name: str) -> Seen:
    if any(word in name for word in _BLUETOOTH):
        return Seen(name, NOT_OPENED, "Bluetooth: opening it would call the other side")
    try:
        console = Careful(name)
    except faults.Fault as reason:
        return Seen(name, NOT_OPENED, str(reason))
    try:
        return _asked(name, console)
    except faults.Fault as reason:
        return Seen(name, OTHER, str(reason))
    finally:
        console.close()


def _asked(name: str, console: Careful) -> Seen:
    heard = console.interrupt()
    if not heard.strip(b"\x03\r\n\0"):
        return Seen(name, SILENT, "no MicroPython, a locked meter, or a board that is switched off")
    if not heard.endswith(PROMPT):
        return Seen(name, OTHER, f"no MicroPython; it says {_line(heard)}")
    if not console.enter():
        return Seen(name, OTHER, "a prompt that is no MicroPython's")
    stopped = any(word in heard for word in _STOPPED)
    is_meter = False
    try:
        found = asked.identity(console)
        is_meter = bool(found.meter)
        return _board(name, console, found, stopped)
    finally:
        with suppress(faults.AwayFault):
            console.leave_as_it_was(stopped, is_meter)


def _board(name: str, console: Console, found: asked.Identity, stopped: bool) -> Seen:
    board = f"{found.machine}, MicroPython {found.version_text}"
    if not found.meter:
        after = "its program was stopped and started again" if stopped else "at its prompt"
        return Seen(name, MICROPYTHON, f"{board}; no meter; {after}", "", found.version_text)
    software = ""
    with suppress(faults.RefusedFault):  # Half an application: check tells more.
        software = console.ask(_SOFTWARE).hex()
    state = ", ".join(
        (
            "commissioned" if found.has_record and found.has_key else "not commissioned",
            "locked" if found.config.get("locked") else "not locked",
            "at work" if stopped else "stopped at its prompt",
        )
    )
    words = f"{found.meter} ({state}), software id {software or 'unknown'}; {board}"
    return Seen(name, METER, words, found.meter, found.version_text, software, state)


def _line(heard: bytes) -> str:
    """The last line that was heard, as a terminal may show it."""
    text = (
        heard.decode("ascii", "replace")
        .replace("\r", "\n")
        .replace("\N{REPLACEMENT CHARACTER}", "?")
    )
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return repr(lines[-1][-40:]) if lines else repr(heard[-12:].hex(" "))
