"""What stands in a meter's status is acknowledged by a technician in front of it, and by nobody."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.provision import at_prompt, bundle, console, faults
from device.provision.at_prompt import AtPrompt
from gridwitness.cli import main
from tests.device.provisioned import MAKE, METER, Desk
from wire.event import ACKNOWLEDGED, SignedEvent, verify_chain
from wire.keys import PublicKey
from wire.record_rules import STICKY

COVER = 1 << 8


class Visited:
    """A meter that hangs, and who comes to it."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder)
        public = self.desk.walk()[0].found.public
        assert public is not None
        self.public: PublicKey = public

    def cover(self, *words: str) -> None:
        """What is open from now on."""
        (self.desk.board.folder / "pins").write_text(" ".join(words))

    def opened(self) -> None:
        """Somebody opened the cover and closed it again."""
        self.cover("cover")
        with console.session(self.desk.port) as session:
            at_prompt.AtPrompt(session, METER, self.public)
        self.cover()

    def events(self) -> list[SignedEvent]:
        with console.session(self.desk.port) as session:
            made = AtPrompt(session, METER, self.public)
            found = made._events(made._tail, made._head)
        assert verify_chain(found, self.public) == len(found)
        return found

    def acknowledged(self) -> list[tuple[Any, ...]]:
        events = [each.event for each in self.events()]
        return [each.details for each in events if each.kind == ACKNOWLEDGED]

    def give(self, *arguments: str) -> int:
        """The technician's command."""
        return main(["meter", "acknowledge", self.desk.port, "--technician", "t-2", *arguments])


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("device.provision.console._ANSWER_LIMIT_S", 2.5)
        patch.setattr(bundle, "make", MAKE)
        made = Visited(tmp_path_factory.mktemp("visited") / "desk")
        yield made
        made.desk.close()


class Terminal(io.StringIO):
    """A person who types."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_signed_when_nothing_stands(
    visited: Visited, capsys: pytest.CaptureFixture[str]
) -> None:
    before = visited.acknowledged()
    assert visited.give() == 0
    assert "Nothing stands: nothing was signed." in capsys.readouterr().out
    assert visited.acknowledged() == before


def test_what_stands_is_shown_asked_about_signed_verified_and_gone(
    visited: Visited, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visited.opened()
    before = visited.acknowledged()
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert visited.give() == 10, "only a yes is a yes"
    said = capsys.readouterr()
    assert said.err.startswith(f"{faults.NOT_CONFIRMED.code} ")
    assert "stands: cover open since event " in said.out
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert visited.give() == 0
    said = capsys.readouterr()
    assert "t-2 acknowledges cover open" in said.out
    assert said.out.endswith("Nothing stands.\n")
    assert visited.acknowledged() == [*before, ("t-2", COVER)]
    assert not visited.events()[-1].event.status & STICKY


def test_p91_a_script_says_yes_or_nothing_is_signed(
    visited: Visited, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visited.opened()
    assert visited.give("--json") == 10
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{faults.NOT_CONFIRMED.code} ")
    assert visited.give("--json", "--yes") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["stands"]] == ["cover open"]
    signed = SignedEvent.open(bytes.fromhex(told["acknowledged"]["signed"]))
    signed.verify(visited.public)
    assert signed.event.details == ("t-2", COVER)
    assert told["left"] == []


def test_p93_what_is_open_still_stands_again(
    visited: Visited, capsys: pytest.CaptureFixture[str]
) -> None:
    visited.cover("terminal_cover")
    assert visited.give("--yes") == 10
    said = capsys.readouterr()
    assert said.err.startswith(f"{faults.STILL_STANDS.code} ")
    assert "terminal cover open since event" in said.err
    visited.cover()
    assert visited.give("--yes") == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_unplugged_while_it_acknowledges_the_same_command_completes(
    visited: Visited, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    visited.opened()
    before = visited.acknowledged()
    deed = AtPrompt.acknowledge

    def cut(self: AtPrompt, technician: str) -> SignedEvent:
        if after:
            deed(self, technician)
        visited.desk.board.close()
        return deed(self, technician)

    monkeypatch.setattr(AtPrompt, "acknowledge", cut)
    assert visited.give("--yes") == 10
    monkeypatch.setattr(AtPrompt, "acknowledge", deed)
    visited.desk.again()
    assert visited.give("--yes") == 0
    assert visited.acknowledged() == [*before, ("t-2", COVER)], "once, not twice"
    told = [each.event for each in visited.events() if each.event.kind == ACKNOWLEDGED][-1]
    assert after or told.time_s, "a meter without the time is given it first"


def test_p92_a_meter_that_signs_no_such_event(
    visited: Visited, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visited.opened()
    with monkeypatch.context() as patch:
        patch.setattr(at_prompt, "_ACKNOWLEDGE", "%r\nprint(0)")
        assert visited.give("--yes") == 10
    assert capsys.readouterr().err.startswith(f"{faults.NOT_ACKNOWLEDGED.code} ")
    assert visited.give("--yes") == 0


def test_p90_a_board_that_is_no_meter_has_nothing_to_acknowledge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "board")
    assert main(["meter", "acknowledge", "--simulate", "--folder", folder]) == 10
    assert capsys.readouterr().err.startswith(f"{faults.NO_METER.code} ")


@pytest.mark.parametrize("name", ["", "x" * 25, "a\x1bb"])
def test_a_technician_has_a_name_that_fits_an_event(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["meter", "acknowledge", "/dev/nothing", "--technician", name]) == 11
    assert capsys.readouterr().err.startswith("P-17 --technician ")
