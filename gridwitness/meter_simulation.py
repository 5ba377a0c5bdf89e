"""A board on this computer for `gridwitness meter --simulate`: MicroPython, a load, a technician.

Decides what the simulated place is like: one phase, a steady load for ten years, and an interval a
second while a command runs, for a day at most, so that a first record is seen. With a folder of its
own the board, its flash and the technician's key are there again for the next command, and time
goes on where it was.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsm import filekey
from hwsim.board import Board, BoardDied, inside
from hwsim.scaled_clock import INTERVAL_MS, PacedClock, Pacer
from wire.errors import Unavailable
from wire.keys import ES256, Signer

LOAD_W = 300
INTERVALS_A_SECOND = 1
FIRST_RECORD_S = 5.0
"""Real seconds within which a meter that serves here has a record, on a busy computer too."""

_DAYS = 3650
_DAY_S = 86_400
_PASSPHRASE = b"simulated"  # Of a key that no network registers.


@dataclass(frozen=True, slots=True)
class SimulatedMeter:
    """What stands in for a board, its element and the person in front of it."""

    port: str
    """Its console."""

    line: str
    """The other end of its RS-485 line."""

    element: dict[str, Any]
    """As the configuration names it."""

    paced_time_file: str
    """Where the meter finds the time, as its configuration names it."""

    first_record_s: float
    """How long a first record is worth waiting for."""

    wait_serving: Callable[[], None]
    """Returns when the firmware has said that it serves its line."""

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
        pace = _pace(place, stack)
        board = Board(place / "board", "simulated")
        stack.callback(board.close)
        try:
            board.start()
        except BoardDied as reason:
            raise Unavailable(str(reason)) from None
        yield SimulatedMeter(
            port=str(board.console),
            line=str(board.line),
            element={"kind": "simulated", "profile": inside(_profile(place))},
            paced_time_file=inside(pace),
            first_record_s=FIRST_RECORD_S,
            wait_serving=board.wait_serving,
            technician=_technician(place),
        )


def _pace(place: Path, stack: ExitStack) -> Path:
    """Time runs from now, or from where it stood, while the simulation is there."""
    path = place / "time"
    now_ms = time.time_ns() // 1_000_000
    if path.exists():
        before = PacedClock(path)
        now_ms = max(now_ms, before.now_ms())
        before.close()
    pacer = Pacer(path, now_ms, INTERVALS_A_SECOND * INTERVAL_MS // 1000)
    stack.callback(pacer.close)
    stack.callback(pacer.stop)
    pacer.let_pass(now_ms + _DAY_S * 1000)
    return path


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
