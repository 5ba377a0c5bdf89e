"""A board with USB of its own takes its port with it in a reset: it is waited for, and found."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serial.tools import list_ports

from device.provision import bundle, console, faults, looking, running, usb
from device.provision.cli import told
from gridwitness.cli import main
from tests.device.provisioned import MAKE, Desk, check, fault_of
from tests.device.vanishing_port import VanishingPort

WINDOW_MS = 1500
"""In which the port is back: what a board says before is heard by nobody."""

Plugged = Callable[..., VanishingPort]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "make", MAKE)
        made = Desk(tmp_path_factory.mktemp("usb") / "desk")
        made.walk(config=config(made))
        yield made
        made.close()


@pytest.fixture
def plugged(desk: Desk, tmp_path: Path) -> Iterator[Plugged]:
    made: list[VanishingPort] = []

    def plug(*names: str, gone_s: float = 0.2) -> VanishingPort:
        made.append(VanishingPort(desk.board.console, tmp_path, names, gone_s))
        return made[-1]

    yield plug
    for each in made:
        each.close()


def config(desk: Desk) -> dict[str, object]:
    return {**desk.order().config, "service_window_ms": WINDOW_MS}


def test_p18_a_port_that_does_not_come_back_and_then_the_same_command_completes(
    desk: Desk, plugged: Plugged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "RETURN_LIMIT_S", 0.4)
    port = plugged("ttyACM0", "")
    fault = fault_of(desk, port=str(port.link), config=config(desk))
    check(fault, faults.NOT_BACK, 7)
    monkeypatch.undo()
    port.close()
    again = plugged("ttyACM1")
    _, done = desk.walk(port=str(again.link), config=config(desk))
    assert [step.outcome for step in done][6] == "already", "key and record are kept"
    assert again.times_gone == 1


def test_a_port_with_a_serial_number_is_found_under_its_new_name(
    desk: Desk, plugged: Plugged, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = plugged("ttyACM0", "ttyACM1")
    monkeypatch.setattr(list_ports, "comports", port.comports)
    _, done = desk.walk(port=str(port.link), config=config(desk))
    assert done[7].outcome == "skipped", "the step behind the reset is done on the new port"
    assert port.link is not None
    assert port.link.name == "ttyACM1"


def test_two_commands_in_a_row_find_the_port(
    desk: Desk, plugged: Plugged, capsys: pytest.CaptureFixture[str]
) -> None:
    port = plugged("ttyACM0", gone_s=0.4)
    for _ in range(2):
        assert main(["meter", "key", "--port", str(port.link), "--form", "kid"]) == 0
    first, second = capsys.readouterr().out.split()
    assert first == second
    assert port.times_gone == 2


def test_a_port_that_another_program_grabs_when_it_is_back_is_told(
    desk: Desk, plugged: Plugged, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = plugged("ttyACM0")
    with console.session(str(port.link)) as session:
        looking.key(session)
        monkeypatch.setattr(console, "RETURN_LIMIT_S", 0.6)
        monkeypatch.setattr(console, "why_not_open", lambda name: faults.BUSY_PORT.fault(port=name))
        monkeypatch.setattr(session, "_open", refuse)
        with pytest.raises(faults.AwayFault) as caught:
            running.restart(session, 0)
    assert caught.value.row is faults.BUSY_PORT


def refuse(name: str) -> None:
    raise OSError(f"{name} is taken")


def test_a_port_is_looked_for_by_number_then_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, gone = tmp_path / "ttyUSB0", tmp_path / "ttyUSB1"
    there.touch()
    assert usb.now(str(there), "") == str(there)
    assert usb.now(str(gone), "") == ""
    monkeypatch.setattr(list_ports, "comports", list)
    assert usb.serial_number(str(there)) == ""
    assert usb.now(str(there), "E6614") == ""
    by_id = tmp_path / "usb-Pico_E6614"
    by_id.symlink_to("ttyACM3")
    assert usb.may_vanish(str(by_id))
    assert not usb.may_vanish(os.fspath(there))


def test_a_fault_outside_the_steps_has_the_status_of_none() -> None:
    def fails(args: object) -> int:
        raise faults.NOT_BACK.fault(port="ttyACM0", seconds=15)

    assert told(fails)(None) == 10  # type: ignore[arg-type]
