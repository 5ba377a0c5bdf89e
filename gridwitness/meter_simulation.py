"""A board on this computer for `gridwitness meter --simulate`: MicroPython, a load, a technician.

Decides what the simulated place is like: one phase, and a steady load for ten years. With a folder
of its own the board, its flash and the technician's key are there again for the next command.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsm import filekey
from hwsim.board import Board, BoardDied, inside
from wire.errors import Unavailable
from wire.keys import ES256, Signer

LOAD_W = 300
_DAYS = 3650
_DAY_S = 86_400
_PASSPHRASE = b"simulated"  # Of a key that no network registers.


@dataclass(frozen=True, slots=True)
class SimulatedMeter:
    """What stands in for a board, its element and the person in front of it."""

    port: str
    """Its console."""

    element: dict[str, Any]
    """As the configuration names it."""

    technician: Signer
    """Signs the commissioning."""


@contextmanager
def simulated_meter(folder: Path | None) -> Iterator[SimulatedMeter]:
    """Switch a simulated board on, in its folder or in one that goes away with it.

    Raises:
        Unavailable: no MicroPython is here.
    """
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        board = Board(place / "board", "simulated")
        stack.callback(board.close)
        try:
            board.start()
        except BoardDied as reason:
            raise Unavailable(str(reason)) from None
        element = {"kind": "simulated", "profile": inside(_profile(place))}
        yield SimulatedMeter(str(board.console), element, _technician(place))


def _profile(place: Path) -> Path:
    path = place / "load.csv"
    if not path.exists():
        start_s = int(time.time()) // _DAY_S * _DAY_S
        energy_mwh = LOAD_W * 24 * 1000 * _DAYS
        path.write_text(f"{start_s},0,0\n{start_s + _DAYS * _DAY_S},{energy_mwh},0\n")
    return path


def _technician(place: Path) -> Signer:
    path = place / "technician.pem"
    if not path.exists():
        filekey.create(path, ES256, _PASSPHRASE)
    return filekey.load(path, _PASSPHRASE)
