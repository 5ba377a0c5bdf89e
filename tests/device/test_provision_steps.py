"""From a blank board to a meter, whatever is unplugged on the way: real MicroPython on a pty."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.provision import asked, bundle, install, papers, registered, running, steps
from device.provision.console import PRESS_RESET, Console, Patience, session
from device.provision.faults import AwayFault, Fault, RefusedFault
from hwsim.board import Board
from tests.device.provisioned import MAKE, METER, TECHNICIAN, Desk, outcomes
from wire.commissioning import CommissioningRecord
from wire.errors import Unavailable


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("device.provision.console._ANSWER_LIMIT_S", 1.8)
    monkeypatch.setattr(bundle, "make", MAKE)
    monkeypatch.setattr("device.provision.console.RETURN_LIMIT_S", 0.5)
    monkeypatch.setattr("device.provision.running.START_LIMIT_S", 5.0)
    made = Desk(tmp_path / "desk")
    yield made
    made.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("finished") / "desk")
    made.walk()
    yield made
    made.close()


def test_a_blank_board_becomes_a_meter_in_eight_steps(desk: Desk) -> None:
    walk, done = desk.walk()
    assert [step.number for step in done] == list(range(1, 9))
    assert [step.title for step in done] == list(steps.TITLES)
    assert outcomes(done) == ["ok"] * 7 + ["skipped"]
    record = walk.found.record
    assert record is not None
    assert walk.found.public is not None
    record.verify(walk.found.public, TECHNICIAN.public)
    assert record.content["meter"] == METER
    assert record.content["commissioning"]["seals"] == ["A 1"]
    assert desk.files()["/commissioning.cbor"] == record.encoded
    desk.board.kill()
    desk.again()
    desk.board.wait_serving()


def test_the_same_again_changes_nothing_and_keeps_key_and_record(desk: Desk) -> None:
    first, _ = desk.walk()
    again, done = desk.walk()
    assert again.found.public == first.found.public
    assert again.found.record == first.found.record
    assert [done[i].outcome for i in (2, 3, 6)] == ["already"] * 3


def test_other_facts_make_another_record_with_the_same_key(desk: Desk) -> None:
    first, _ = desk.walk()
    again, _ = desk.walk(visit={"technician": "t-1", "seals": ("A 2",)})
    assert again.found.public == first.found.public
    assert again.found.record is not None
    assert again.found.record != first.found.record
    stored = CommissioningRecord.open(desk.files()["/commissioning.cbor"])
    assert stored == again.found.record


def unplug(desk: Desk, patch: pytest.MonkeyPatch, where: Any, name: str, after: bool) -> None:
    """Cut the board's power before a deed, or pull the cable just after it."""
    deed = getattr(where, name)

    def cut(*arguments: Any, **options: Any) -> Any:
        if not after:
            desk.board.kill()
        done = deed(*arguments, **options)
        desk.board.close()
        return done

    patch.setattr(where, name, cut)


DEEDS = [
    (1, asked, "identity"),
    (2, bundle, "make"),
    (3, install, "_remove"),
    (3, install, "_write"),
    (3, install, "software_id"),
    (4, asked, "make_key"),
    (4, asked, "proof"),
    (5, asked, "set_clock"),
    (5, asked, "next_tick"),
    (6, asked, "measured"),
    (7, asked, "check_configuration"),
    (7, asked, "store"),
    (7, steps, "prove"),
    (7, steps, "restart"),
]


CUTS = [
    (*deed, after)
    for deed in DEEDS
    for after in (False, True)
    if not (after and deed[2] == "restart")  # By then the meter is complete.
]


