"""What is wrong with a board, an installation or a record, one row of the table each."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.provision import (
    asked,
    bundle,
    console,
    faults,
    install,
    measuring,
    papers,
    running,
    steps,
)
from device.provision.enrolment import Placement
from device.provision.faults import RefusedFault, Row
from device.provision.measuring import Installation
from device.provision.order import Registration
from tests.device.provisioned import MAKE, TECHNICIAN, Desk, check, fault_of
from wire.errors import Unavailable
from wire.keys import EDDSA, SoftSigner

KEY = TECHNICIAN.public
NORMAL = (230_000, 1_000, 229_000)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("device.provision.console._ANSWER_LIMIT_S", 1.8)
    monkeypatch.setattr(bundle, "make", MAKE)
    monkeypatch.setattr("device.provision.running.START_LIMIT_S", 3.0)
    made = Desk(tmp_path / "desk")
    yield made
    made.close()


# 2 and 3: MicroPython and the application.


def with_identity(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let the board say something else of itself."""
    real = asked.identity
    monkeypatch.setattr(
        asked, "identity", lambda session: dataclasses.replace(real(session), **changes)
    )


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"version": (1, 19, 1)}, faults.OLD_MICROPYTHON),
        ({"missing": ("hashlib",)}, faults.MISSING_MODULES),
        ({"mpy": 5}, faults.WRONG_MPY),
        ({"mpy": 0}, faults.WRONG_MPY),
        ({"platform": "pyboard"}, faults.UNKNOWN_BOARD),
    ],
    ids=["P-20", "P-21", "P-22 old", "P-22 none", "P-23"],
)
def test_a_micropython_that_does_not_fit_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], row: Row
) -> None:
    with_identity(monkeypatch, **changes)
    check(fault_of(desk), row, 2)
    assert desk.files() == {}


def test_p24_no_compiler_here(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "make", MAKE.__wrapped__)
    monkeypatch.setattr("shutil.which", lambda name: None)
    check(fault_of(desk), faults.NO_COMPILER, 2)
    assert desk.files() == {}


def test_p30_a_flash_that_is_full(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with_identity(monkeypatch, free_bytes=20_000)
    fault = fault_of(desk)
    check(fault, faults.FLASH_FULL, 3)
    assert "19 kB are free" in str(fault)
    assert desk.files() == {}


def test_p30_a_flash_that_fills_up_while_it_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ask(
        "block = bytes(4096)\ntry:\n    for i in range(400):\n"
        "        with open('/other%d' % i, 'wb') as f:\n            n = f.write(block)\n"
        "except OSError:\n    pass\nprint(0)"
    )
    real = asked.identity
    told = iter([1 << 20])

    def believed(session: console.Console) -> asked.Identity:
        found = real(session)
        return dataclasses.replace(found, free_bytes=next(told, found.free_bytes))

    monkeypatch.setattr(asked, "identity", believed)
    check(fault_of(desk), faults.FLASH_FULL, 3)
    assert desk.ask("import os\nprint('main.py' in os.listdir())") is False


def test_p31_a_flash_that_does_not_keep_what_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_write", lambda *_: None)
    check(fault_of(desk), faults.FILE_DIFFERS, 3)


def test_p32_a_board_that_calls_its_software_something_else(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle.Bundle, "software_id", property(lambda _: b"else"))
    check(fault_of(desk), faults.SOFTWARE_DIFFERS, 3)


def test_a_check_of_a_blank_board_says_what_it_lacks_and_leaves_it_blank(desk: Desk) -> None:
    _, done = desk.walk(checking=True, technician=None, config={})
    codes = {step.number: step.words[:4] for step in done if step.outcome == "failed"}
    assert codes[3] == faults.NOT_INSTALLED.code
    assert codes[4] == faults.NO_KEY.code
    assert codes[7] == faults.NOT_COMMISSIONED.code
    assert codes.keys() == {3, 4, 7}
    assert desk.files() == {}


# 4 and 5: key and clock.


def test_p40_a_board_that_signs_wrong(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "proof", lambda *_: (KEY.raw, bytes(64)))
    check(fault_of(desk), faults.BAD_KEY, 4)
    assert "/config.json" not in desk.files()


def test_p41_a_meter_that_lost_its_key_gets_no_other(desk: Desk) -> None:
    desk.walk()
    desk.ask(
        "import os\nfrom meter.log import Log\nLog('/log').append(0, b'record')\n"
        "os.remove('/key.bin')\nprint(0)"
    )
    check(fault_of(desk), faults.KEY_LOST, 4)
    assert "/key.bin" not in desk.files()


def test_p42_a_secure_element_that_is_not_there(desk: Desk) -> None:
    config = {**desk.order().config, "key": "atecc608"}
    check(fault_of(desk, config=config), faults.SECURE_ELEMENT_SILENT, 4)


def test_p50_a_computer_whose_clock_is_wrong(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LAST_YEAR", 2024)
    check(fault_of(desk), faults.BAD_COMPUTER_CLOCK, 5)


@pytest.mark.parametrize("tick_s", [None, 1_700_000_000])
def test_p51_a_clock_that_is_not_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tick_s: int | None
) -> None:
    monkeypatch.setattr(asked, "next_tick", lambda _: tick_s)
    check(fault_of(desk), faults.CLOCK_NOT_KEPT, 5)


# 6: what it measures.


def test_p07_an_element_that_is_silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "measured", lambda *_: ("measured", None, None))
    check(fault_of(desk), faults.SILENT_ELEMENT, 6)
    assert "/config.json" not in desk.files()


