"""What technicians get wrong, one row of the table each: code, exit status, remedy, board whole."""

import argparse
import json
import os
import pty
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.provision import (
    console,
    faults,
    ports,
    registered,
    steps,
)
from device.provision.cli import add_commands, told
from device.provision.faults import TABLE, AwayFault, RefusedFault, Row
from hsm import filekey
from hwsim.board import Board
from tests.device.provisioned import METER, NODE, QUICK, TECHNICIAN, Desk, check, fault_of
from validator.desk import Desk as ValidatorsDesk
from wire.errors import Refused, Unavailable
from wire.keys import ES256, SoftSigner

OTHER = SoftSigner.from_private(ES256, bytes(31) + b"\x09").public
KEY = TECHNICIAN.public
NORMAL = (230_000, 1_000, 229_000)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("device.provision.console._ANSWER_LIMIT_S", 2.5)
    monkeypatch.setattr("device.provision.running.START_LIMIT_S", 3.0)
    made = Desk(tmp_path / "desk")
    yield made
    made.close()


# The table.


def test_codes_are_unique_and_in_the_order_of_the_steps() -> None:
    codes = [row.code for row in TABLE]
    assert len(set(codes)) == len(codes)
    assert all(row.code[:2] == "P-" and row.code[2:].isdigit() for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=[row.code for row in TABLE])
def test_a_row_says_what_and_what_to_do_and_who_must_act(row: Row) -> None:
    names = {name for text in (row.what, row.remedy) for name in _names(text)}
    fault = row.fault(**dict.fromkeys(names, "x"))
    assert isinstance(fault, Unavailable if row.away else Refused)
    assert row.remedy
    assert fault.status == 10 + row.step


def _names(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]


def test_a_command_ends_with_one_line_and_the_steps_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(args: Any) -> int:
        raise faults.SILENT_ELEMENT.fault(address="pzem004t at address 1")

    assert told(fails)(None) == 16  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert said.err.startswith("P-07 Meter answered but element pzem004t at address 1 is silent.")
    assert said.err.count("\n") == 1
    assert said.out == ""


# 1: finding it.


def test_p17_an_option_that_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = tmp_path / "technician.pem"
    filekey.create(key, ES256, b"word")
    (tmp_path / "passphrase").write_text("word")
    words = ["provision", "--port", "x", "--meter", METER, "--node", NODE, "--zone", "z1"]
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    args = parser.parse_args(["meter", *words, "--technician-key", str(key)])
    assert args.run(args) == 10 + faults.BAD_ARGUMENT.step
    assert capsys.readouterr().err.startswith("P-17 --element")


def test_p01_no_port_with_a_board() -> None:
    with pytest.raises(AwayFault) as caught:
        ports.only_board(list)
    check(caught.value, faults.NO_PORT, 1)


def test_p02_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AwayFault) as caught, console.session(str(tmp_path / "nothing")):
        pass
    check(caught.value, faults.WRONG_PORT, 1)


def test_p03_a_port_that_another_program_has_open(desk: Desk) -> None:
    with console.session(desk.port):
        check(fault_of(desk), faults.BUSY_PORT, 1)
    assert desk.files() == {}


def test_p04_a_port_that_this_user_may_not_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    fault = console.why_not_open(desk.port)
    check(fault, faults.NO_PERMISSION, 1)


def test_p05_nothing_answers_and_the_person_is_asked_to_press_reset(desk: Desk) -> None:
    desk.board.kill()
    said: list[str] = []
    walk = steps.Steps(desk.order(patience=console.Patience(0.4, 0.4)), said.append)
    with pytest.raises(AwayFault) as caught:
        list(walk.walk())
    check(caught.value, faults.NO_ANSWER, 1)
    assert said == [console.PRESS_RESET]


def test_a_board_that_is_reset_by_hand_meanwhile_is_found(desk: Desk) -> None:
    desk.board.kill()

    def press(words: str) -> None:
        assert words == console.PRESS_RESET
        desk.board.start()

    with console.session(desk.port, press, console.Patience(0.4, 20.0)) as session:
        assert session.ask("print(6 * 7)") == 42


class Answering:
    """A device on a pseudo-terminal that answers whatever comes with the same words."""

    def __init__(self, words: bytes) -> None:
        self.near, self.far = pty.openpty()
        self.port = os.ttyname(self.far)
        self._words = words
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        try:
            while os.read(self.near, 4096):
                os.write(self.near, self._words)
        except OSError:
            return

    def close(self) -> None:
        os.close(self.far)
        self._thread.join(2)
        os.close(self.near)


