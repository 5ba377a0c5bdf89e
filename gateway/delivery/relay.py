"""The relay: batches out, answers in, over MQTT 5 with TLS and a client certificate.

Decides which batches are in flight: a bounded window, live ones before the backlog, and one without
an answer again after a while, behind what was never sent. The spool is the queue; the client's own
memory is never relied upon and never holds more than the window, and the broker's acknowledgement
forgets nothing. What an answer is worth is decided in `delivery.receipts`.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.config import MqttConfig
from gateway.delivery.outbox import Outbox, live_from_s
from gateway.delivery.receipts import Receipts
from gateway.timing import NetworkClock
from gateway.watchdog import Heart, woken
from wire.answer import KNOWN_SET

_log = structlog.get_logger()

WINDOW = 32
"""Batches in flight: sent and not answered lately."""

BACKLOG_SHARE = 24
"""How many of them may be backlog, so that live ones never wait behind it."""

FIRST_RESEND_S, MOST_RESEND_S = 10.0, 60.0
SESSION_EXPIRY_S = 7 * 86_400
MOST_UNANSWERED = 512
_MOST_ANSWERS = 4 * WINDOW
_HELD_S = 600.0
"""What the client has held for so long is lost there."""

_QUEUE_ROOM = 8
"""The client may hold the window and a few messages of its own."""
_KEEPALIVE_S = 30
ENDED = "it ends the connection: our certificate has expired, or its authority is unknown"
"""What it means that a broker hangs up before it answers."""

NOT_REACHED = "it cannot be reached, or we do not believe it: gridwitness gateway doctor says which"
NOBODY = "it has the batch, and no validator listens there"
"""What it means that a broker found no matching subscribers: nobody got the batch."""

_NO_SUBSCRIBERS = 0x10
"""MQTT 5, section 3.4.2.1: not an error, yet nobody has the message."""

_NOBODY_RESEND_S = 2.0
"""A broker that was started again knows its subscribers as soon as they are back."""

_WITHOUT_A_WORD = "Unspecified error"
"""What the MQTT client says when a connection ends and nobody said why."""

_LOOK_S = 0.5
QOS = 1


@dataclass(slots=True)
class _Sent:
    live: bool
    again_s: float
    wait_s: float
    held: bool = True
    """The client still has it: it sends it again by itself until the broker has it."""


class Relay:
    """One MQTT client, and the window of batches that it carries."""

    def __init__(
        self,
        gateway: str,
        topic_name: str,
        config: MqttConfig,
        outbox: Outbox,
        receipts: Receipts,
        clock: NetworkClock,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._receipts = receipts
        self._clock = clock
        base = f"gridwitness/1/{topic_name}"
        self._batch_topic = f"{base}/batch/{gateway}"
        self._receipt_topic = f"{base}/receipt/{gateway}"
        self._status_topic = f"{base}/status/{gateway}"
        self._answers: asyncio.Queue[bytes] = asyncio.Queue(_MOST_ANSWERS)
        self._acknowledged: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self._sent: dict[int, _Sent] = {}
        self._by_mid: dict[int, int] = {}
        self._client = self._new_client(gateway)
        self.broker = "away"
        """`connected` or `away`."""
        self.refusal = ""
        """Why the broker refused the last connection or batch; empty when it took the last one."""
        self._why_away = ""
        self.heart = Heart("relay")

    async def run(self, witnessed: asyncio.Event) -> None:
        """Relay for ever; `witnessed` is set when a batch can be published."""
        self._loop = asyncio.get_running_loop()
        self._woken = witnessed
        self._client.connect_async(
            self._config.host,
            self._config.port,
            _KEEPALIVE_S,
            clean_start=False,
            properties=_session_properties(),
        )
        self._client.loop_start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(witnessed))
                tasks.create_task(self._take_answers(witnessed))
                tasks.create_task(self._take_acknowledgements())
        finally:
            await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if self._client.is_connected():
            self._client.publish(self._status_topic, _status("offline"), QOS, True)
        self._client.disconnect()
        self._client.loop_stop()

    def _new_client(self, gateway: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway, protocol=mqtt.MQTTv5)
        client.tls_set_context(tls_context(self._config))
        client.will_set(self._status_topic, _status("offline"), QOS, True)
        client.reconnect_delay_set(1, 30)
        client.max_inflight_messages_set(WINDOW)
        client.max_queued_messages_set(WINDOW + _QUEUE_ROOM)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_connect_fail = self._not_reached
        client.on_message = self._message
        client.on_publish = self._published
        return client

    # Callbacks run in the client's own thread: they only hand over to the event loop.

    def _connected(
        self, client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any
    ) -> None:
        if code.is_failure:
            self._loop.call_soon_threadsafe(self._refuse, f"connection: {code}")
            return
        client.subscribe(self._receipt_topic, QOS)
        client.publish(self._status_topic, _status("online"), QOS, True)
        self._loop.call_soon_threadsafe(self._refuse, "")
        self._loop.call_soon_threadsafe(self._set_broker, "connected")

    def _disconnected(
        self, _client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any
    ) -> None:
        if code.is_failure:
            self._loop.call_soon_threadsafe(self._lost, str(code))
        self._loop.call_soon_threadsafe(self._set_broker, "away")

    def _not_reached(self, _client: mqtt.Client, _data: Any) -> None:
        self._loop.call_soon_threadsafe(self._lost, NOT_REACHED)

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._hand_over, bytes(message.payload))

    def _published(
        self, _client: mqtt.Client, _data: Any, mid: int, code: Any, _properties: Any
    ) -> None:
        refusal = ""
        if code is not None and code.is_failure:
            refusal = f"batch: {code}"
        elif code is not None and code.value == _NO_SUBSCRIBERS:
            refusal = NOBODY
        self._loop.call_soon_threadsafe(self._acknowledged.put_nowait, (mid, refusal))

    def _refuse(self, words: str) -> None:
        if words != self.refusal and words:
            _log.error("the broker refuses", reason=words)
        self.refusal = words

    def _lost(self, code: str) -> None:
        """Say why there is no connection, once for each cause."""
        words = code
        if code == _WITHOUT_A_WORD:
            words = "the connection was lost" if self.broker == "connected" else ENDED
        if words != self._why_away:
            _log.warning("the broker is away", reason=words)
        self._why_away = words

    def _set_broker(self, state: str) -> None:
        self.broker = state
        if state == "connected":
            self._why_away = ""
        self._woken.set()

    def _hand_over(self, answer: bytes) -> None:
        if self._answers.full():
            return  # Lost answers come again: the batch is sent again.
        self._answers.put_nowait(answer)

    async def _take_answers(self, witnessed: asyncio.Event) -> None:
        while True:
            settled = await self._receipts.take(await self._answers.get())
            if settled is not None:
                self._sent.pop(settled, None)
                witnessed.set()

    async def _take_acknowledgements(self) -> None:
        """Whatever has come meanwhile becomes one transaction."""
        while True:
            found = [await self._acknowledged.get()]
            while not self._acknowledged.empty():
                found.append(self._acknowledged.get_nowait())
            await self._outbox.published(list(self._taken(found)))

    def _taken(self, found: list[tuple[int, str]]) -> Iterator[int]:
        """The batches that somebody got; one refused, or that nobody got, is sent again later."""
        for mid, refusal in found:
            sequence = self._by_mid.pop(mid, None)
            if sequence is None:
                continue
            self._refuse(refusal)
            if sequence in self._sent:
                sent = self._sent[sequence]
                sent.held = False
                if refusal == NOBODY:
                    sent.again_s = min(sent.again_s, self._loop.time() + _NOBODY_RESEND_S)
            if not refusal:
                yield sequence

    async def _send(self, witnessed: asyncio.Event) -> None:
        while True:
            self.heart.beat()
            witnessed.clear()
            if self.broker == "connected":
                for sequence, live in await self._next():
                    await self._publish(sequence, live)
            await woken(witnessed, _LOOK_S if self._sent else None)

    async def _next(self) -> list[tuple[int, bool]]:
        """Which batches to send now: live, then backlog, then those without an answer."""
        now_s = self._loop.time()
        due = sorted(
            (
                sequence
                for sequence, sent in self._sent.items()
                if sent.again_s <= now_s - (_HELD_S if sent.held else 0.0)
            ),
            key=lambda sequence: self._sent[sequence].again_s,
        )
        room = WINDOW - (len(self._sent) - len(due))
        if room <= 0:
            return []
        for sequence in due[: max(0, len(self._sent) - MOST_UNANSWERED)]:
            del self._sent[sequence]
        again = [(each, self._sent[each].live) for each in due if each in self._sent]
        flying = sum(not sent.live for sent in self._sent.values()) - sum(
            not live for _, live in again
        )
        since_s, skip = live_from_s(self._clock.now_ms()), list(self._sent)
        new = await self._outbox.sendable(since_s, True, skip, room)
        most = max(0, min(room - len(new), BACKLOG_SHARE - flying))
        old = await self._outbox.sendable(since_s, False, skip, most)
        return [*((each, True) for each in new), *((each, False) for each in old), *again][:room]

    async def _publish(self, sequence: int, live: bool) -> None:
        batch = await self._outbox.batch(sequence)
        if batch is None:
            self._sent.pop(sequence, None)
            return
        before = self._sent.get(sequence)
        wait_s = FIRST_RESEND_S if before is None else min(2 * before.wait_s, MOST_RESEND_S)
        info = self._client.publish(
            self._batch_topic,
            batch.encoded,
            QOS,
            properties=_batch_properties(self._receipts.known_set),
        )
        held = info.rc != mqtt.MQTT_ERR_QUEUE_SIZE
        self._sent[sequence] = _Sent(live, self._loop.time() + wait_s, wait_s, held)
        if held:
            self._by_mid[info.mid] = sequence


def tls_context(config: MqttConfig) -> ssl.SSLContext:
    """Trust the broker's CA only, and show the gateway's certificate."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(config.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(config.certificate), str(config.key))
    return context


def _status(state: str) -> bytes:
    return json.dumps({"state": state}).encode()


def _session_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return properties


def _batch_properties(known_set: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/cbor"
    properties.UserProperty = (KNOWN_SET, str(known_set))
    return properties
