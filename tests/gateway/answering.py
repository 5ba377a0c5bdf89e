"""All validators of a network in one MQTT client, for tests of a gateway."""

from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway import config
from gateway.delivery.relay import tls_context
from gridwitness.network import Network
from gridwitness.network_commands import GATEWAY
from hsm import filekey
from tests.gateway.authorities import Authorities
from wire.keys import SoftSigner
from wire.reading import SignedReading
from wire.witness import Batch


class Validators:
    """All validators in one MQTT client: remembers batches, answers when told to."""

    def __init__(self, network: Network, broker_port: int) -> None:
        keys = {}
        for name, _ in network.genesis.validators.members:
            home = network.validator(name).parent
            keys[name] = filekey.load(home / "key.pem", (home / "passphrase").read_bytes())
        soft = {name: key for name, key in keys.items() if isinstance(key, SoftSigner)}
        self.authorities = Authorities(network.genesis, soft)
        self.batches: list[Batch] = []
        self.answering = True
        self._port = broker_port
        self._base = f"gridwitness/1/{network.genesis.topic_name}"
        home = network.validator(next(iter(keys))).parent
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=next(iter(keys)), protocol=mqtt.MQTTv5
        )
        mqtt_config = config.MqttConfig(
            "127.0.0.1",
            broker_port,
            network.folder / "ca/ca.pem",
            home / "mqtt.pem",
            home / "mqtt.key",
        )
        self._client.tls_set_context(tls_context(mqtt_config))
        self._client.on_connect = self._connected
        self._client.on_message = self._message

    def __enter__(self) -> "Validators":
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{self._base}/batch/+", 1)

    def _message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        batch = Batch.open(bytes(message.payload))
        self.batches.append(batch)
        if self.answering:
            self.answer(self.authorities.receipt(batch))

    def answer(self, message: bytes) -> None:
        self._client.publish(f"{self._base}/receipt/{GATEWAY}", message, 1)

    def readings(self) -> dict[tuple[str, int], set[bytes]]:
        """Contents that were witnessed, by meter and sequence."""
        found: dict[tuple[str, int], set[bytes]] = {}
        for batch in self.batches:
            for encoded in batch.readings:
                signed = SignedReading.open(encoded)
                place = (signed.reading.meter, signed.reading.sequence)
                found.setdefault(place, set()).add(signed.sig_hash)
        return found
