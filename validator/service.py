"""One validator: its parts put together, started, and ended in order.

Decides nothing but the order: key and sign-state, ledger and application, mesh, broker, API.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from hsm.signstate import SignState
from validator.api.server import serve
from validator.app.application import Application
from validator.config import ValidatorConfig
from validator.ending import end_of_process
from validator.key import KeyInForce, open_keys
from validator.node import heap
from validator.node.broker import Broker, BrokerAccess
from validator.node.candidate import Blocks, Candidate
from validator.node.catching_up import CatchingUp
from validator.node.driver import Driver
from validator.node.evidence_pool import EvidencePool
from validator.node.exchange import Ears, Exchange
from validator.node.fence import Fence, FencedSigner
from validator.node.fetching import Fetching
from validator.node.finding import Bootnode, Finder
from validator.node.folder import claim_folder
from validator.node.hearing import Hearing
from validator.node.ingest import Ingest, batch_topic
from validator.node.ledger import Ledger
from validator.node.ledger_view import LedgerView
from validator.node.membership import Membership, holders_keys
from validator.node.mempool import Mempool
from validator.node.mesh import Mesh
from validator.node.peers import AddressBook, Peer
from validator.node.registrar import Registrar
from validator.node.set_changes import SetChanges
from validator.node.shelf import StateShelf
from validator.node.store import Store
from validator.node.stored import StoredBlock
from validator.node.timing import NetworkClock
from validator.node.verification import Book, Keyring, check_in_threads
from validator.node.watch import Watch
from wire.block import Commit, ValidatorSet
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.witness import Batch

LOOK_BACK = 16
"""Of the newest blocks so many are searched for one's own seals at the start."""

_log = structlog.get_logger()


