"""The broker's side: batches in, receipts and refusals out.

Decides which batches the mempool takes: the topic names the statement's gateway, the bytes are a
batch, the witness stands. What is refused is answered with a signed reason; a batch that is final
already is answered again from the store. The broker is believed nothing, and hostile bytes end in a
log line.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from validator.app.admission import MALFORMED
from validator.app.application import Application, RefusedBatch, SignatureBook
from validator.node.driver import Driver
from validator.node.receipts import batch_receipt
from validator.node.set_changes import SetChanges
from wire.answer import Refusal
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.keys import Signer
from wire.witness import Batch

MOST_WAITING = 1_000
SESSION_EXPIRY_S = 7 * 24 * 3_600
KEEPALIVE_S = 15
LONGEST_WORDS = 300

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where the broker is, and who one is to it."""

    host: str
    """Host name."""

    port: int
    """TLS port."""

    ca: Path
    """The broker's certificate authority."""

    certificate: Path
    """Own client certificate; its common name is the validator's id."""

    key: Path
    """Its key."""


class Broker:
    """A connection that comes back by itself; messages arrive in the event loop, bounded."""

    def __init__(self, me: str, access: BrokerAccess, topic: str) -> None:
        """Take where to connect and what to subscribe to."""
        self._topic = topic
        self._loop = asyncio.get_running_loop()
        self.arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MOST_WAITING)
        self.connected = False
        self._access = access
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=me, protocol=mqtt.MQTTv5)
        self._client.tls_set(
            ca_certs=str(access.ca),
            certfile=str(access.certificate),
            keyfile=str(access.key),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.max_queued_messages_set(MOST_WAITING)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect in the background, now and whenever the connection is lost."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        self._client.connect_async(
            self._access.host,
            self._access.port,
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1; what does not arrive is asked for again by its gateway."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = "application/cbor"
        self._client.publish(topic, payload, qos=1, properties=properties)

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, *_: object
    ) -> None:
        if code.is_failure:
            _log.warning("the broker refuses the connection", reason=str(code))
            return
        self.connected = True
        client.subscribe(self._topic, qos=1)
        _log.info("broker connected")

    def _on_disconnect(self, *_: object) -> None:
        self.connected = False
        _log.warning("broker away")

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        # RuntimeError: the loop has been closed while the thread was ending.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, message.topic, bytes(message.payload))

    def _take(self, topic: str, payload: bytes) -> None:
        if self.arrived.full():
            self.arrived.get_nowait()  # Its gateway sends it again when no receipt comes.
        self.arrived.put_nowait((topic, payload))


class Ingest:
    """Takes batches from the broker into the mempool, and answers them."""

    def __init__(
        self,
        broker: Broker,
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

    def answer_final(self, batch_id: bytes, gateway: str, genesis: Genesis) -> bool:
        """Publish the receipt of a batch that is on the ledger; False when it is not there."""
        receipt = batch_receipt(self._driver.store, batch_id, self._changes.upto())
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
            receipt_topic(genesis, gateway), refusal.sign(self._signer, self._changes.upto())
        )


def batch_topic(genesis: Genesis) -> str:
    """The topics of all gateways' batches."""
    return f"gridwitness/1/{genesis.topic_name}/batch/+"


def receipt_topic(genesis: Genesis, gateway: str) -> str:
    """The topic on which a gateway is answered."""
    return f"gridwitness/1/{genesis.topic_name}/receipt/{gateway}"