@pytest.mark.parametrize(
    ("frequency_mhz", "phase", "place", "row"),
    [
        (50_000, (230_000, 1_000, 400_000), Installation(), faults.POWER_DISAGREES),
        (51_100, NORMAL, Installation(), faults.WRONG_FREQUENCY),
        (50_000, NORMAL, Installation(frequency_hz=60), faults.WRONG_FREQUENCY),
        (50_000, (230_000, 1_000, -229_000), Installation(), faults.REVERSED_CT),
        (50_000, (120_000, 1_000, 119_000), Installation(), faults.WRONG_VOLTAGE),
    ],
    ids=["P-60", "P-61", "P-61 60 Hz", "P-62", "P-63"],
)
def test_what_cannot_be_measured_is_a_mistake_of_the_installation(
    frequency_mhz: int, phase: measuring.Phase, place: Installation, row: Row
) -> None:
    with pytest.raises(RefusedFault) as caught:
        measuring.check(frequency_mhz, (phase,), place)
    check(caught.value, row, 6)


@pytest.mark.parametrize(
    ("frequency_mhz", "phase", "place"),
    [
        (51_000, NORMAL, Installation()),
        (49_000, NORMAL, Installation()),
        (60_000, NORMAL, Installation(frequency_hz=60)),
        (50_000, (230_000, 1_000, -229_000), Installation(generation_w=3_000)),
        (50_000, (230_000, 80, -10_000), Installation()),
        (50_000, (230_000, 1_000, 115_000), Installation()),
        (50_000, (120_000, 1_000, 119_000), Installation(voltage_v=120)),
    ],
)
def test_what_can_be_measured_passes(
    frequency_mhz: int, phase: measuring.Phase, place: Installation
) -> None:
    assert measuring.check(frequency_mhz, (phase,), place) == []


def test_no_current_is_a_warning() -> None:
    assert "phase 2" in measuring.check(50_000, (NORMAL, (230_000, 0, 0)), Installation())[0]


@pytest.mark.parametrize(
    ("ct", "service_a", "fits"),
    [
        ((100, 5), 100, True),
        ((100, 5), 0, True),
        ((5, 100), 63, False),
        ((100, 7), 63, False),
        ((50, 5), 63, False),
        ((1000, 5), 63, False),
        ((0, 0), 63, True),
    ],
)
def test_p64_a_transformers_ratio_fits_its_service(
    ct: tuple[int, int], service_a: int, fits: bool
) -> None:
    place = Installation(service_a=service_a, ct=ct)
    if fits:
        measuring.check_ratio(place)
        return
    with pytest.raises(RefusedFault) as caught:
        measuring.check_ratio(place)
    assert caught.value.row is faults.BAD_RATIO


def test_p65_a_display_that_shows_something_else(desk: Desk) -> None:
    check(fault_of(desk, confirm=lambda _: False), faults.DISPLAY_DIFFERS, 6)
    assert "/config.json" not in desk.files()


# 7 and 8: record, lock, papers.


def test_p70_a_configuration_that_the_board_refuses(desk: Desk) -> None:
    config = {**desk.order().config, "baudrate": 1}
    fault = fault_of(desk, config=config)
    check(fault, faults.CONFIGURATION_REFUSED, 7)
    assert "baudrate" in str(fault)
    assert "/config.json" not in desk.files()


def test_p71_a_board_that_computes_another_configuration(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "configuration_id", lambda _: bytes(8))
    check(fault_of(desk), faults.CONFIGURATION_DIFFERS, 7)


class Away:
    """A token that was pulled out."""

    public = SoftSigner.from_private(EDDSA, bytes(32)).public

    def sign(self, message: bytes) -> bytes:
        raise Unavailable("the token is away")


@pytest.mark.parametrize("technician", [None, Away()], ids=["none", "away"])
def test_p72_a_technicians_key_that_cannot_sign(desk: Desk, technician: Any) -> None:
    check(fault_of(desk, technician=technician), faults.NO_TECHNICIAN_KEY, 7)
    assert "/config.json" not in desk.files()


def test_p73_a_record_that_the_meter_signed_wrong(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asked.proof
    answers = iter([True, False])

    def proof(session: Any, kind: str, message: bytes) -> tuple[bytes, bytes]:
        public, signature = real(session, kind, message)
        return public, signature if next(answers) else bytes(64)

    monkeypatch.setattr(asked, "proof", proof)
    check(fault_of(desk), faults.BAD_METER_SIGNATURE, 7)
    assert "/config.json" not in desk.files()


def test_p74_a_meter_that_does_not_start(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "STARTED", b"never said")
    monkeypatch.setattr(running, "START_LIMIT_S", 0.5)
    check(fault_of(desk), faults.DOES_NOT_RUN, 7)


def test_p76_an_enrolment_that_no_registry_would_take(desk: Desk) -> None:
    wanted = Registration(bytes(32), 900, Placement(role="customer", reader="gw-1", rating_w=1))
    fault = fault_of(desk, registration=wanted)
    check(fault, faults.NOT_ENROLLABLE, 7)
    assert "site" in str(fault)


def test_p80_a_meter_that_is_to_be_locked_and_is_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "still_answers", lambda *_: True)
    config = {**desk.order().config, "locked": 1}
    check(fault_of(desk, config=config), faults.NOT_LOCKED, 8)


def test_p81_papers_that_cannot_be_written(desk: Desk, tmp_path: Path) -> None:
    walk, done = desk.walk()
    report = papers.of_walk(walk.found, done, KEY, simulated=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedFault) as caught:
        papers.write(report, tmp_path / "file" / "out")
    check(caught.value, faults.NOT_WRITTEN, 8)


def test_p34_what_a_board_says_when_it_fails_is_told(desk: Desk) -> None:
    with console.session(desk.port) as session, pytest.raises(RefusedFault) as caught:
        session.ask("1 // 0")
    assert caught.value.row is faults.CRASHED
    assert "ZeroDivisionError" in str(caught.value)