class Validator:
    """The parts of one running validator."""

    def __init__(self, config: ValidatorConfig, genesis: Genesis, clock: NetworkClock) -> None:
        """Open key, sign-state and ledger.

        Raises:
            Refused: configuration, key or genesis do not fit.
            Unavailable: a file cannot be read now, or another process has the data folder.
        """
        self.config = config
        self.genesis = genesis
        self._clock = clock
        self._claim = claim_folder(config.data)
        self.state = SignState(config.data / "signstate.sqlite")
        self.store = Store(config.data / "ledger.sqlite")
        self.view = LedgerView(config.data / "ledger.sqlite")
        self.on_block: Callable[[], object] = lambda: None
        """Told after each final block."""
        self.application = Application(genesis)
        self.shelf = StateShelf(config.data / "ledger.sqlite")
        self.application.restore(self.store.state_rows_in_memory(), self.shelf)
        self.book = Book()
        self.mempool = Mempool()
        blocks = Blocks(genesis, self.application, self.book)
        ledger = Ledger(genesis, self.store, self.application, blocks)
        self.fence = self._fence(blocks.validators)
        keys = open_keys(config, self._registered())
        self.key = KeyInForce(keys, self._registered)
        signers = [FencedSigner(key, self.state, self.fence) for key in keys]
        self.driver = Driver(config.id, ledger, self.mempool, signers, clock)
        peers = self._known_addresses()
        self.mesh = Mesh(config.id, peers, config.tls_certificate, config.tls_key, self._hear)
        self.membership = Membership(
            self.mesh, self._addresses, lambda: self.application.ruling, config.peers
        )
        self.fetching = Fetching(self.mesh, self._check)
        self.registrar = Registrar(
            self.application, self.mempool, self.store, self.book, self._clock
        )
        self.evidence = EvidencePool(blocks, self.mempool, self.store)
        self.hearing = Hearing(genesis.network, blocks.validators)
        self.catching_up = CatchingUp(self.mesh, self.driver, genesis.validators.faulty)
        self.catching_up.on_claim = self.fence.told
        parts = (self.driver, self.mesh, self.fence, self.catching_up, self.fetching)
        self.watch = Watch.over(blocks, parts)
        ears = Ears(self.hearing, self.fetching, self.catching_up, self.registrar, self.evidence)
        self.exchange = Exchange(self.mesh, self.driver, ears)
        self._keyring = Keyring(self.application)
        self.broker: Broker | None = None

    def _known_addresses(self) -> Mapping[str, Peer]:
        """Where the others are: from the peers' file, and kept from before."""
        config, now_s = self.config, int(time.time())
        keys = holders_keys(lambda: self.application.ruling, lambda: self.driver.tip.height)
        self._addresses = AddressBook(self.genesis, config.data / "peers.json", keys)
        if config.peers is not None:
            self._addresses.read(config.peers, now_s)
        self._addresses.recall(now_s)
        return self._addresses.peers

    def _fence(self, members: Callable[[int], ValidatorSet]) -> Fence:
        """What lets the key vote; the newest blocks say whether it knows all that it signed."""
        newest = self.store.height
        fence = Fence(
            self.config.id,
            self.state,
            members,
            lambda: self.driver.tip.height,
            lambda: self.mesh.connected,
        )
        found = (self.store.block(each) for each in range(max(1, newest - LOOK_BACK), newest + 1))
        fence.final(each for each in found if each is not None)
        return fence

    def _registered(self) -> PublicKey | None:
        """One's own key in the newest set that is decided."""
        return self.application.ruling.rosters[-1].validators.key(self.config.id)

    def _own_address(self, now_s: int) -> Mapping[str, Any]:
        config = self.config
        pem, where = config.tls_certificate.read_text(), str(config.advertise)
        return self._addresses.own(config.id, where, pem, self.key, now_s)

    def _hear(self, peer: str, frame: list[object]) -> None:
        self.exchange.handle(peer, frame)

    async def _check(self, batches: Sequence[Batch]) -> None:
        """Decode readings and check signatures in threads: votes and timers go on meanwhile."""
        for batch in batches:
            opened = await asyncio.to_thread(self.application.opened.of, batch)
            await check_in_threads(self.book, self._keyring.keys(), opened)

    async def run(self, until: asyncio.Event) -> None:
        """Agree, serve and answer until the event is set."""
        mqtt = self.config.mqtt
        access = BrokerAccess(mqtt.host, mqtt.port, mqtt.ca, mqtt.certificate, mqtt.key)
        broker = self.broker = Broker(self.config.id, access, batch_topic(self.genesis))
        ingest = Ingest(broker, self.driver, self.application, self.book, self.key, self._check)

        def answer(candidate: Candidate) -> None:
            self._keep_links()
            commit = Commit.decode(self.driver.tip.commit)
            self.fence.final([StoredBlock(candidate.block, commit)])
            self.watch.final(candidate.block, commit, self._clock.now_ms())
            self.exchange.announce()
            self.registrar.look_again(candidate.block.content.time_ms)
            self.evidence.look_again()
            for batch in candidate.batches:
                gateway = batch.witness.statement.gateway
                ingest.answer_final(batch.batch_id, gateway, self.genesis)
            self.on_block()

        self.driver.on_final = answer
        self.driver.on_evidence = self.evidence.take
        await self.mesh.start(self.config.listen.host, self.config.listen.port)
        self._keep_links()
        broker.start()
        self.driver.begin(self.mesh, self.fetching)
        self.registrar.nudge = self.evidence.nudge = self.driver.nudge
        work = [
            asyncio.create_task(self.exchange.run()),
            asyncio.create_task(ingest.run(self.genesis)),
            asyncio.create_task(serve(self)),
            *([asyncio.create_task(self._find())] if self.config.bootnodes else []),
        ]
        ended = asyncio.create_task(until.wait())
        _log.info("running", validator=self.config.id, height=self.driver.tip.height)
        try:
            done, _ = await asyncio.wait([*work, ended], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ended}:
                task.result()
        finally:
            for task in [*work, ended]:
                task.cancel()
            await asyncio.gather(*work, ended, return_exceptions=True)
            await self._close()

    async def _find(self) -> None:
        """Ask bootnodes for the others as long as the validator runs."""
        bootnodes = [Bootnode(each.host, each.port) for each in self.config.bootnodes]
        changes = SetChanges(self.store, lambda: self.application.ruling)
        own, others = self._own_address, self._others
        finder = Finder(self.mesh, self._addresses, bootnodes, own, others, changes.upto)
        await finder.run()

    def _others(self) -> int:
        return self.membership.others(self.config.id, self.driver.tip.height)

    def _keep_links(self) -> None:
        """Let in whoever belongs as of the newest block."""
        tip = self.driver.tip.height
        self.catching_up.expect(self.application.ruling.validators(tip + 1).faulty)
        self.membership.look(tip)

    async def _close(self) -> None:
        self.driver.stop()
        if self.broker is not None:
            await asyncio.to_thread(self.broker.stop)
        await self.mesh.stop()
        self.shelf.close()
        self.store.close()
        self.view.close()
        self.state.close()
        self._claim.close()


async def run(config: ValidatorConfig, clock: NetworkClock) -> None:
    """Run a validator until SIGTERM or SIGINT."""
    genesis = Genesis.load(config.genesis)
    validator = Validator(config, genesis, clock)
    heap.settle()
    await validator.run(end_of_process())
