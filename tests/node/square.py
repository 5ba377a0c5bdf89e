"""Four drivers in one event loop, wired without sockets, so that a test can lose what it likes."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hsm.signstate import SignState, VoteSigner
from tests.app.enrolments import with_technician
from tests.app.village import BOOK, Village, signer
from validator.app.application import Application
from validator.consensus.messages import Message, decode_message
from validator.node.candidate import Blocks
from validator.node.catching_up import CatchingUp
from validator.node.driver import Driver
from validator.node.evidence_pool import EvidencePool
from validator.node.fetching import Fetching
from validator.node.hearing import AHEAD
from validator.node.ledger import Ledger
from validator.node.mempool import Mempool
from validator.node.store import Store
from wire.genesis import Genesis
from wire.witness import Batch

NAMES = ("val-1", "val-2", "val-3", "val-4")
PARAMETERS = {
    "deadline_intervals": 1_000_000,
    "acceptance_window_s": 1_000_000_000,
    "block_interval_ms": 20,
    "empty_block_interval_ms": 40,
    "round_timeout_ms": 100,
    "round_timeout_cap_ms": 400,
}


def found(content: dict[str, Any]) -> None:
    """Edit the village's genesis: four validators and a technician."""
    with_technician(content)
    validators = [
        {"id": name, "authority": "PEA", "key": signer(name).public.text} for name in NAMES
    ]
    content.update(validators=validators, parameters=content["parameters"] | PARAMETERS)


class WallClock:
    """The machine's time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Node:
    """One validator without its sockets."""

    def __init__(self, square: "Square", name: str) -> None:
        self.name = name
        folder = square.folder / name
        folder.mkdir(exist_ok=True)
        self.square = square
        self.store = Store(folder / "ledger.sqlite")
        self.state = SignState(folder / "signstate.sqlite")
        self.app = Application(square.genesis)
        self.app.restore(self.store.state_rows())
        self.mempool = Mempool()
        blocks = Blocks(square.genesis, self.app, BOOK)
        ledger = Ledger(square.genesis, self.store, self.app, blocks)
        keys = [VoteSigner(signer(each), self.state) for each in square.keys.get(name, [name])]
        self.driver = Driver(name, ledger, self.mempool, keys, WallClock())
        self.fetching = Fetching(self, self._checked)
        self.pool = EvidencePool(blocks, self.mempool, self.store)
        self.pool.forward, self.pool.nudge = self.broadcast, self.driver.nudge
        self.driver.on_evidence = self.pool.take
        self.driver.on_final = lambda _: self._final()
        self.catching_up = CatchingUp(self, self.driver, 1)
        self._following: asyncio.Task[None] | None = None

    def _final(self) -> None:
        self.pool.look_again()
        for other in self.connected:
            self.square.nodes[other].catching_up.claimed(self.name, self.driver.tip.height)

    def blame(self, peer: str, cost: float, words: str) -> None:
        """Nobody here floods."""

    async def _checked(self, batches: Sequence[Batch]) -> None:
        """Signatures are checked when the rules ask."""

    @property
    def connected(self) -> list[str]:
        return sorted(name for name in self.square.nodes if name != self.name)

    def broadcast(self, frame: list[Any]) -> None:
        if frame[0] == "evidence":
            for other in self.connected:
                self.square.nodes[other].pool.hear(frame[1])
            return
        message = decode_message(frame[1])
        for other in self.connected:
            if self.square.passes(message, self.name, other):
                self.square.deliver(other, frame[1])

    def send(self, peer: str, frame: list[Any]) -> None:
        kind, name, *_ = frame
        other = self.square.nodes[peer]
        if kind == "get-final":
            entry = other.store.final(name)
            found = [] if entry is None else [entry]
            self.catching_up.answered(peer, ["final", name, *found])
            return
        if kind == "get-block":
            block = other.driver.proposed(name)
        else:
            batch = other.mempool.get(name) or other.store.batch(name)
            block = None if batch is None else batch.encoded
        if block is not None:
            self.fetching.answered(peer, kind.removeprefix("get-"), name, block)

    def begin(self) -> None:
        self.driver.begin(self, self.fetching)
        self._following = asyncio.create_task(self.catching_up.run())

    def end(self) -> None:
        """As kill -9: nothing is said, nothing is written any more."""
        self.driver.stop()
        if self._following is not None:
            self._following.cancel()
        self.store.close()
        self.state.close()


class Square:
    """Four validators, of which some may be down, and what passes between them."""

    def __init__(self, folder: Path, **parameters: int) -> None:
        self.folder = folder

        def begin(content: dict[str, Any]) -> None:
            found(content)
            content["parameters"] |= parameters

        self.village = Village(begin)
        self.genesis: Genesis = self.village.genesis
        self.nodes: dict[str, Node] = {}
        self.passes: Callable[[Message, str, str], bool] = lambda *_: True
        self.keys: dict[str, list[str]] = {}
        """Names of the keys that a validator holds; by default the one of its own name."""

    def start(self, *names: str) -> None:
        started = [Node(self, name) for name in names]
        self.nodes |= {node.name: node for node in started}
        for node in started:
            node.begin()

    def kill(self, *names: str) -> None:
        for name in names:
            self.nodes.pop(name).end()

    def deliver(self, name: str, data: bytes) -> None:
        node = self.nodes[name]

        def arrive() -> None:
            ahead = decode_message(data).height > node.driver.tip.height + AHEAD
            if self.nodes.get(name) is node and not ahead:
                node.driver.receive_bytes(data)

        asyncio.get_running_loop().call_soon(arrive)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.005)
