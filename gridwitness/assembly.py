"""Real validators in one event loop, wired without sockets, for simulations and measurements.

Each has its own driver, application, ledger file, sign-state and memory of checked messages; only
the mesh, the broker and TLS are missing. Decides how frames travel: after a delay for each pair, in
the loop's time, which may be a jumping one. Nothing is lost here; what loss does is for the
simulator of the machines.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsm.signstate import SignState, VoteSigner
from validator.app.application import Application
from validator.node.candidate import Blocks, Candidate
from validator.node.driver import Driver
from validator.node.fetching import Fetching
from validator.node.hearing import Hearing
from validator.node.ingest import Ingest, batch_topic
from validator.node.ledger import Ledger
from validator.node.mempool import Mempool
from validator.node.store import Store
from validator.node.verification import Book, Keyring, check_beforehand
from wire import cbor
from wire.genesis import Genesis
from wire.keys import SoftSigner
from wire.witness import Batch

Delay = Callable[[int, int], float]
"""Seconds that a frame from one validator to another takes, by their places."""


class LoopClock:
    """Network time that runs with the event loop, from the genesis time on."""

    def __init__(self, genesis: Genesis) -> None:
        """Take where it begins."""
        self._begin_ms = genesis.time_ms

    def now_ms(self) -> int:
        """Network time, Unix milliseconds."""
        return self._begin_ms + round(asyncio.get_running_loop().time() * 1000)


class PaperBroker:
    """A broker without a connection: what is published goes to one function."""

    def __init__(self, publish: Callable[[str, bytes], None]) -> None:
        """Take who is told."""
        self.arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._publish = publish

    def knows(self, gateway: str) -> int:
        """Nobody says here what he knows."""
        return 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell it."""
        self._publish(topic, payload)


@dataclass(frozen=True, slots=True)
class Outside:
    """What lies around the validators."""

    folder: Path
    """Where ledgers and sign-states go."""

    delay_s: Delay
    """How long frames travel."""

    published: Callable[[str, bytes], None]
    """Told what validators publish to the broker: topic and payload."""

    final: Callable[[str, Candidate], None]
    """Told when a validator has made a block real."""


class Member:
    """One validator without its sockets."""

    def __init__(self, assembly: "Assembly", place: int, key: SoftSigner) -> None:
        """Open its ledger and sign-state."""
        genesis, outside = assembly.genesis, assembly.outside
        self.name = genesis.validators.ids[place]
        self.place = place
        self._assembly = assembly
        folder = outside.folder / self.name
        folder.mkdir()
        self.store = Store(folder / "ledger.sqlite")
        self.state = SignState(folder / "signstate.sqlite")
        self.application = Application(genesis)
        self.book = Book()
        self.mempool = Mempool()
        self.blocks = Blocks(genesis, self.application, self.book)
        ledger = Ledger(genesis, self.store, self.application, self.blocks)
        signer = VoteSigner(key, self.state)
        self.driver = Driver(self.name, ledger, self.mempool, [signer], LoopClock(genesis))
        self.fetching = Fetching(self, self.check)
        self.hearing = Hearing(genesis.network, self.blocks.validators)
        self.broker = PaperBroker(outside.published)
        self._keyring = Keyring(self.application)
        self.ingest = Ingest(self.broker, self.driver, self.application, self.book, key, self.check)
        self.driver.on_final = self._final
        self._work: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start agreeing, and taking batches."""
        self.driver.begin(self, self.fetching)
        self._work.append(asyncio.create_task(self.ingest.run(self._assembly.genesis)))

    def end(self) -> None:
        """Stop, and close the files."""
        self.driver.stop()
        for task in self._work:
            task.cancel()
        self.store.close()
        self.state.close()

    async def check(self, batches: Sequence[Batch]) -> None:
        """Check signatures beforehand."""
        for batch in batches:
            readings = self.application.opened.of(batch)
            check_beforehand(self.book, self._keyring.keys(), readings)

    def _final(self, candidate: Candidate) -> None:
        genesis = self._assembly.genesis
        for batch in candidate.batches:
            gateway = batch.witness.statement.gateway
            self.ingest.answer_final(batch.batch_id, gateway, genesis)
        self._assembly.outside.final(self.name, candidate)

    # Links.

    @property
    def connected(self) -> list[str]:
        """All others."""
        return [name for name in self._assembly.members if name != self.name]

    def broadcast(self, frame: list[Any]) -> None:
        """A frame for all others."""
        data = cbor.encode(frame)
        for name in self.connected:
            self._send(name, data)

    def send(self, peer: str, frame: list[Any]) -> None:
        """A frame for one."""
        self._send(peer, cbor.encode(frame))

    def _send(self, peer: str, data: bytes) -> None:
        other = self._assembly.members[peer]
        delay_s = self._assembly.outside.delay_s(self.place, other.place)
        asyncio.get_running_loop().call_later(delay_s, other.hear, self.name, data)

    def hear(self, peer: str, data: bytes) -> None:
        """A frame has arrived: a consensus message, a question or an answer."""
        kind, name, *answer = cbor.decode(data)
        if kind == "consensus":
            message = self.hearing.open(name, self.driver.tip.height)
            if message is not None:
                self.driver.receive(message)
        elif answer:
            self.fetching.answered(peer, kind, name, answer[0])
        else:
            self._answer(peer, kind.removeprefix("get-"), name)

    def _answer(self, peer: str, kind: str, name: bytes) -> None:
        if kind == "block":
            found = self.driver.proposed(name)
        else:
            waiting = self.mempool.get(name)
            found = self.store.encoded_batch(name) if waiting is None else waiting.encoded
        if found is not None:
            self.send(peer, [kind, name, found])


class Assembly:
    """All validators of a network."""

    def __init__(self, genesis: Genesis, keys: Sequence[SoftSigner], outside: Outside) -> None:
        """Make them; inside a running loop.

        Args:
            genesis: the network.
            keys: the validators', in the order of the set.
            outside: folder, delays, and who is told.
        """
        self.genesis = genesis
        self.outside = outside
        self.members: dict[str, Member] = {}
        for place, key in enumerate(keys):
            member = Member(self, place, key)
            self.members[member.name] = member

    def begin(self) -> None:
        """Start all."""
        for member in self.members.values():
            member.begin()

    def end(self) -> None:
        """Stop all."""
        for member in self.members.values():
            member.end()

    def publish(self, gateway: str, batch: bytes, delay_s: float) -> None:
        """A gateway publishes a batch; every validator has it after a while."""
        topic = batch_topic(self.genesis).replace("+", gateway)
        loop = asyncio.get_running_loop()
        for member in self.members.values():
            loop.call_later(delay_s, member.broker.arrived.put_nowait, (topic, batch))

    @property
    def level(self) -> bool:
        """Whether all have the same ledger, and nobody has stopped."""
        prints = {member.store.fingerprint() for member in self.members.values()}
        return len(prints) == 1 and not any(each.driver.halted for each in self.members.values())
