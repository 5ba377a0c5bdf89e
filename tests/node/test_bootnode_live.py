"""Real validators that know nothing of each other but the genesis file and a bootnode's address."""

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gridwitness.addresses import free_ports
from gridwitness.configuration import toml
from tests.node.town import COMMAND, WAIT_S, Town, wait_for


class Bootnode:
    """One in a process of its own."""

    def __init__(self, town: Town) -> None:
        [self.port] = free_ports(1)
        self._town = town
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it; returns what it says first."""
        folder, where = self._town.folder, f"127.0.0.1:{self.port}"
        kept = ["--kept", str(folder / "kept.json"), "--listen", where]
        command = [*COMMAND, "bootnode", str(folder / "genesis.json"), *kept]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        wait_for("the bootnode answers", lambda: self.known() is not None)
        return said

    def known(self) -> int | None:
        """Of how many validators it knows the address."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False)
        except httpx.TransportError:
            return None
        found: int = answer.json()["known"]
        return found

    def stop(self) -> int:
        """End it in order."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(WAIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return status

    def close(self) -> None:
        if self._process is not None:
            self.stop()


def edit(path: Path, **changes: object) -> None:
    path.write_text(toml(tomllib.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("bootnode"), 4)
    try:
        yield town
    finally:
        town.close()


@pytest.fixture(scope="module")
def bootnode(town: Town) -> Iterator[Bootnode]:
    bootnode = Bootnode(town)
    (town.folder / "peers.json").unlink()
    for name in town.names:
        edit(town.config_path(name), peers="", bootnodes=[f"127.0.0.1:{bootnode.port}"])
    try:
        yield bootnode
    finally:
        bootnode.close()


def all_meet(town: Town) -> bool:
    return all(len(town.status(name)["peers"]) == 3 for name in town.names)


def agree(town: Town) -> None:
    """All four are connected and make a block."""
    wait_for("all four are connected", lambda: all_meet(town))
    height = max(town.heights())
    wait_for("a block", lambda: min(town.heights()) > height)


def test_four_validators_find_each_other_through_a_bootnode_that_starts_last(
    town: Town, bootnode: Bootnode
) -> None:
    town.start()
    assert town.status("val-1")["peers"] == []
    assert "0 of 4 validators known" in bootnode.start()
    agree(town)
    assert bootnode.known() == 4
    assert "does not answer" in town.log("val-1")


def test_a_validator_that_has_moved_is_found_again(town: Town, bootnode: Bootnode) -> None:
    assert town.stop("val-4") == 0
    [town.peer_ports["val-4"]] = free_ports(1)
    edit(town.config_path("val-4"), listen=f"127.0.0.1:{town.peer_ports['val-4']}")
    town.start("val-4")
    agree(town)


def test_who_has_met_once_meets_again_without_the_bootnode(town: Town, bootnode: Bootnode) -> None:
    assert bootnode.stop() == 0
    for name in town.names:
        town.kill(name)
    town.start()
    agree(town)


def test_a_bootnode_remembers_over_a_restart(bootnode: Bootnode) -> None:
    assert "4 of 4 validators known" in bootnode.start()


def test_check_names_the_bootnode(town: Town, bootnode: Bootnode) -> None:
    checked = subprocess.run(
        [*COMMAND, "check", str(town.config_path("val-1"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"bootnode 127.0.0.1:{bootnode.port}; good" in checked.stdout


def test_a_port_that_is_taken_is_said_in_one_line(town: Town, bootnode: Bootnode) -> None:
    where = ["--listen", f"127.0.0.1:{bootnode.port}", "--kept", str(town.folder / "other.json")]
    ended = subprocess.run(
        [*COMMAND, "bootnode", str(town.folder / "genesis.json"), *where],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert ended.returncode == 75
    assert len(ended.stderr.splitlines()) == 1
    assert "the bootnode cannot listen" in ended.stderr
