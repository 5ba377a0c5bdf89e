"""The service manager is told of readiness and progress, and of nothing else."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.watchdog import Heart, ServiceManager, watch, woken
from hwsim.virtual_time import run_jumping

UNIT_FILE = Path(__file__).parents[2] / "gateway/systemd/gridwitness-gateway.service"


class Manager:
    """The receiving end of a notify socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    def heard(self) -> list[str]:
        """What was said since the last look."""
        said = []
        while True:
            try:
                said.append(self._socket.recv(4_096).decode())
            except BlockingIOError:
                return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def environment(manager: Manager, pid: int | None = None) -> dict[str, str]:
    return {
        "NOTIFY_SOCKET": str(manager.path),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(pid or os.getpid()),
    }


def test_states_reach_the_service_manager(manager: Manager) -> None:
    ServiceManager(environment(manager)).tell("READY=1")
    assert manager.heard() == ["READY=1"]


def test_without_a_service_manager_nothing_is_sent_or_wanted(tmp_path: Path) -> None:
    alone = ServiceManager({})
    alone.tell("READY=1")
    assert alone.watchdog_s == 0
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")


def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(manager: Manager) -> None:
    assert ServiceManager(environment(manager, pid=1)).watchdog_s == 0
    assert ServiceManager(environment(manager)).watchdog_s == 30


def test_the_watchdog_is_fed_while_all_hearts_beat_and_never_after_one_stopped(
    manager: Manager,
) -> None:
    async def story() -> None:
        hearts = [Heart("witness", 60), Heart("bus street", 60)]
        watching = asyncio.ensure_future(
            watch(ServiceManager(environment(manager)), lambda: hearts)
        )
        fed: list[str] = []
        for _ in range(30):  # Five minutes, both beat.
            for heart in hearts:
                heart.beat()
            await asyncio.sleep(10)
            fed += manager.heard()
        assert set(fed) == {"WATCHDOG=1"}
        assert len(fed) >= 300 // 10
        said: list[str] = []
        for _ in range(30):  # Five more, one does not.
            hearts[0].beat()
            await asyncio.sleep(10)
            said += manager.heard()
        assert said[-1] == "STATUS=no progress: bus street"
        assert len(said) <= 14  # 60 s of patience, fed each 5 s.
        hearts[1].beat()
        await asyncio.sleep(6)
        assert manager.heard()[-1] == "WATCHDOG=1"
        watching.cancel()

    run_jumping(story())


def test_a_part_that_has_not_begun_is_not_stuck(manager: Manager) -> None:
    async def story() -> None:
        heart = Heart("reader", 1)
        assert not heart.is_stuck(asyncio.get_running_loop().time() + 1e6)

    run_jumping(story())


def test_waiting_for_work_ends_in_time_for_the_next_beat() -> None:
    async def story() -> None:
        begin_s = asyncio.get_running_loop().time()
        await woken(asyncio.Event())
        assert 0 < asyncio.get_running_loop().time() - begin_s < Heart("any").at_most_s

    run_jumping(story())


def test_systemd_takes_the_unit_file(tmp_path: Path) -> None:
    """The only thing changed is the path of the program, which is not installed here."""
    text = UNIT_FILE.read_text()
    assert "Type=notify" in text
    unit = tmp_path / UNIT_FILE.name
    unit.write_text(text.replace("/opt/gridwitness/.venv/bin/gridwitness", "/bin/true"))
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not on this machine: apt install systemd")
    assert (done.returncode, done.stderr) == (0, "")