@pytest.fixture
def answering() -> Iterator[Any]:
    made: list[Answering] = []

    def make(words: bytes) -> Answering:
        made.append(Answering(words))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_p06_a_device_that_is_no_micropython(answering: Any) -> None:
    device = answering(b"$GPGGA,123519,4807.038,N*47\r\n")
    with pytest.raises(AwayFault, match="GPGGA") as caught:
        console.session(device.port, patience=QUICK).__enter__()
    check(caught.value, faults.NOT_MICROPYTHON, 1)


def test_p08_a_board_that_starts_again_and_again(answering: Any) -> None:
    device = answering(b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x10 (RTCWDT_RTC_RESET)\r\n")
    with pytest.raises(AwayFault) as caught:
        console.session(device.port, patience=QUICK).__enter__()
    check(caught.value, faults.BOOT_LOOP, 1)


def test_p09_a_board_that_goes_silent_in_the_middle(desk: Desk) -> None:
    with console.session(desk.port) as session:
        session.ask("print(1)")
        desk.board.kill()
        with pytest.raises(AwayFault) as caught:
            session.ask("print(1)")
    assert caught.value.row is faults.WENT_SILENT


def test_p10_a_cable_that_is_pulled_in_the_middle(desk: Desk) -> None:
    with console.session(desk.port) as session:
        session.serial.close()
        with pytest.raises(AwayFault) as caught:
            session.ask("print(1)")
    assert caught.value.row is faults.UNPLUGGED


def test_p11_several_boards_and_none_is_named(desk: Desk, tmp_path: Path) -> None:
    other = Board(tmp_path / "other")
    other.start()
    with pytest.raises(RefusedFault) as caught:
        ports.only_board(lambda: [desk.port, str(other.console)])
    other.close()
    check(caught.value, faults.SEVERAL_BOARDS, 1)
    assert ports.only_board(lambda: [desk.port, str(other.console)]) == desk.port


def test_p12_another_meters_board_stays_as_it_is(desk: Desk) -> None:
    desk.walk()
    before = desk.files()
    fault = fault_of(desk, place=registered.Place("TH-BKK-0118", NODE))
    check(fault, faults.FOREIGN_METER, 1)
    after = desk.files()
    for path in ("/config.json", "/key.bin", "/commissioning.cbor", "/main.py"):
        assert after[path] == before[path]


def test_p13_a_meter_id_that_is_enrolled_with_another_key(desk: Desk) -> None:
    known = ({"id": METER, "node": "far away", "key": OTHER.text},)
    fault = fault_of(desk, known=known)
    check(fault, faults.METER_ENROLLED, 1)
    assert "far away" in str(fault)
    assert desk.files() == {}


def test_p14_a_node_that_another_meter_measures(desk: Desk) -> None:
    known = ({"id": "TH-1", "node": NODE, "key": OTHER.text},)
    check(fault_of(desk, known=known), faults.NODE_TAKEN, 1)
    assert desk.files() == {}


@pytest.mark.parametrize(
    "place",
    [
        registered.Place(METER, NODE, replaces="TH-1"),
        registered.Place(METER, NODE, shared_node=True),
    ],
)
def test_a_node_is_free_when_its_meter_is_exchanged_or_it_is_shared(
    place: registered.Place,
) -> None:
    registered.check([{"id": "TH-1", "node": NODE, "key": OTHER.text}], place, KEY)


def test_the_same_meter_with_the_registered_key_is_welcome() -> None:
    registered.check(
        [{"id": METER, "node": NODE, "key": KEY.text}], registered.Place(METER, NODE), KEY
    )


def test_p15_a_validator_that_is_away() -> None:
    with pytest.raises(AwayFault) as caught:
        registered.from_validator(ValidatorsDesk("http://127.0.0.1:1"), METER)
    check(caught.value, faults.REGISTRY_AWAY, 1)


def test_p16_a_file_that_is_no_genesis(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps({"format": 9}))
    for name in (path, tmp_path / "missing"):
        with pytest.raises(RefusedFault) as caught:
            registered.from_genesis(name)
        check(caught.value, faults.BROKEN_GENESIS, 1)


def test_every_row_has_a_test_of_its_own() -> None:
    beside = Path(__file__).parent.glob("test_provision_*.py")
    text = "".join(path.read_text() for path in beside)
    named = {name for name, value in vars(faults).items() if isinstance(value, Row)}
    steps_text = Path(__file__).with_name("test_provision_steps.py").read_text()
    for name in named:
        code = getattr(faults, name).code
        assert f"faults.{name}" in text or f'"{code}"' in steps_text, name
