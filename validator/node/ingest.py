"""The broker's side: batches in, receipts and refusals out.

Decides which batches the mempool takes: the topic names the statement's gateway, the bytes are a
batch, the witness stands. What is refused is answered with a signed reason; a batch that is final
already is answered again from the store. The broker is believed nothing, and hostile bytes end in a
log line. The connection is `validator.node.broker`.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from validator.app.admission import MALFORMED
from validator.app.application import Application, RefusedBatch, SignatureBook
from validator.node.driver import Driver
from validator.node.receipts import BatchReceipts
from validator.node.set_changes import SetChanges
from wire.answer import Refusal
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.keys import Signer
from wire.light import SetChange
from wire.witness import Batch

MOST_WAITING = 1_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Of messages from the broker: some 150 of the largest batches."""
LONGEST_WORDS = 300

_log = structlog.get_logger()


class Arrivals(Protocol):
    """What came and waits, at most MOST_WAITING of MOST_WAITING_BYTES."""

    async def get(self) -> tuple[str, bytes]:
        """Topic and payload of the next one; waits for it."""


class Post(Protocol):
    """Where batches come from and answers go to."""

    @property
    def arrived(self) -> Arrivals:
        """What came and waits."""

    def knows(self, gateway: str) -> int:
        """From which height on the newest set seals that a gateway says it knows; 0 for none."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Send an answer; what does not arrive is asked for again by its gateway."""


class Ingest:
    """Takes batches from the broker into the mempool, and answers them."""

    def __init__(
        self,
        broker: Post,
        driver: Driver,
        application: Application,
        book: SignatureBook,
        signer: Signer,
        check: Callable[[Sequence[Batch]], Awaitable[None]],
    ) -> None:
        """Take the parts."""
        self._broker = broker
        self._driver = driver
        self._application = application
        self._book = book
        self._signer = signer
        self._check = check
        self._changes = SetChanges(driver.store, lambda: application.ruling)
        self._receipts = BatchReceipts(driver.store)

    def answer_final(self, batch_id: bytes, gateway: str, genesis: Genesis) -> bool:
        """Publish the receipt of a batch that is on the ledger; False when it is not there."""
        receipt = self._receipts.of(batch_id, self._changes_for(gateway))
        if receipt is None:
            return False
        self._broker.publish(receipt_topic(genesis, gateway), receipt.encoded)
        return True

    async def run(self, genesis: Genesis) -> None:
        """Take one message after the other."""
        while True:
            topic, payload = await self._broker.arrived.get()
            try:
                await self._take(genesis, topic.rpartition("/")[2], payload)
            except Refused as reason:
                _log.warning("message refused", topic=topic[:100], reason=str(reason)[:200])
            except Unavailable as reason:  # The key: without it no refusal is signed.
                _log.warning("message not answered", topic=topic[:100], reason=str(reason)[:200])

    async def _take(self, genesis: Genesis, gateway: str, payload: bytes) -> None:
        try:
            batch = Batch.open(payload)
        except Refused as reason:
            # Bytes that are no batch have no batch id: they are named by their own hash.
            self._refuse(genesis, gateway, hashlib.sha256(payload).digest(), MALFORMED, reason)
            raise
        try:
            self._application.check_tx(batch, self._book)
        except RefusedBatch as refused:
            self._refuse(genesis, gateway, batch.batch_id, refused.reason, refused)
            raise
        if batch.witness.statement.gateway != gateway:
            _log.warning("another gateway's batch", topic=gateway)
            return
        if self.answer_final(batch.batch_id, gateway, genesis):
            return
        await self._check([batch])
        if not self._driver.mempool.add(batch):
            _log.warning("no room", gateway=gateway)
            return
        self._driver.nudge()

    def _refuse(
        self, genesis: Genesis, gateway: str, batch_id: bytes, code: int, why: Refused
    ) -> None:
        words = str(why)[:LONGEST_WORDS]
        refusal = Refusal(genesis.network, batch_id, self._driver.me, code, words)
        self._broker.publish(
            receipt_topic(genesis, gateway), refusal.sign(self._signer, self._changes_for(gateway))
        )

    def _changes_for(self, gateway: str) -> tuple[SetChange, ...]:
        """What leads a gateway to the newest set from the one that it says it knows."""
        return self._changes.upto(known=self._broker.knows(gateway))


def batch_topic(genesis: Genesis) -> str:
    """The topics of all gateways' batches."""
    return f"gridwitness/1/{genesis.topic_name}/batch/+"


def receipt_topic(genesis: Genesis, gateway: str) -> str:
    """The topic on which a gateway is answered."""
    return f"gridwitness/1/{genesis.topic_name}/receipt/{gateway}"
