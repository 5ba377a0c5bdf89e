"""Whether the broker can be reached, believes the gateway, and lets it in: step by step.

Enters as a client of another name than the running gateway, whose session it must not take over,
and subscribes to the gateway's receipts; publishes nothing.
"""

import queue
import socket
import ssl
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.config import MqttConfig
from gateway.delivery.relay import ENDED, tls_context
from wire.errors import Unavailable

_TIMEOUT_S = 5.0
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, (62, 64)
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""


def broker_words(gateway: str, network: str, config: MqttConfig) -> str:
    """Say how the broker was entered; raises Unavailable with the step that failed.

    Args:
        gateway: the gateway's id.
        network: the network's topic name.
        config: where the broker is, and with what it is entered.
    """
    where = f"{config.host}:{config.port}"
    try:
        context = tls_context(config)
    except ssl.SSLError as reason:
        raise Unavailable(f"certificate and key do not belong together: {reason}") from None
    try:
        with (
            socket.create_connection((config.host, config.port), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=config.host) as tls,
        ):
            version = tls.version()
    except ssl.SSLCertVerificationError as reason:
        raise Unavailable(f"the broker's certificate {_fault(reason)}") from None
    except ssl.SSLError as reason:
        raise Unavailable(f"{where} does not speak our TLS: {reason}") from None
    except socket.gaierror as reason:
        raise Unavailable(
            f"{config.host} is not found ({reason.strerror}): is the name right, does DNS answer?"
        ) from None
    except OSError as reason:
        raise Unavailable(
            f"{where} does not answer ({reason}): is Mosquitto running there?"
        ) from None
    _enter(gateway, f"gridwitness/1/{network}/receipt/{gateway}", config, context)
    return f"{where} answers with {version}, takes our certificate and lets us subscribe"


def _fault(reason: ssl.SSLCertVerificationError) -> str:
    if reason.verify_code == _EXPIRED:
        return "has expired: whoever runs the broker must renew it; readings wait meanwhile"
    if reason.verify_code == _NOT_YET:
        return "is not valid yet: is this machine's clock right?"
    if reason.verify_code in _OTHER_NAME:
        return "is for another name than the configuration's host"
    return f"is not vouched for by our authority ({reason.verify_message}): is `ca` the network's?"


def _enter(gateway: str, topic: str, config: MqttConfig, context: ssl.SSLContext) -> None:
    """Connect and subscribe: only now a broker says what it thinks of a client's certificate."""
    said: queue.Queue[str] = queue.Queue()
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{gateway}-doctor", protocol=mqtt.MQTTv5
    )
    client.tls_set_context(context)

    def connected(
        client: mqtt.Client, _data: object, _flags: object, code: object, _: object
    ) -> None:
        if getattr(code, "is_failure", True):
            said.put(f"it refuses our connection ({code})")
        else:
            client.subscribe(topic, 1)

    def subscribed(_client: Any, _data: Any, _mid: int, codes: list[Any], _properties: Any) -> None:
        refused = [str(code) for code in codes if getattr(code, "is_failure", True)]
        said.put(f"it refuses to show our receipts ({refused[0]})" if refused else "")

    def ended(*_: object) -> None:
        said.put(ENDED)

    client.on_connect = connected
    client.on_subscribe = subscribed
    client.on_disconnect = ended
    try:
        client.connect(config.host, config.port)
        client.loop_start()
        words = said.get(timeout=_TIMEOUT_S)
    except (OSError, queue.Empty) as reason:
        words = f"it does not answer as a broker ({reason or 'nothing comes'})"
    finally:
        client.disconnect()
        client.loop_stop()
    if words:
        raise Unavailable(f"{config.host}:{config.port} is there, but {words}")
