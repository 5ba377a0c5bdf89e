"""Which serial ports this computer has, and which of them are boards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from serial.tools import list_ports

from device.provision import asked, faults
from device.provision.console import Patience, session
from device.provision.running import back_to_work

LOOK = Patience(alone_s=3.0, by_hand_s=0)


@dataclass(frozen=True, slots=True)
class Port:
    """A port and what answers there."""

    name: str
    """Device path."""

    identity: asked.Identity | None
    """The board; None when none answers."""

    words: str
    """For people."""


def there() -> list[str]:
    """Ports with a USB device behind them: boards have one, Bluetooth and mainboards none."""
    return sorted(each.device for each in list_ports.comports() if each.vid is not None)


def look(names: list[str], patience: Patience = LOOK) -> Iterator[Port]:
    """Ask each port who is there. A meter that is asked is reset afterwards and goes on."""
    for name in names:
        try:
            with session(name, patience=patience) as console:
                found = asked.identity(console)
                back_to_work(console)
        except faults.Fault as reason:
            yield Port(name, None, str(reason))
            continue
        who = f"meter {found.meter}" if found.meter else "no meter yet"
        words = f"{found.machine}, MicroPython {found.version_text}, {who}"
        yield Port(name, found, words)


def only_board(list_names: Callable[[], list[str]] = there) -> str:
    """The one port with a board; raises a Fault when there is none, or more than one."""
    names = list_names()
    if len(names) == 1:
        return names[0]
    found = [port.name for port in look(names) if port.identity is not None]
    if not found:
        raise faults.NO_PORT.fault()
    if len(found) > 1:
        raise faults.SEVERAL_BOARDS.fault(ports=", ".join(found))
    return found[0]
