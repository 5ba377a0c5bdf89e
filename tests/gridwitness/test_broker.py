import queue
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from gridwitness import certificates
from gridwitness.addresses import free_ports
from gridwitness.broker import Broker, write_access, write_broker

NETWORK = "test-01234567"
BATCHES = f"gridwitness/1/{NETWORK}/batch"
RECEIPTS = f"gridwitness/1/{NETWORK}/receipt"
WAIT_S = 10

Join = Callable[[str], "Member"]


class Member:
    """A client of the broker with its own certificate."""

    def __init__(self, name: str, ca: certificates.Credential, folder: Path, broker: Broker):
        certificates.issue(ca, name, certificates.CLIENT).write(
            folder / f"{name}.pem", folder / f"{name}.key"
        )
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._acknowledged: queue.Queue[None] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        self._client.tls_set(
            str(folder / "ca.pem"), str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        )
        self._client.on_connect = lambda *_: self._acknowledged.put(None)
        self._client.on_subscribe = lambda *_: self._acknowledged.put(None)
        self._client.on_message = lambda _c, _u, message: self.heard.put(
            (message.topic, bytes(message.payload))
        )
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._acknowledged.get(timeout=WAIT_S)

    def listen(self, topic: str) -> None:
        self._client.subscribe(topic, options=SubscribeOptions(qos=1))
        self._acknowledged.get(timeout=WAIT_S)

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def ca() -> certificates.Credential:
    return certificates.make_ca("test CA")


@pytest.fixture
def broker(tmp_path: Path, ca: certificates.Credential) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    ca.write(tmp_path / "ca.pem", tmp_path / "ca.key")
    server = certificates.issue(ca, "127.0.0.1", certificates.SERVER)
    server.write(folder / "server.pem", folder / "server.key")
    write_broker(folder, ("127.0.0.1", free_ports(1)[0]), tmp_path / "ca.pem")
    write_access(folder, NETWORK, ["val-egat", "val-mea"])
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def join(tmp_path: Path, ca: certificates.Credential, broker: Broker) -> Iterator[Join]:
    with ExitStack() as members:

        def enter(name: str) -> Member:
            member = Member(name, ca, tmp_path, broker)
            members.callback(member.leave)
            return member

        yield enter


def test_a_gateway_writes_its_own_batches_and_no_other(join: Join) -> None:
    gateway, validator = join("gw-north"), join("val-egat")
    validator.listen(f"{BATCHES}/+")
    gateway.say(f"{BATCHES}/gw-south", b"forged")
    gateway.say(f"{BATCHES}/gw-north", b"own")
    assert validator.heard.get(timeout=WAIT_S) == (f"{BATCHES}/gw-north", b"own")


def test_a_gateway_hears_its_own_receipts_and_no_others(join: Join) -> None:
    gateway, validator = join("gw-north"), join("val-mea")
    gateway.listen(f"{RECEIPTS}/+")
    validator.say(f"{RECEIPTS}/gw-south", b"of another")
    validator.say(f"{RECEIPTS}/gw-north", b"own")
    assert gateway.heard.get(timeout=WAIT_S) == (f"{RECEIPTS}/gw-north", b"own")


def test_a_gateway_cannot_answer_in_a_validators_place(join: Join) -> None:
    gateway, liar, validator = join("gw-north"), join("gw-south"), join("val-egat")
    gateway.listen(f"{RECEIPTS}/gw-north")
    liar.say(f"{RECEIPTS}/gw-north", b"forged")
    validator.say(f"{RECEIPTS}/gw-north", b"true")
    assert gateway.heard.get(timeout=WAIT_S) == (f"{RECEIPTS}/gw-north", b"true")


def test_a_client_without_a_certificate_is_refused(broker: Broker, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with (
        socket.create_connection((broker.host, broker.port), timeout=WAIT_S) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        # In TLS 1.3 the refusal comes after the client believes that the handshake is over.
        secure.recv(1)


def test_a_client_of_another_ca_is_refused(broker: Broker, tmp_path: Path) -> None:
    stranger = certificates.issue(certificates.make_ca("test CA"), "gw-north", certificates.CLIENT)
    stranger.write(tmp_path / "stranger.pem", tmp_path / "stranger.key")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "stranger.pem", tmp_path / "stranger.key")
    with (
        socket.create_connection((broker.host, broker.port), timeout=WAIT_S) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.recv(1)


def test_garbage_on_the_port_disturbs_nobody(broker: Broker, join: Join) -> None:
    with socket.create_connection((broker.host, broker.port), timeout=WAIT_S) as plain:
        plain.sendall(bytes(range(256)) * 4)
    gateway, validator = join("gw-north"), join("val-egat")
    validator.listen(f"{BATCHES}/+")
    gateway.say(f"{BATCHES}/gw-north", b"own")
    assert validator.heard.get(timeout=WAIT_S)[1] == b"own"


def test_a_killed_broker_comes_back_on_its_port(broker: Broker, join: Join) -> None:
    first = broker.pid
    broker.kill()
    broker.start()
    assert broker.pid != first
    join("gw-north")


def test_validators_trust_a_peers_own_certificate(tmp_path: Path) -> None:
    contexts = {}
    for purpose, protocol in (
        ("server", ssl.PROTOCOL_TLS_SERVER),
        ("client", ssl.PROTOCOL_TLS_CLIENT),
    ):
        certificates.self_signed(f"val-{purpose}").write(
            tmp_path / f"{purpose}.pem", tmp_path / f"{purpose}.key"
        )
        contexts[purpose] = ssl.SSLContext(protocol)
        contexts[purpose].load_cert_chain(tmp_path / f"{purpose}.pem", tmp_path / f"{purpose}.key")
        contexts[purpose].verify_mode = ssl.CERT_REQUIRED
        contexts[purpose].verify_flags |= ssl.VERIFY_X509_STRICT
    contexts["server"].load_verify_locations(tmp_path / "client.pem")
    contexts["client"].load_verify_locations(tmp_path / "server.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts["client"].wrap_bio(to_client, to_server, server_hostname="val-server")
    server = contexts["server"].wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = server.getpeercert()
    assert shown is not None
    assert shown["subject"] == ((("commonName", "val-client"),),)
