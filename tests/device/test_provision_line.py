"""A meter that is read over its RS-485 line goes on, and is believed only as far as it signs."""

import os
import pty
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from device.provision import bundle, faults
from device.provision.faults import Fault
from device.provision.over_line import LineAddress, lines
from gateway.lines.frames import check_sum
from gateway.polling import window
from gridwitness import meter_line
from gridwitness.cli import main
from tests.device.provisioned import MAKE, METER, TECHNICIAN, Desk
from wire.keys import PublicKey

UNIT = 5


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "make", MAKE)
        made = Desk(tmp_path_factory.mktemp("line") / "desk")
        walk, _ = made.walk()
        assert walk.found.public is not None
        made.public = walk.found.public  # type: ignore[attr-defined]
        yield made
        made.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_line, "TIMEOUT_MS", 300)


def address(port: object, unit: int = UNIT, key: PublicKey | None = None) -> LineAddress:
    return LineAddress(str(port), unit, 9600, key)


def fault_of(asked: LineAddress) -> Fault:
    with pytest.raises(Fault) as caught:
        meter_line.read_line(asked)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_meter_shows_who_it_is_and_goes_on(desk: Desk) -> None:
    line = address(desk.board.line)
    first, second = meter_line.read_line(line), meter_line.read_line(line)
    assert first.meter == METER
    assert first.key == desk.public  # type: ignore[attr-defined]
    assert first.boots == second.boots, "nobody stopped it"
    assert first.record is None
    assert lines(first, line)[-1] == "no record yet"
    assert first.time_s > 0


def test_p94_a_unit_that_nobody_has_is_silent(desk: Desk) -> None:
    fault = fault_of(address(desk.board.line, unit=9))
    assert fault.row is faults.LINE_SILENT
    assert fault.status == 10
    assert "unit 9" in str(fault)


def test_p96_a_meter_with_another_key_than_it_must_have(desk: Desk) -> None:
    fault = fault_of(address(desk.board.line, key=TECHNICIAN.public))
    assert fault.row is faults.LINE_NOT_BELIEVED
    assert TECHNICIAN.public.kid.hex() in str(fault)


def test_a_line_that_a_gateway_has_open_is_busy(desk: Desk) -> None:
    with serial.Serial(os.path.realpath(desk.board.line), exclusive=True):
        assert fault_of(address(desk.board.line)).row is faults.BUSY_PORT


def test_a_cable_that_is_pulled_meanwhile_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pulled(*_: object) -> None:
        desk.board.close()

    monkeypatch.setattr(window, "look", pulled)
    assert fault_of(address(desk.board.line)).row is faults.UNPLUGGED
    desk.again()
    assert fault_of(address(desk.folder / "none")).row is faults.WRONG_PORT


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """A port on which every request is answered with the same frame."""
    near, far = pty.openpty()

    def start(body: bytes) -> str:
        def answer() -> None:
            try:
                while os.read(near, 4096):
                    os.write(near, body + check_sum(body))
            except OSError:
                return

        threading.Thread(target=answer, daemon=True).start()
        return os.ttyname(far)

    yield start
    os.close(far)
    os.close(near)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (bytes([UNIT, 0x83, 2]), "exception 2"),
        (bytes([UNIT, 3, 144]) + bytes(144), "key"),
    ],
    ids=["has no such registers", "has zeros there"],
)
def test_p95_another_make_of_meter(
    answering: Callable[[bytes], str], body: bytes, why: str
) -> None:
    fault = fault_of(address(answering(body)))
    assert fault.row is faults.LINE_OTHER
    assert why in str(fault)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(["--unit", "0"], "--unit"), (["--baudrate", "9"], "--baudrate"), ([], "--line")],
    ids=["unit", "baudrate", "port"],
)
def test_what_is_missing_on_a_line_is_named(
    arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["meter", "read", "--line", *arguments]) == 11
    assert capsys.readouterr().err.startswith(f"P-17 {what} ")


def test_a_board_with_the_application_of_another_tool_is_told_so(desk: Desk) -> None:
    with pytest.raises(Fault) as caught:
        desk.ask("from meter import of_tomorrow\nprint(0)")
    assert caught.value.row is faults.NOT_INSTALLED
    assert "of_tomorrow" in str(caught.value)


def test_the_folder_of_the_key_file_may_be_anywhere(desk: Desk, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(desk.public.text + "\n")  # type: ignore[attr-defined]
    desk.board.kill()
    desk.again()
    desk.board.wait_serving()
    words = ["meter", "read", "--line", str(desk.board.line), "--unit", str(UNIT)]
    assert main([*words, "--key", str(key)]) == 0
