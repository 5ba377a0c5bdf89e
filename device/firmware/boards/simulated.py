"""The board: MicroPython's unix port, which a harness (hw-sim) has made to look like one.

Decides nothing about pins, as there are none: covers and the jumper are what the harness says.
Copied to the board as /board.py, and with it the only code that knows `machine`.
"""

import time

import machine

from meter.clock import EPOCH_S

KIND = "simulated"


def rs485(baudrate):
    """The line to the gateway."""
    return machine.UART(0, baudrate)


def inputs():
    """(cover open, terminal cover open, magnet near)."""
    on = machine.pins_on()
    return "cover" in on, "terminal_cover" in on, "magnet" in on


def jumper():
    """Whether the service jumper is set."""
    return "jumper" in machine.pins_on()


def watchdog(timeout_ms):
    """A watchdog that resets the board unless it is fed; nothing stops it."""
    return machine.WDT(timeout=timeout_ms)


def rtc_s():
    """Unix s from the clock that outlives a reset, or None when it was never set."""
    offset_s = machine.RTC().offset_s()
    return None if offset_s is None else int(time.time() + EPOCH_S + offset_s)


def set_rtc(unix_s, ms):
    """Set that clock."""
    machine.RTC().set_offset_s(unix_s + ms / 1000 - time.time() - EPOCH_S)


def lock():
    """From now on Ctrl-C stops nothing."""
    machine.lock()


def reset():
    """As if the power had been cut; does not return."""
    machine.reset()


def unique_id():
    """The board's name."""
    return machine.unique_id()
