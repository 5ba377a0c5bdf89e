"""A meter that is started and watched over its console: does it run, can it still be stopped?"""

import contextlib
import time

import serial

from device.provision import faults
from device.provision.console import Console

STARTED = b" serves unit "
"""What the firmware says when it answers its line."""

NOT_CONFIGURED = b"not configured: "
TRACEBACK = b"Traceback (most recent call last)"
START_LIMIT_S = 20.0
PROMPT = b">>> "
_AFTER_WINDOW_S = 1.0
_ANSWER_S = 1.0


def restart(console: Console) -> None:
    """Reset the board and wait until its meter serves; raises a Fault with what it says instead."""
    console.leave("import machine\nmachine.reset()")
    console.in_raw_repl = False
    heard = console.hear_until((STARTED, NOT_CONFIGURED, TRACEBACK), START_LIMIT_S)
    if STARTED in heard:
        return
    heard += console.hear_until((b"\n\x00",), _ANSWER_S)
    lines = heard.decode(errors="replace").replace("\r", "").strip().split("\n")
    raise faults.DOES_NOT_RUN.fault(why=repr(lines[-1][-80:]) if heard else "it says nothing")


def still_answers(console: Console, service_window_ms: int) -> bool:
    """Whether Ctrl-C brings a prompt after the service window of a meter that has just started."""
    console.hear_until((PROMPT,), service_window_ms / 1000 + _AFTER_WINDOW_S)
    deadline = time.monotonic() + _ANSWER_S
    heard = b""
    while PROMPT not in heard and time.monotonic() < deadline:
        with contextlib.suppress(OSError, serial.SerialException):
            console.serial.write(b"\x03")
        heard += console.hear_until((PROMPT,), _ANSWER_S / 4)
    return PROMPT in heard


def back_to_work(console: Console) -> None:
    """Reset a board that waits at its prompt: a meter whose visit ended early goes on measuring."""
    if console.in_raw_repl:
        with contextlib.suppress(faults.AwayFault):
            console.leave("import machine\nmachine.reset()")
