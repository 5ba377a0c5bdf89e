"""The signed event log and the evidence that sticks: what happened to a meter cannot be unsaid."""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.provision.board import FIRMWARE, commission
from device.provision.console import Patience, session
from hwsim.board import Board, inside
from meter import boot, events, notes, record, registers_map, signing
from meter.app import Meter
from meter.modbus import with_crc
from meter.storage import Storage
from meter.supervisor import Supervisor
from tests.device.meter_parts import CONFIG, Element, World
from tests.device.steady_clock import Clock
from wire.errors import Unavailable
from wire.event import Event, SignedEvent, verify_chain
from wire.keys import ES256, PublicKey, SoftSigner
from wire.reading import SignedReading

INTERVAL_MS = 900_000
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
SIGNER = signing.SoftSigner(SECRET)
PUBLIC = PublicKey(ES256, SIGNER.public)
CLOSED = (False, False, False)


class Broken:
    """A signer that does not answer, until it is mended."""

    in_flash = False
    public = SIGNER.public
    mended = False

    def sign(self, message: bytes) -> Any:
        yield
        if not self.mended:
            raise signing.SignerFailed("no answer from the chip at all")
        signature = yield from SIGNER.sign(message)
        return signature


class Life:
    """A meter on a folder, and the world around it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.world = folder, World()  # type: ignore[no-untyped-call]
        self.inputs = CLOSED
        self.changes = changes
        self.start()

    def start(self, signer: Any = SIGNER, software: bytes = b"code", **changes: Any) -> None:
        self.storage = Storage(str(self.folder))
        config = {**CONFIG, **self.changes, **changes}
        element = Element(self.world)  # type: ignore[no-untyped-call]
        clock = Clock(self.world)  # type: ignore[no-untyped-call]
        self.meter = Meter(config, signer, software, lambda *_: clock, element, self.storage)
        self.meter.inputs = lambda: self.inputs
        self.settle()

    def settle(self) -> None:
        for _ in range(4_000):
            self.meter.step()

    def go(self, milliseconds: int = INTERVAL_MS) -> None:
        self.world.true_ms += milliseconds
        self.settle()

    def events(self) -> list[SignedEvent]:
        log = self.storage.events
        found = [SignedEvent.open(log.read(number)) for number in range(log.tail, log.head)]
        assert verify_chain(found, PUBLIC) == len(found)
        return found

    def kinds(self) -> list[int]:
        return [each.event.kind for each in self.events()]

    def newest(self) -> Any:
        signed = SignedReading.open(self.storage.records.read(self.storage.records.head - 1))
        signed.verify(PUBLIC)
        return signed.reading


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


def test_a_first_boot_is_told_with_software_configuration_and_key(life: Life) -> None:
    assert life.kinds() == [
        events.POWER_UP,
        events.CONFIGURATION,
        events.SOFTWARE,
        events.KEY,
    ]
    life.go()
    life.go()
    assert life.newest().events == 4
    assert life.newest().status == record.KEY_IN_FLASH


def test_a_chip_that_restarted_under_the_meter_is_a_signed_event_with_the_next_count(
    life: Life,
) -> None:
    before = len(life.kinds())
    for restarts in (0, 1, 1, 3):
        life.meter._element.restarts = restarts
        life.go()
    told = [each.event for each in life.events()[before:]]
    assert [each.kind for each in told] == [events.ELEMENT_FAILED] * 2
    assert [each.details for each in told] == [("restarts", 1), ("restarts", 3)]
    assert life.newest().events == before + 2
    life.start()
    life.go()
    assert life.kinds()[before + 2 :] == [events.POWER_UP]


@pytest.mark.parametrize(("place", "bit"), [(0, 8), (1, 9), (2, 10)])
def test_an_opened_cover_stays_in_the_records_until_it_is_acknowledged(
    life: Life, place: int, bit: int
) -> None:
    life.inputs = tuple(i == place for i in range(3))  # type: ignore[assignment]
    life.go()
    life.inputs = CLOSED
    life.go()
    life.start()
    life.go()
    assert life.newest().status >> bit & 1
    assert life.kinds().count(events.COVER_OPEN + place) == 1
    life.meter.noted([[events.ACKNOWLEDGED, ["tech-1"]]])
    life.go()
    assert not life.newest().status >> bit & 1
    assert life.events()[-1].event.details == ("tech-1", 1 << bit)


@pytest.mark.parametrize(
    ("change", "kind", "bit"),
    [
        ({"configuration_id": b"another!"}, events.CONFIGURATION, record.CONFIGURATION_CHANGED),
        ({"software": b"evil"}, events.SOFTWARE, record.SOFTWARE_CHANGED),
    ],
)
def test_a_changed_meter_cannot_look_unchanged(
    life: Life, change: dict[str, Any], kind: int, bit: int
) -> None:
    life.start(**change)
    life.go()
    life.go()
    assert life.newest().status & bit
    assert life.kinds().count(kind) == 2
    life.start(**change)
    life.go()
    assert life.newest().status & bit, "a reboot acknowledges nothing"
    assert life.kinds().count(kind) == 2


def test_a_configuration_that_nobody_commissioned_is_marked(tmp_path: Path) -> None:
    life = Life(tmp_path, commissioned=False)
    life.go()
    life.go()
    assert life.newest().status & record.CONFIGURATION_CHANGED


def test_a_snapshot_shows_the_registers_now(life: Life) -> None:
    life.go(1_000)
    assert life.meter.snapshot() is True
    life.settle()
    *_, newest = life.events()
    assert newest.event.kind == events.SNAPSHOT
    assert newest.event.details == (0, 0)
    life.go()
    life.meter.snapshot()
    life.settle()
    assert life.events()[-1].event.details == (2_700, 900)


def test_no_more_events_are_taken_than_can_be_signed_soon(tmp_path: Path) -> None:
    life = Life(tmp_path)
    broken = Broken()
    life.start(broken)
    taken = [life.meter.snapshot() for _ in range(20)]
    assert taken[0] is True
    assert taken[-1] is None
    before = json.loads((tmp_path / "state.json").read_text())
    assert len(before["unsigned_events"]) == events.MOST_UNSIGNED
    assert life.meter.give_time(life.world.true_ms, 1) is None
    broken.mended = True
    life.go(60_000)
    assert life.storage.events.head == before["events"]


def test_a_signer_that_fails_costs_records_and_is_told_afterwards(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.go()
    broken = Broken()
    life.start(broken)
    for _ in range(3):
        life.go()
    assert life.storage.records.head <= 1
    broken.mended = True
    for _ in range(3):
        life.go()
    history = [
        SignedReading.open(life.storage.records.read(i)) for i in range(life.storage.records.head)
    ]
    assert [each.reading.sequence for each in history] == list(range(len(history)))
    assert len(history) >= 3
    for older, newer in itertools.pairwise(history):
        assert newer.reading.previous == older.sig_hash
    assert events.SIGNER_FAILED in life.kinds()


def test_an_event_that_was_logged_when_power_failed_is_not_made_twice(life: Life) -> None:
    head = life.storage.events.head
    saved = json.loads((life.folder / "state.json").read_text())
    assert saved["unsigned_events"], "the state still names what was signed since it was saved"
    life.start()
    assert life.storage.events.head == head + 1, "only the power-up"
    assert life.kinds()[-1] == events.POWER_UP


def test_events_of_another_state_stop_the_meter(life: Life) -> None:
    life.start()
    life.start()
    (life.folder / "events" / "0").unlink()
    with pytest.raises(boot.StateLost):
        life.start()


def test_the_longest_event_fits_its_slot(tmp_path: Path) -> None:
    life = Life(tmp_path, meter="M" * 20)
    text = "x" * notes.MOST_TEXT
    saved = json.loads((tmp_path / "state.json").read_text())
    assert saved["events"] == 4
    life.meter._state.update({"boots": 2**32 - 1, "sticky": 2**20 - 1})
    life.meter._operating_before_s = 2**33
    life.meter.noted([[events.ACKNOWLEDGED, [text]]])
    life.settle()
    assert life.events()[-1].event.details[0] == text


def test_events_come_through_the_window_by_their_number(life: Life) -> None:
    window = life.meter.map
    base = registers_map.WINDOW
    head, tail = (int.from_bytes(window.read(base + at, 2), "big") for at in (12, 14))
    assert (head, tail) == (4, 0)
    for number in range(4):
        assert window.write(base + registers_map.WANTED, (0x8000, number)) is True
        size = int.from_bytes(window.read(base + 10, 1), "big")
        content = window.read(base + registers_map.RECORD, 128)[:size]
        assert SignedEvent.open(content).event.number == number
    assert window.write(base + registers_map.WANTED, (0x8000, 4)) is True
    assert window.read(base + registers_map.IN_WINDOW, 2) == b"\xff" * 4


def test_notes_are_few_and_become_events_once(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "PATH", str(tmp_path / "notes.json"))
    for _ in range(9):
        notes.session()
    notes.crash(ValueError("out of paper, and of much else besides"))
    notes.hand_over(life.meter)
    notes.hand_over(life.meter)
    life.settle()
    assert life.kinds()[4:] == [events.SERVICE, events.CRASH]
    assert life.events()[-1].event.details == ("ValueError: out of paper",)


def test_the_watchdog_starves_when_one_task_is_stuck() -> None:
    now = 0
    fed: list[int] = []

    class Watchdog:
        def feed(self) -> None:
            fed.append(now)

    supervisor = Supervisor(
        lambda: now, lambda a, b: a - b, Watchdog(), {"line": 5_000, "meter": 60_000}
    )
    for now in range(0, 200_000, 500):
        supervisor.progress("line")
        if now < 20_000:
            supervisor.progress("meter")
        supervisor.check()
    assert supervisor.stuck() == "meter"
    assert fed[0] == 1_000
    assert 78_000 <= fed[-1] <= 80_000


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = Board(tmp_path / "board", "meter-1")
    yield board
    board.close()


def commissioned(board: Board, tmp_path: Path, **changes: Any) -> Any:
    profile = tmp_path / "profile"
    profile.write_text("1751328000,0,0\n")
    config = {
        "meter": "GW-1",
        "node": "n",
        "zone": "z1",
        "unit": 1,
        "element": {"kind": "simulated", "profile": inside(profile)},
        "service_window_ms": 200,
        **changes,
    }
    board.start()
    return commission(str(board.console), FIRMWARE, config, SoftSigner.generate(ES256))


def event_kinds(board: Board) -> list[int]:
    with session(str(board.console)) as console:
        signed, unsigned = console.ask(
            "import json\nfrom meter.storage import Storage\nlog = Storage('').events\n"
            "with open('/state.json') as f:\n    kept = json.load(f)['unsigned_events']\n"
            "print(([log.read(i) for i in range(log.head)], kept))"
        )
    found = [SignedEvent.open(each).event for each in signed]
    waiting = [Event.from_payload(bytes.fromhex(each)) for each in unsigned]
    found += [each for each in waiting if each.number >= len(signed)]
    assert [each.number for each in found] == list(range(len(found)))
    return [each.kind for each in found]


def test_on_a_board_each_session_at_the_console_is_an_event(board: Board, tmp_path: Path) -> None:
    commissioned(board, tmp_path)
    board.wait_serving()
    event_kinds(board)
    board.kill()
    board.start()
    board.wait_serving()
    assert events.SERVICE in event_kinds(board)


def test_a_watchdog_resets_a_locked_board_that_hangs(board: Board, tmp_path: Path) -> None:
    commissioned(board, tmp_path, locked=1, watchdog_ms=2000)
    board.wait_serving()
    children = Path(f"/proc/{board.pid}/task/{board.pid}/children").read_text().split()
    (interpreter,) = map(int, children)
    os.kill(interpreter, signal.SIGSTOP)
    board.wait_serving()


def test_after_its_service_window_nobody_stops_a_locked_board(board: Board, tmp_path: Path) -> None:
    commissioned(board, tmp_path, locked=1)
    board.wait_serving()
    with (
        pytest.raises(Unavailable, match=r"P-0[56]"),
        session(str(board.console), print, Patience(alone_s=1.0, by_hand_s=0)),
    ):
        pass


def test_a_crash_is_noted_and_ends_in_a_reset(board: Board, tmp_path: Path) -> None:
    commissioned(board, tmp_path)
    board.wait_serving()
    profile = tmp_path / "profile"
    profile.write_text("not a profile\n")
    for _ in range(2):
        line = os.open(board.line, os.O_RDWR | os.O_NOCTTY)
        os.write(line, with_crc(b"\x01\x03\x9c\x40\x00\x02"))
        board.wait_serving()
        os.close(line)
    assert events.CRASH in event_kinds(board)


def test_the_service_jumper_leaves_the_console_to_the_technician(
    board: Board, tmp_path: Path
) -> None:
    commissioned(board, tmp_path, locked=1)
    board.wait_serving()
    board.kill()
    (board.folder / "pins").write_text("jumper")
    board.start()
    assert events.POWER_UP in event_kinds(board)
