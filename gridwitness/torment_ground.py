"""A whole network on this machine that is about to suffer: real validators, a real broker.

Decides where everything is and how it is looked at: heights, blocks and votes are read from the
validators' own files, so that nothing that is tormented has to answer. Each validator has a clock
of its own that runs as fast as life (`hwsim.scaled_clock`) and can be set wrong; the network's
genesis allows that.
"""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from gridwitness.addresses import free_ports
from gridwitness.bench_load import COS_PPM, INTERVAL_S, OPERATOR, SITE, Load
from gridwitness.broker import Broker
from gridwitness.configuration import toml
from gridwitness.network import Network, make_network
from gridwitness.plan import (
    PARAMETERS,
    Address,
    AuthorityPlan,
    GatewayPlan,
    NetworkPlan,
    ValidatorPlan,
)
from gridwitness.processes import Program
from hwsim import network_leg
from hwsim.packet_switch import PacketSwitch
from hwsim.scaled_clock import Pacer
from validator.backup import LEDGER, SIGN_STATE
from wire.block import Block, Commit
from wire.errors import Unavailable

GATEWAY = "gw-torment"
TIMES = {
    "block_interval_ms": 500,
    "empty_block_interval_ms": 1_000,
    "round_timeout_ms": 1_000,
    "round_timeout_cap_ms": 4_000,
    # The load is of past intervals: its windows are sealed when they are complete, not before.
    "deadline_intervals": 3_000,
}
BROKER_HOST = "10.77.0.254"
"""In the network of a packet switch, where the batches come from too."""

FAR_MS = 10**15
FULL_AT = 512
"""Bytes of a file on a full disk: less than a log of changes begins with, which is written anew."""
LOOK_S = 0.1
START_S = 60.0
SILENCE_S = 30.0
"""As the mesh: a link that brings nothing for so long is dead."""

Vote = tuple[str, int, int, str]
"""Who signed: validator, height, round, kind."""


