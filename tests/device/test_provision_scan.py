"""A scan tells what is on each port, and leaves everything there as it found it."""

import json
import os
import pty
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serial.tools import list_ports

from device.provision import bundle, console, faults, scanning
from gridwitness.cli import main
from hwsim.board import Board
from tests.device.provisioned import MAKE, METER, Desk

GPS = b"$GPGGA,123519,4807.038,N*47\r\n"
LOOP = """
with open("main.py", "w") as f:
    f.write("import time\\nprint('begun')\\nwhile True:\\n    time.sleep_ms(10)\\n")
print(0)
"""


class Stranger:
    """A device that remembers what it heard and answers with some words."""

    def __init__(self, says: bytes) -> None:
        self.near, self.far = pty.openpty()
        self.port = os.ttyname(self.far)
        self.heard = b""
        self._says = says
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            while data := os.read(self.near, 4096):
                self.heard += data
                os.write(self.near, self._says)
        except OSError:
            return

    def close(self) -> None:
        os.close(self.far)
        self._thread.join(2)
        os.close(self.near)


@pytest.fixture
def stranger() -> Iterator[Callable[[bytes], Stranger]]:
    made: list[Stranger] = []

    def make(says: bytes) -> Stranger:
        made.append(Stranger(says))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "board")
    made.start()
    yield made
    made.close()


def seen(port: object) -> scanning.Seen:
    (found,) = scanning.scan([str(port)])
    return found


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        (b"", scanning.SILENT, "a locked meter"),
        (GPS, scanning.OTHER, "GPGGA"),
        (b"login: ", scanning.OTHER, "login"),
        (b"\x9c\x00\xff", scanning.OTHER, "no MicroPython"),
        (b"\x03", scanning.SILENT, "no MicroPython"),
    ],
    ids=["silent", "GPS", "console", "noise", "echo"],
)
def test_a_device_that_is_no_micropython_hears_the_interrupt_and_nothing_else(
    stranger: Callable[[bytes], Stranger], says: bytes, kind: str, words: str
) -> None:
    device = stranger(says)
    found = seen(device.port)
    assert (found.kind, words in found.words) == (kind, True)
    assert found.words.isprintable()
    assert set(device.heard) == {3}
    assert len(device.heard) <= 2


def test_a_prompt_of_something_else_is_told(stranger: Callable[[bytes], Stranger]) -> None:
    device = stranger(b"\r\n>>> ")
    assert "a prompt that is no MicroPython's" in seen(device.port).words
    assert device.heard == b"\x03\x01"


def test_a_board_at_its_prompt_keeps_its_variables_and_stays_there(board: Board) -> None:
    with console.session(str(board.console)) as session:
        session.ask("found = 42\nprint(found)")
        session.exit_raw_repl()
    found = seen(board.console)
    assert found.kind == scanning.MICROPYTHON
    assert found.words.endswith("no meter; at its prompt")
    again = scanning.Careful(str(board.console))
    again.interrupt()
    assert again.enter()
    assert console.Console.ask(again, "print(found)") == 42
    again.close()


def test_a_program_that_the_interrupt_stopped_is_started_again(board: Board) -> None:
    with console.session(str(board.console)) as session:
        session.ask(LOOP)
    board.kill()
    board.start()
    found = seen(board.console)
    assert found.words.endswith("its program was stopped and started again")
    listening = console.Console(str(board.console))
    assert b"begun" in listening.hear_until((b"begun",), 5.0)
    listening.close()


def test_a_meter_is_told_with_its_state_and_goes_on_and_a_locked_one_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle, "make", MAKE)
    desk = Desk(tmp_path / "desk")
    walk, _ = desk.walk()
    assert walk.found.bundle is not None
    desk.board.wait_serving()
    assert main(["meter", "probe", "--scan", "--json", "--port", desk.port]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["meter"]) == ("meter", METER)
    assert told["state"] == "commissioned, not locked, at work"
    assert told["software_id"] == walk.found.bundle.software_id.hex()
    desk.board.wait_serving()
    desk.walk(config={**desk.order().config, "locked": 1})
    assert seen(desk.port).kind == scanning.SILENT
    desk.close()


def test_ports_that_cannot_be_opened_say_why_and_bluetooth_is_left_alone(
    board: Board, tmp_path: Path
) -> None:
    with console.session(str(board.console)):
        busy = seen(board.console)
    assert (busy.kind, busy.words[:4]) == (scanning.NOT_OPENED, faults.BUSY_PORT.code)
    assert seen(tmp_path / "none").words.startswith(faults.WRONG_PORT.code)
    assert "Bluetooth" in seen("/dev/rfcomm0").words


def test_a_scan_lists_every_port_and_a_computer_without_any_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    assert main(["meter", "probe", "--scan"]) == 11
    assert capsys.readouterr().err.startswith(f"{faults.NO_PORT.code} ")
