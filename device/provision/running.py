"""A meter that is started and watched over its console: does it run, can it still be stopped?"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import serial

from device.provision import faults
from device.provision.console import PROMPT, Console

STARTED = b" serves unit "
"""What the firmware says when it answers its line."""

ENDED = (b"not running: ", b"crash: ", b"service: ", b"Traceback (most recent call last)")
"""What it says, or MicroPython for it, when it does not."""

RESET = "import machine\nmachine.reset()"
START_LIMIT_S = 20.0
_GREETING = (">>>", "MicroPython ", 'Type "help()"')
_ANSWER_S = 1.0


def restart(console: Console, service_window_ms: int) -> None:
    """Reset the board and wait until its meter serves; raises a Fault with what it says instead.

    A board with USB of its own takes its port with it, and brings it back within its window.
    """
    limit_s = START_LIMIT_S + service_window_ms / 1000
    try:
        console.leave(RESET)
        console.in_raw_repl = False
        heard = console.hear_until((STARTED, *ENDED), limit_s)
    except faults.AwayFault as gone:
        if gone.row is not faults.UNPLUGGED:
            raise
        console.come_back()
        heard = console.hear_until((STARTED, *ENDED), limit_s)
    if STARTED in heard:
        return
    heard += console.hear_until((b"\n\x00",), _ANSWER_S)
    raise faults.DOES_NOT_RUN.fault(why=_last_words(heard))


def _last_words(heard: bytes) -> str:
    """The last line that is not MicroPython's greeting."""
    lines = heard.decode(errors="replace").replace("\r", "").split("\n")
    said = [line for line in lines if line.strip() and not line.startswith(_GREETING)]
    return repr(said[-1][-80:]) if said else "it says nothing"


def still_answers(console: Console) -> bool:
    """Whether Ctrl-C brings a prompt although the meter serves, behind its service window."""
    deadline = time.monotonic() + _ANSWER_S
    heard = b""
    while PROMPT not in heard and time.monotonic() < deadline:
        with contextlib.suppress(OSError, serial.SerialException):
            console.serial.write(b"\x03")
        heard += console.hear_until((PROMPT,), _ANSWER_S / 4)
    return PROMPT in heard


def window_ms(config: Mapping[str, Any]) -> int:
    """How long a meter of this configuration listens after a start."""
    return int(config.get("service_window_ms", 3000))


def back_to_work(console: Console) -> None:
    """Reset a board that waits at its prompt: a meter whose visit ended early goes on measuring."""
    if console.in_raw_repl:
        with contextlib.suppress(faults.AwayFault):
            console.leave(RESET)
            console.see_reset()
