"""A board on a pseudo-terminal, what a technician orders for it, and ways to disturb them."""

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from device.provision import bundle, console, registered
from device.provision.console import Patience
from device.provision.fault import AwayFault
from device.provision.faults import Fault, Row
from device.provision.order import Order
from device.provision.report import Step
from device.provision.steps import Steps
from hwsim.board import Board, inside
from wire.keys import ES256, SoftSigner

METER, NODE, ZONE = "TH-BKK-0117", "LV1.101.Bus-7", "z1"
TECHNICIAN = SoftSigner.from_private(ES256, bytes(31) + b"\x07")
QUICK = Patience(alone_s=0.6, by_hand_s=0)
BOARD = "simulated"
MAKE = functools.cache(bundle.make)
"""Compiling takes a second; the sources are the same all the time."""


class Desk:
    """A board, and orders for it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        start_s = int(time.time()) // 86_400 * 86_400
        profile = folder / "load.csv"
        profile.write_text(f"{start_s},0,0\n{start_s + 864_000},72000000,0\n")
        self.element = {"kind": "simulated", "profile": inside(profile)}
        self.board = Board(folder / "board", "meter-1")
        self.board.start()

    @property
    def port(self) -> str:
        return str(self.board.console)

    def order(self, **changes: Any) -> Order:
        config = {
            "meter": METER,
            "node": NODE,
            "zone": ZONE,
            "unit": 5,
            "element": self.element,
            "service_window_ms": 300,
        }
        values: dict[str, Any] = {
            "port": self.port,
            "config": config,
            "technician": TECHNICIAN,
            "visit": {"technician": "t-1", "seals": ("A 1",)},
            "place": registered.Place(METER, NODE),
            "patience": Patience(by_hand_s=0),
        }
        return Order(**{**values, **changes})

    def walk(self, **changes: Any) -> tuple[Steps, list[Step]]:
        """All eight steps."""
        steps = Steps(self.order(**changes), lambda _: None)
        return steps, list(steps.walk())

    def ask(self, code: str) -> Any:
        """The board's answer, at its prompt, where it stays.

        A Ctrl-C while it starts can stop the unix port's interpreter for good; then its plug is
        pulled, as a person would do.
        """
        try:
            with console.session(self.port) as session:
                return session.ask(code)
        except AwayFault:
            self.board.kill()
            self.board.start()
            with console.session(self.port) as session:
                return session.ask(code)

    def files(self) -> Mapping[str, bytes]:
        """Every file of the board by path."""
        found: Mapping[str, bytes] = self.ask(_FILES)
        return found

    def again(self) -> None:
        """Plug it in again."""
        self.board.start()

    def close(self) -> None:
        self.board.close()


_FILES = """
import os
found = {}
def look(folder):
    for name in os.listdir(folder or "/"):
        path = folder + "/" + name
        if path == "/host":
            continue
        if os.stat(path)[0] & 0x4000:
            look(path)
        else:
            with open(path, "rb") as f:
                found[path] = f.read()
look("")
print(found)
"""


def outcomes(steps: Sequence[Step]) -> list[str]:
    return [step.outcome for step in steps]


def fault_of(desk: Desk, **changes: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        desk.walk(**changes)
    return caught.value


def check(fault: Fault, row: Row, step: int) -> None:
    assert fault.row is row
    assert fault.status == 10 + step
    assert str(fault).startswith(f"{row.code} ")
    assert " Try: " in str(fault)
    assert "\n" not in str(fault)
