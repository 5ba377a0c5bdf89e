"""A demo that is told to end takes with it what it has started; none is removed while it runs."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gridwitness import demo, demo_folder, world
from gridwitness.cli import main


class ToldToEnd:
    """A world in whose midst somebody ends the demo."""

    number: signal.Signals
    closed = 0

    def __init__(self, *_: Any) -> None:
        pass

    def prepare(self) -> None:
        pass

    async def start(self) -> None:
        os.kill(os.getpid(), self.number)
        await asyncio.Event().wait()

    def close(self) -> None:
        ToldToEnd.closed += 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_demo_that_is_told_to_end_closes_its_world(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "World", ToldToEnd)
    monkeypatch.setattr(ToldToEnd, "number", number, raising=False)
    before = ToldToEnd.closed
    assert main(["demo", "--grid", "synthetic", "--dir", str(tmp_path / "demo")]) == 128 + number
    assert ToldToEnd.closed == before + 1


class Running:
    """A world that stays up."""

    def __init__(self) -> None:
        self.api_ports: dict[str, int] = {}
        self.status_ports: dict[str, int] = {}


def test_a_demo_that_was_kept_ends_well_by_ctrl_c() -> None:
    async def kept() -> str:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
        await demo._keep(Running())  # type: ignore[arg-type]
        return "in order"

    assert asyncio.run(kept()) == "in order"


def test_a_demo_is_not_removed_while_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    with demo_folder.take(folder):
        (folder / "ledger").touch()
        assert main(["demo", "--grid", "synthetic", "--dir", str(folder)]) == 1
        assert f"a demo runs in {folder} (process {os.getpid()})" in capsys.readouterr().err
        assert (folder / "ledger").exists()
    (folder / "network").mkdir()
    with demo_folder.take(folder):
        assert [each.name for each in folder.iterdir()] == [demo_folder.MARKER]


def test_what_is_no_demos_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(FileExistsError, match="not a demo's folder"):
        demo_folder.take(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]
