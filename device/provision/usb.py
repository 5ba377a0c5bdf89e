"""Ports of boards with USB of their own, which vanish in a reset and come back.

Decides under which name a port is to be looked for: the serial number of its USB device where it
has one, as the computer may give it another name; else the name that it had. Leaves opening to
`console`.
"""

import os

from serial.tools import list_ports

_OWN_USB = ("ttyACM", "cu.usbmodem", "tty.usbmodem")
"""How Linux and macOS name the ports of boards that are USB devices themselves (CDC-ACM)."""


def serial_number(port: str) -> str:
    """Of the USB device behind a port; empty when it has none."""
    path = os.path.realpath(port)
    for each in list_ports.comports():
        if path == os.path.realpath(each.device):
            return each.serial_number or ""
    return ""


def now(port: str, number: str) -> str:
    """Under which name a port is there now; empty when it is not."""
    if not number:
        return port if os.path.exists(os.path.realpath(port)) else ""
    same = sorted(each.device for each in list_ports.comports() if each.serial_number == number)
    path = os.path.realpath(port)
    still = [port for device in same if os.path.realpath(device) == path]
    return str([*still, *same, ""][0])


def may_vanish(port: str) -> bool:
    """Whether a reset may take this port away."""
    names = os.path.basename(port), os.path.basename(os.path.realpath(port))
    return any(name.startswith(_OWN_USB) for name in names)
