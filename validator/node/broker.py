"""A validator's connection to the broker: batches arrive, answers go out.

Connects and comes back by itself. What arrived waits in `inbox`; what a message is worth is decided
in `ingest`.
"""

import asyncio
import contextlib
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from validator.node.inbox import Inbox
from validator.node.ingest import MOST_WAITING, MOST_WAITING_BYTES
from wire.answer import known_set

SESSION_EXPIRY_S = 7 * 24 * 3_600
KEEPALIVE_S = 15
MOST_GATEWAYS = 10_000
"""So many gateways' words are kept, the newest; who is forgotten is told every change again."""

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
        self.arrived = Inbox(MOST_WAITING, MOST_WAITING_BYTES)
        self.connected = False
        self._known: OrderedDict[str, int] = OrderedDict()
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

    def knows(self, gateway: str) -> int:
        """What a gateway's newest message said: from where on the set seals that it knows."""
        return self._known.get(gateway, 0)

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
            # What finds no place its gateway sends again, when no receipt comes.
            said = getattr(message.properties, "UserProperty", ())
            self._loop.call_soon_threadsafe(
                self._take, message.topic, bytes(message.payload), known_set(said)
            )

    def _take(self, topic: str, payload: bytes, known: int) -> None:
        gateway = topic.rpartition("/")[2]
        self._known[gateway] = known
        self._known.move_to_end(gateway)
        if len(self._known) > MOST_GATEWAYS:
            self._known.popitem(last=False)
        self.arrived.put(topic, payload)
