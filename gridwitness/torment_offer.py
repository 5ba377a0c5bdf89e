"""Batches that flow while validators suffer: a gateway of few words.

Decides only that nothing is given up: what has no receipt is published again, until every batch is
final. Receipts are verified with the quorum's seals, as a gateway does.
"""

import ssl
import threading
import time
from contextlib import suppress

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gridwitness.bench_load import witness_key
from gridwitness.torment_ground import GATEWAY, Ground
from wire.answer import BatchReceipt, open_answer
from wire.errors import Refused
from wire.light import LightClient
from wire.witness import Batch

BATCH = 25
AGAIN_S = 2.0


class Offering:
    """Publishes one batch after the other from a thread, and those without a receipt again."""

    def __init__(self, ground: Ground, every_s: float) -> None:
        """Begin to publish one every so many seconds."""
        self.sent = 0
        self.refused = 0
        self._ground = ground
        self._every_s = every_s
        self._signer = witness_key(ground.network, GATEWAY)
        self._topic = f"gridwitness/1/{ground.network.genesis.topic_name}"
        self._waiting: dict[bytes, tuple[Batch, float]] = {}
        self._light = LightClient.of(ground.network.genesis)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._enough = threading.Event()
        self._client = self._connected()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _connected(self) -> mqtt.Client:
        ground = self._ground
        home = ground.network.gateway(GATEWAY).parent
        client = mqtt.Client(CallbackAPIVersion.VERSION2, GATEWAY, protocol=mqtt.MQTTv5)
        client.tls_set(
            str(ground.network.folder / "ca" / "ca.pem"),
            str(home / "mqtt.pem"),
            str(home / "mqtt.key"),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
        client.on_message = self._answered
        client.on_connect = lambda client, *_: client.subscribe(
            f"{self._topic}/receipt/{GATEWAY}", qos=1
        )
        client.connect(ground.broker.host, ground.broker.port)
        client.loop_start()
        return client

    def _run(self) -> None:
        load, genesis = self._ground.load, self._ground.network.genesis
        parts = range(0, len(load.readings), BATCH)
        while not self._ending.wait(self._every_s):
            if not self._enough.is_set() and self.sent < len(parts):
                readings = load.readings[parts[self.sent] : parts[self.sent] + BATCH]
                now_s = int(time.time())
                batch = load.batch(genesis, self._signer, self.sent, readings, now_s)
                self._publish(batch)
                self.sent += 1
            self._publish_again()

    def _publish(self, batch: Batch) -> None:
        with self._lock:
            self._waiting[batch.batch_id] = (batch, time.monotonic())
        self._client.publish(f"{self._topic}/batch/{GATEWAY}", batch.encoded, qos=1)

    def _publish_again(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            late = [batch for batch, at_s in self._waiting.values() if now_s - at_s > AGAIN_S]
            for batch in late:
                self._waiting[batch.batch_id] = (batch, now_s)
        for batch in late:
            self._client.publish(f"{self._topic}/batch/{GATEWAY}", batch.encoded, qos=1)

    def _answered(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        """An answer; what proves nothing leaves its batch waiting."""
        with self._lock, suppress(Refused):
            answer = open_answer(bytes(message.payload), self._light)
            if not isinstance(answer, BatchReceipt):
                self.refused += 1
            elif answer.batch_id in self._waiting:
                batch, _ = self._waiting[answer.batch_id]
                answer.verify(self._light, batch.witness, batch.readings)
                del self._waiting[answer.batch_id]

    @property
    def waiting(self) -> int:
        """Batches without a receipt."""
        with self._lock:
            return len(self._waiting)

    def drain(self, bound_s: float) -> bool:
        """Publish nothing new; whether everything was final in time."""
        self._enough.set()
        deadline = time.monotonic() + bound_s
        while self.waiting and time.monotonic() < deadline:
            self._ground.watch(0.2)
        return not self.waiting

    def close(self) -> None:
        """End."""
        self._ending.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()
        self._signer.close()