def test_unplugged_before_and_after_each_deed_the_same_command_goes_on(desk: Desk) -> None:
    key = None
    for number, where, name, after in CUTS:
        deed = f"step {number}, {'after' if after else 'before'} {name}"
        with pytest.MonkeyPatch.context() as patch:
            if number != 5:  # Its second need not be waited for then.
                patch.setattr(asked, "next_tick", lambda _: int(time.time()))
            unplug(desk, patch, where, name, after)
            with pytest.raises((AwayFault, RefusedFault)) as caught:
                desk.walk()
        assert caught.value.row.code in ("P-09", "P-10", "P-18", "P-74"), deed
        assert number <= caught.value.status - 10 <= number + 2, f"{deed}: where it is asked next"
        desk.board.close()
        desk.again()
        if number in (4, 7):
            found = desk.files().get("/key.bin")
            assert key in (None, found), f"{deed}: a second key would orphan the first"
            key = found
    walk, done = desk.walk()
    assert len(done) == 8
    assert walk.found.record is not None
    files = desk.files()
    assert key == files["/key.bin"]
    assert files["/commissioning.cbor"] == walk.found.record.encoded
    assert not [path for path in files if path.endswith(".new")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_unplugged_while_its_lock_is_tried_the_same_command_completes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    order = {"config": {**desk.order().config, "locked": 1}}
    tried = running.still_answers

    def pulled(console: Console) -> bool:
        if after:
            tried(console)
        desk.board.close()
        return tried(console)

    monkeypatch.setattr(steps, "still_answers", pulled)
    with pytest.raises(AwayFault) as caught:
        desk.walk(**order)
    assert (caught.value.row.code, caught.value.status) == ("P-10", 18)
    monkeypatch.setattr(steps, "still_answers", tried)
    desk.again()
    before = desk.files()
    walk, done = desk.walk(**order)
    assert [done[i].outcome for i in (2, 3, 6, 7)] == ["already"] * 3 + ["ok"]
    assert walk.found.record is not None
    assert before["/commissioning.cbor"] == walk.found.record.encoded


def test_half_an_application_never_starts(desk: Desk) -> None:
    desk.walk()
    with pytest.MonkeyPatch.context() as patch:
        unplug(desk, patch, install, "_write", after=False)
        desk.ask("with open('/meter/log.mpy', 'wb') as f:\n    print(f.write(b'other'))")
        with pytest.raises(Fault):
            desk.walk()
    desk.again()
    assert "/main.py" not in desk.files()


def test_files_under_meter_that_nobody_here_put_there_go_and_are_named(desk: Desk) -> None:
    desk.walk()
    desk.ask("with open('/meter/log.py', 'w') as f:\n    print(f.write('print(1)'))")
    _, done = desk.walk()
    assert "removed meter/log.py" in done[2].words
    assert "/meter/log.py" not in desk.files()


@pytest.mark.parametrize("path", ["select.py", "lib/machine.mpy", "time/__init__.py"])
def test_code_that_could_stand_in_for_a_module_is_another_software_and_goes(
    desk: Desk, path: str
) -> None:
    made = bundle.make("simulated")
    told = "from meter import software\nprint(software.software_id())"
    with session(desk.port) as console:
        install.install(console, made, 1 << 24)
        if "/" in path:
            console.run(f"import os\nos.mkdir({'/' + path.split('/')[0]!r})")
        console.fs_writefile("/" + path, b"# Not ours.\n")
        assert console.ask(told) != made.software_id
        assert install.difference(console, made).foreign == (path,)
        assert install.install(console, made, 1 << 24).foreign == (path,)
        assert not install.difference(console, made)
        assert console.ask(told) == made.software_id


def test_sources_replace_compiled_files_and_are_another_software(desk: Desk) -> None:
    compiled, _ = desk.walk()
    plain, _ = desk.walk(sources=True)
    assert compiled.found.bundle is not None
    assert plain.found.bundle is not None
    assert plain.found.bundle.software_id != compiled.found.bundle.software_id
    assert not [path for path in desk.files() if path.endswith(".mpy")]


def test_a_check_of_a_meter_that_is_right_changes_nothing_and_finds_nothing(finished: Desk) -> None:
    before = dict(finished.files())
    _, done = finished.walk(checking=True, technician=None, config={})
    failed = [step.number for step in done if step.outcome == "failed"]
    assert failed in ([], [5]), "a simulated clock does not outlive a reset on every host"
    after = finished.files()
    assert {path: after[path] for path in before if not path.startswith(("/state", "/ev"))} == {
        path: before[path] for path in before if not path.startswith(("/state", "/ev"))
    }


def test_a_check_tells_all_that_differs(desk: Desk) -> None:
    desk.walk()
    desk.ask(
        "import json\nc = json.load(open('/config.json'))\nc['unit'] = 9\n"
        "with open('/config.json', 'w') as f:\n    json.dump(c, f)\n"
        "open('/meter/x.py', 'w').close()\nprint(0)"
    )
    _, done = desk.walk(checking=True, technician=None, config={})
    words = {step.number: step.words for step in done if step.outcome == "failed"}
    assert "P-33" in words[3]
    assert "meter/x.py" in words[3]
    assert "P-75" in words[7]
    assert "/meter/x.py" in desk.files()


def test_a_locked_meter_is_reached_again_by_its_reset_button_only(desk: Desk) -> None:
    config = {**desk.order().config, "locked": 1}
    first, done = desk.walk(config=config)
    assert done[7].outcome == "ok"
    with pytest.raises(AwayFault) as caught:
        desk.walk(config=config, patience=Patience(alone_s=0.6, by_hand_s=0))
    assert caught.value.row.code == "P-05"

    def press(words: str) -> None:
        assert words == PRESS_RESET
        desk.board.kill()
        desk.again()

    order = desk.order(config=config, patience=Patience(alone_s=0.6, by_hand_s=20.0))
    again = steps.Steps(order, press)
    assert [step.outcome for step in again.walk()][7] == "ok"
    assert again.found.public == first.found.public


def test_the_papers_are_of_the_meter_that_was_made(desk: Desk, tmp_path: Path) -> None:
    walk, done = desk.walk()
    report = papers.of_walk(walk.found, done, TECHNICIAN.public, simulated=True)
    written = papers.write(report, tmp_path / "out")
    assert [path.name for path in written] == [
        "commissioning.cbor",
        "report.html",
        "report.json",
        "label.svg",
        "label.png",
        "key.der",
    ]
    assert walk.found.record is not None
    assert (tmp_path / "out" / "commissioning.cbor").read_bytes() == walk.found.record.encoded


def test_the_private_key_never_crosses_the_line_either_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = bytearray()
    opened = Console.__init__

    def overheard(self: Console, *arguments: Any) -> None:
        opened(self, *arguments)
        read, write = self.serial.read, self.serial.write

        def reads(size: int = 1) -> bytes:
            data: bytes = read(size)
            heard.extend(data)
            return data

        def writes(data: bytes) -> Any:
            heard.extend(data)
            return write(data)

        monkeypatch.setattr(self.serial, "read", reads)
        monkeypatch.setattr(self.serial, "write", writes)

    monkeypatch.setattr(Console, "__init__", overheard)
    walk, _ = desk.walk()
    said = bytes(heard)
    monkeypatch.setattr(Console, "__init__", opened)
    key = desk.files()["/key.bin"]
    assert walk.found.public is not None
    assert repr(walk.found.public.raw).encode() in said
    number = str(int.from_bytes(key[:32], "big"))
    for form in (key[:32], repr(key[:32])[2:-1].encode(), key[:32].hex().encode(), number.encode()):
        assert form not in said


def test_the_application_is_the_same_bytes_each_time_it_is_compiled() -> None:
    for board in bundle.known_boards():
        assert bundle.make(board) == bundle.make(board)


def test_a_meter_that_is_asked_goes_back_to_work(desk: Desk) -> None:
    desk.walk()
    desk.board.kill()
    desk.again()
    desk.board.wait_serving()
    with pytest.raises(RefusedFault):
        desk.walk(place=registered.Place("another", "n"))
    desk.board.wait_serving()


def test_no_board_at_all_is_said(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    board.start()
    board.close()
    with pytest.raises(Unavailable):
        Console(str(board.console))
