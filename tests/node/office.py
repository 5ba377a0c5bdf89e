"""A validator's pages over a ledger without a network: the village's, block after block."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from gridwitness.addresses import free_ports
from tests.app.village import BOOK, block_ms
from tests.node.chain import Chain
from validator.api.guard import Limits
from validator.api.pages import Pages
from validator.api.server import Certificate, ServingThread
from validator.api.sources import Sources
from validator.config import Address
from validator.node.frames import Rate
from validator.node.ledger_view import LedgerView
from validator.node.mempool import Mempool
from validator.node.registrar import Registrar
from validator.node.store import Store
from validator.node.tally import Tally
from wire.transaction import Transaction
from wire.witness import Batch


def ask(bureau: "Bureau", path: str, method: str = "GET", **content: Any) -> httpx.Response:
    """One request to a bureau's pages."""

    async def talk() -> httpx.Response:
        async with bureau.client() as client:
            return await client.request(method, path, **content)

    return asyncio.run(talk())


PLENTY = Limits(requests=Rate(10**6, 10**6), posts=Rate(10**6, 10**6))


class Clock:
    """Network time as the test sets it."""

    slot = 0

    def now_ms(self) -> int:
        return block_ms(self.slot)


class Bureau:
    """The pages and the ledger under them."""

    def __init__(
        self,
        folder: Path,
        limits: Limits = PLENTY,
        edit: Callable[[dict[str, Any]], object] = lambda _: None,
        **parameters: Any,
    ) -> None:
        def founded(content: dict[str, Any]) -> None:
            content["parameters"].update(parameters)
            edit(content)

        self.chain = chain = Chain(folder, founded)
        self.folder = folder
        self.wake: Callable[[], object] = lambda: self.pages.events.wake()
        self.clock = Clock()
        self.mempool = Mempool()
        self.registrar = Registrar(chain.app, self.mempool, chain.store, BOOK, self.clock)
        self.view = LedgerView(folder / "ledger.sqlite")
        self.halted = ""
        self.sources = Sources(
            id=chain.me,
            genesis=chain.genesis,
            genesis_file=chain.genesis_file,
            application=chain.app,
            ledger=self.view,
            registrar=self.registrar,
            mempool=self.mempool,
            tally=Tally(self.view, lambda height: chain.app.ruling.validators(height)),
            submit=self._submit,
            live=self.live,
            halted=lambda: self.halted,
        )
        self.pages = Pages(self.sources, limits)
        self.transport = httpx.ASGITransport(
            self.pages.guarded, raise_app_exceptions=False, client=("192.0.2.1", 1)
        )

    async def _submit(self, data: bytes) -> Transaction:
        """Take a transaction, in whichever thread the pages are served."""
        store = Store(self.folder / "ledger.sqlite")
        try:
            app = self.chain.app
            return Registrar(app, self.mempool, store, BOOK, self.clock).submit(data)
        finally:
            store.close()

    def live(self) -> dict[str, Any]:
        tip, genesis = self.chain.tip, self.chain.genesis
        agreement = {"height": tip.height + 1, "since_s": 0, "due_s": 0}
        return {
            "validator": self.chain.me,
            "network": genesis.topic_name,
            "network_id": genesis.network.hex(),
            "height": tip.height,
            "round": 0,
            "time_ms": tip.time_ms,
            "digest": tip.digest.hex(),
            "state_root": self.chain.app.state.root.hex(),
            "leader": self.chain.me,
            "peers": [],
            "cut": [],
            "target": tip.height,
            "broker": "away",
            "readings": self.view.reading_count(),
            "mempool": len(self.mempool),
            "halted": self.halted,
            "open_readings": self.sources.open_readings,
            "agreement": agreement | {"validators": [], "hindrance": ""},
        }

    def grow(self, blocks: int = 1, changes: tuple[Transaction, ...] = ()) -> list[Batch]:
        """Append blocks of an interval each."""
        batches = []
        for _ in range(blocks):
            batch = self.chain.interval(self.clock.slot)
            self.chain.append([batch], self.clock.slot, changes)
            self.clock.slot += 1
            self.wake()
            batches.append(batch)
        return batches

    def grow_with(self, more: dict[str, tuple[int, int]], blocks: int) -> None:
        """The same with readings of other meters too."""
        for _ in range(blocks):
            readings = self.chain.village.close(self.clock.slot, **more)
            batch = self.chain.village.batch(readings.values(), self.clock.slot)
            self.chain.append([batch], self.clock.slot)
            self.clock.slot += 1
            self.wake()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self.transport, base_url="http://it")

    def close(self) -> None:
        self.view.close()
        self.chain.store.close()


@contextlib.contextmanager
def served(bureau: Bureau, certificate: Certificate | None = None) -> Iterator[Address]:
    """A bureau's pages on a real port, in a thread of their own as a validator serves them."""
    address = Address("127.0.0.1", free_ports(1)[0])
    serving = ServingThread(bureau.pages.guarded, address, "the API", certificate)
    loop = asyncio.new_event_loop()
    task = loop.create_task(serving.run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(quiet(task)))
    thread.start()
    bureau.wake = lambda: serving.call(bureau.pages.events.wake)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


async def quiet(task: "asyncio.Task[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await task