class Ground:
    """The network's folder, its broker, its validators' processes, and every vote they signed."""

    def __init__(self, folder: Path, count: int, intervals: int, *, apart: bool = False) -> None:
        """Make keys, genesis, configurations and a load; nothing runs.

        Args:
            folder: a new folder.
            count: validators.
            intervals: of a thousand readings each.
            apart: each validator in a network namespace of its own, joined by a packet switch; this
                process has entered one already.
        """
        self.folder = folder
        self.switch = PacketSwitch(folder / "desk", count) if apart else None
        if apart:
            network_leg.attach(str(folder / "desk"), BROKER_HOST)
        end_s = int(time.time()) // INTERVAL_S * INTERVAL_S
        self.load = Load.make(GATEWAY, intervals, end_s)
        self.names = [f"val-{number}" for number in range(1, count + 1)]
        self.network = self._make(free_ports(2 * count + 2))
        self.broker = Broker(self.network.broker)
        self.clocks_off_ms = dict.fromkeys(self.names, 0)
        self.programs: dict[str, Program] = {}
        for name in self.names:
            self._own_clock(name)
            arguments = ["-m", "gridwitness.cli", "validator", "run", str(self.config(name))]
            if apart:
                leg = ["-m", "hwsim.network_leg", str(folder / "desk"), self.host(name)]
                arguments = [*leg, sys.executable, *arguments]
            self.programs[name] = Program(name, arguments, folder / f"{name}.log")
        self.votes: dict[Vote, bytes] = {}
        self.contradictions: list[str] = []

    @property
    def faulty(self) -> int:
        """How many may be away while the others go on."""
        return (len(self.names) - 1) // 3

    def host(self, name: str) -> str:
        """Where a validator's peers reach it."""
        return "127.0.0.1" if self.switch is None else f"10.77.0.{self.names.index(name) + 1}"

    def config(self, name: str) -> Path:
        """A validator's configuration."""
        return self.network.validator(name)

    def data(self, name: str) -> Path:
        """Its data folder."""
        return self.config(name).parent / "data"

    def _make(self, ports: list[int]) -> Network:
        validators = [
            ValidatorPlan(
                name,
                OPERATOR,
                peers=Address(self.host(name), ports.pop()),
                api=Address("127.0.0.1", ports.pop()),
            )
            for name in self.names
        ]
        gateway = GatewayPlan(
            id=GATEWAY,
            operator=OPERATOR,
            site=SITE,
            site_cos_ppm=COS_PPM,
            zones=tuple(zone["id"] for zone in self.load.zones),
            status=Address("127.0.0.1", ports.pop()),
        )
        return make_network(
            self.folder / "network",
            NetworkPlan(
                name="torment",
                time_ms=int(time.time()) * 1000,
                broker=Address(BROKER_HOST if self.switch else "127.0.0.1", ports.pop()),
                authorities=(AuthorityPlan(OPERATOR, OPERATOR, OPERATOR),),
                validators=tuple(validators),
                gateways=(gateway,),
                meters=self.load.meters,
                zones=self.load.zones,
                parameters={**PARAMETERS, **TIMES},
                paced_time_file=self.folder / "clock",
            ),
        )

    def _own_clock(self, name: str) -> None:
        path = self.config(name)
        content = tomllib.loads(path.read_text())
        path.write_text(toml(content | {"paced_time_file": "clock"}))
        self.set_clock(name, 0)

    def set_clock(self, name: str, off_ms: int) -> None:
        """Let a validator's clock be so far from the others'."""
        now_ms = time.time_ns() // 1_000_000 + off_ms
        pacer = Pacer(self.config(name).parent / "clock", now_ms, rate=1)
        pacer.let_pass(FAR_MS)
        pacer.close()
        self.clocks_off_ms[name] = off_ms

    # Life.

    def start(self, *names: str) -> None:
        """Start validators; returns when their ledgers are there."""
        for name in names or self.names:
            self.programs[name].start()
        deadline = time.monotonic() + START_S
        for name in names or self.names:
            while not (self.data(name) / LEDGER).exists():
                self.programs[name].check()
                if time.monotonic() > deadline:
                    raise Unavailable(f"{name} has not started within {START_S:.0f} s")
                time.sleep(LOOK_S)

    def kill(self, name: str) -> None:
        """End a validator as a power cut would."""
        self.programs[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Freeze a validator (SIGSTOP), or let it go on (SIGCONT)."""
        with suppress(ProcessLookupError):
            os.kill(self.programs[name].pid, number)

    def fill_disk(self, name: str) -> None:
        """Nothing that a validator writes beyond its files' first part is taken any more."""
        self._limit(name, FULL_AT)

    def make_room(self, name: str) -> None:
        """Its files may grow again."""
        self._limit(name, resource.RLIM_INFINITY)

    def _limit(self, name: str, size: int) -> None:
        _, hard = resource.prlimit(self.programs[name].pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.programs[name].pid, resource.RLIMIT_FSIZE, (size, hard))

    def command(self, *arguments: str) -> str:
        """Run one of the program's commands to its end; returns what it says."""
        ended = subprocess.run(
            [sys.executable, "-m", "gridwitness.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise Unavailable(f"{' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout

    def close(self) -> None:
        """End everything."""
        for program in self.programs.values():
            program.kill()
        self.broker.stop()
        if self.switch is not None:
            self.switch.close()

    # Looking at it.

    def heights(self) -> dict[str, int]:
        """Each validator's newest block; 0 where there is no ledger."""
        return {name: self._height(name) for name in self.names}

    def _height(self, name: str) -> int:
        rows = _rows(self.data(name) / LEDGER, "SELECT coalesce(max(height), 0) FROM blocks")
        return int(rows[0][0]) if rows else 0

    def look(self) -> None:
        """Take down all votes that the sign-states hold now; each remembers eight heights."""
        for name in self.names:
            query = "SELECT height, round, kind, message FROM votes"
            for height, round_number, kind, message in _rows(self.data(name) / SIGN_STATE, query):
                vote = (name, int(height), int(round_number), str(kind))
                known = self.votes.setdefault(vote, bytes(message))
                if known != message:
                    self.contradictions.append(f"{name} signed two of {vote[1:]}")

    def watch(self, seconds: float) -> None:
        """Look on for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            time.sleep(min(LOOK_S, max(0.0, deadline - time.monotonic())))

    def has_sealed(self, name: str, height: int) -> bool:
        """Whether blocks that another has carry a validator's seal of a height or a later one."""
        other = next(each for each in self.names if each != name)
        query = f"SELECT block FROM blocks WHERE height > {height}"
        blocks = [Block.decode(block) for (block,) in _rows(self.data(other) / LEDGER, query)]
        commits = [Commit.decode(each.parent_commit) for each in blocks]
        place = self.network.genesis.validators.index(name)
        return any(place == index for commit in commits for index, _ in commit.seals)

    def disagreement(self, names: Iterable[str] = ()) -> str:
        """At which height two ledgers differ; empty when none do."""
        query = "SELECT height, digest FROM blocks ORDER BY height"
        blocks: dict[int, tuple[str, bytes]] = {}
        for name in names or self.names:
            for height, digest in _rows(self.data(name) / LEDGER, query):
                other, known = blocks.setdefault(height, (name, digest))
                if known != digest:
                    return f"{other} and {name} hold different blocks at height {height}"
        return ""

    def offences(self) -> int:
        """Offences that the ledger tells; none of these validators lies."""
        query = "SELECT count(*) FROM evidence"
        waiting = [_rows(self.data(name) / LEDGER, query) for name in self.names]
        told = "SELECT count(*) FROM state WHERE name = 'offence'"
        final = [_rows(self.data(name) / LEDGER, told) for name in self.names]
        return sum(int(rows[0][0]) for rows in (*waiting, *final) if rows)

    def guard(self, name: str) -> tuple[str, bool, int | None] | None:
        """What keeps a validator's key from voting, as its sign-state says."""
        rows = _rows(self.data(name) / SIGN_STATE, "SELECT why, fenced, above FROM guard")
        return (str(rows[0][0]), bool(rows[0][1]), rows[0][2]) if rows else None

    def put_data(self, name: str, source: Path | None) -> None:
        """Let a validator's data folder be lost, or be that copy."""
        shutil.rmtree(self.data(name))
        if source is not None:
            shutil.copytree(source, self.data(name))


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a database holds that somebody else writes; nothing where it cannot be read now."""
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as database:
            return database.execute(query).fetchall()
    except sqlite3.Error:
        return []
