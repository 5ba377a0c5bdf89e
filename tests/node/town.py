"""A whole network for the node's tests: the village's registry, real validators, a real broker.

Validators are processes on loopback; the gateway is a client of the broker that witnesses the
village's readings with a key in memory.
"""

import hashlib
import http.client
import itertools
import json
import queue
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gridwitness import certificates
from gridwitness.addresses import free_ports
from gridwitness.broker import Broker, write_access, write_broker
from gridwitness.configuration import toml
from hsm import filekey
from hwsim.scaled_clock import Pacer
from tests.app.enrolments import with_technician
from tests.app.village import Village, block_ms
from validator.node.store import Store
from wire.answer import KNOWN_SET, BatchReceipt, Refusal, open_answer
from wire.genesis import Genesis
from wire.keys import EDDSA
from wire.light import LightClient
from wire.peer import peer_message
from wire.results import REASONS
from wire.witness import Batch

GATEWAY = "gw-a"
WAIT_S = 90.0
LOOK_S = 0.05
COMMAND = (sys.executable, "-m", "gridwitness.cli", "validator")
PARAMETERS = {
    "class_k_num": 4,
    "class_k_den": 1,
    "deadline_intervals": 1_000_000,
    "acceptance_window_s": 1_000_000_000,
    "block_interval_ms": 100,
    "empty_block_interval_ms": 1_500,
    "round_timeout_ms": 1_000,
    "round_timeout_cap_ms": 4_000,
    "block_precision_ms": 500,
    "block_delay_ms": 2_000,
    "open_readings": True,
}


def wait_for(what: str, holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
    """Look again and again until it holds; the bound is for a broken network only."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(LOOK_S)


class Town:
    """The network's folder, its broker and its validators."""

    def __init__(
        self, folder: Path, count: int = 4, *, paced: bool = False, **parameters: int
    ) -> None:
        self.folder = folder
        self.pace = folder / "pace" if paced else None
        self.names = [f"val-{number}" for number in range(1, count + 1)]
        ports = free_ports(2 * count + 1)
        self.peer_ports = dict(zip(self.names, ports[:count], strict=True))
        self.api_ports = dict(zip(self.names, ports[count : 2 * count], strict=True))
        self.ca = certificates.make_ca("town CA")
        self.ca.write(folder / "ca.pem", folder / "ca.key")
        self.village = Village(lambda content: self._found(content, parameters))
        self.genesis: Genesis = self.village.genesis
        self._write_peers()
        self.broker = self._make_broker(ports[-1])
        for name in self.names:
            self._configure(name)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.slots = itertools.count()

    def home(self, name: str) -> Path:
        return self.folder / name

    def config_path(self, name: str) -> Path:
        return self.home(name) / "validator.toml"

    def _found(self, content: dict[str, Any], parameters: dict[str, int]) -> None:
        """Make the validators' keys and write the genesis file."""
        validators = []
        for name in self.names:
            self.home(name).mkdir()
            (self.home(name) / "passphrase").write_bytes(b"for the test")
            public = filekey.create(self.home(name) / "key.pem", EDDSA, b"for the test")
            validators.append({"id": name, "authority": "PEA", "key": public.text})
        paced = self.pace is not None
        changes = {"name": "town", "paced_time": paced, "validators": validators}
        content.update(changes, parameters=PARAMETERS | parameters)
        with_technician(content)
        (self.folder / "genesis.json").write_text(json.dumps(content))

    def _write_peers(self) -> None:
        records = []
        for name in self.names:
            shown = certificates.self_signed(name)
            shown.write(self.home(name) / "tls.pem", self.home(name) / "tls.key")
            address, expires_s = f"127.0.0.1:{self.peer_ports[name]}", int(time.time()) + 3_600
            der = certificates.der(shown.pem)
            message = peer_message(self.genesis.network, name, address, der, expires_s)
            signature = filekey.load(self.home(name) / "key.pem", b"for the test").sign(message)
            record = {"id": name, "address": address, "certificate": shown.pem.decode()}
            records.append(record | {"expires_s": expires_s, "signature": signature.hex()})
        (self.folder / "peers.json").write_text(json.dumps(records))

    def _make_broker(self, port: int) -> Broker:
        home = self.folder / "broker"
        home.mkdir()
        server = certificates.issue(self.ca, "127.0.0.1", certificates.SERVER)
        server.write(home / "server.pem", home / "server.key")
        write_broker(home, ("127.0.0.1", port), self.folder / "ca.pem")
        write_access(home, self.genesis.topic_name, self.names)
        return Broker(home)

    def _configure(self, name: str) -> None:
        client = certificates.issue(self.ca, name, certificates.CLIENT)
        client.write(self.home(name) / "mqtt.pem", self.home(name) / "mqtt.key")
        content = {
            "id": name,
            "genesis": "../genesis.json",
            "peers": "../peers.json",
            "data": "data",
            "key": "key.pem",
            "passphrase_file": "passphrase",
            "tls_certificate": "tls.pem",
            "tls_key": "tls.key",
            "listen": f"127.0.0.1:{self.peer_ports[name]}",
            "api": f"127.0.0.1:{self.api_ports[name]}",
            "paced_time_file": "../pace" if self.pace else "",
            "mqtt": {
                "host": "127.0.0.1",
                "port": self.broker.port,
                "ca": "../ca.pem",
                "certificate": "mqtt.pem",
                "key": "mqtt.key",
            },
        }
        self.config_path(name).write_text(toml(content))

    # Life.

    def stand(self, slot: int) -> None:
        """Let paced time stand ten seconds after the end of an interval."""
        assert self.pace is not None
        Pacer(self.pace, block_ms(slot)).close()

    def start(self, *names: str) -> None:
        """Start validators and wait until their pages answer."""
        for name in names or self.names:
            with (self.home(name) / "log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "gridwitness.cli",
                        "validator",
                        "run",
                        str(self.config_path(name)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        for name in names or self.names:
            wait_for(f"{name} answers", lambda name=name: self.answers(name))  # type: ignore[misc]

    def kill(self, name: str) -> None:
        """End a validator as a power cut would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        """End a validator in order; returns its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(WAIT_S)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.broker.stop()

    # Looking at it.

    def get(self, name: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.api_ports[name], timeout=WAIT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(
        self, name: str, path: str, body: bytes, kind: str = "application/cbor"
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.api_ports[name], timeout=WAIT_S)
        try:
            connection.request("POST", path, body, {"Content-Type": kind})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def answers(self, name: str) -> bool:
        process = self.processes[name]
        assert process.poll() is None, (self.home(name) / "log").read_text()[-2_000:]
        try:
            return self.get(name, "/healthz")[0] == 200
        except OSError:
            return False

    def status(self, name: str) -> dict[str, Any]:
        status, body = self.get(name, "/api/v1/status")
        assert status == 200, body
        report: dict[str, Any] = json.loads(body)
        return report

    def heights(self) -> list[int]:
        return [self.status(name)["height"] for name in self.processes]

    def log(self, name: str) -> str:
        return (self.home(name) / "log").read_text()

    def ledgers(self, height: int) -> set[bytes]:
        """What each validator's file holds up to a height: one element when all agree."""
        return {self._ledger(name, height) for name in self.names}

    def _ledger(self, name: str, height: int) -> bytes:
        store = Store(self.home(name) / "data" / "ledger.sqlite")
        try:
            blocks = [store.block(each) for each in range(1, height + 1)]
            encoded = [each.block.encoded for each in blocks if each is not None]
            assert len(encoded) == height
            return hashlib.sha256(b"".join(encoded)).digest()
        finally:
            store.close()


class GatewayClient:
    """The village's gateway at the broker."""

    def __init__(self, town: Town, name: str = GATEWAY) -> None:
        self.town = town
        self.name = name
        certificate, key = town.folder / f"{name}.pem", town.folder / f"{name}.key"
        if not certificate.exists():
            certificates.issue(town.ca, name, certificates.CLIENT).write(certificate, key)
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._ready: queue.Queue[None] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        self._client.tls_set(str(town.folder / "ca.pem"), str(certificate), str(key))
        self._client.on_connect = lambda *_: self._ready.put(None)
        self._client.on_subscribe = lambda *_: self._ready.put(None)
        self._client.on_message = lambda _c, _u, message: self._answers.put(bytes(message.payload))
        self._client.connect("127.0.0.1", town.broker.port)
        self._client.loop_start()
        self._ready.get(timeout=WAIT_S)
        self._client.subscribe(self._topic("receipt"), 1)
        self._ready.get(timeout=WAIT_S)

    def _topic(self, kind: str) -> str:
        return f"gridwitness/1/{self.town.genesis.topic_name}/{kind}/{self.name}"

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, payload: bytes, known: int | None = None) -> None:
        """Publish a batch, and which set of validators is known already."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if known is not None:
            properties.UserProperty = (KNOWN_SET, str(known))
        sent = self._client.publish(self._topic("batch"), payload, 1, properties=properties)
        sent.wait_for_publish(WAIT_S)

    def answer(self, batch_id: bytes) -> BatchReceipt | Refusal:
        """The next answer for that batch."""
        genesis = self.town.genesis
        while True:
            message = self._answers.get(timeout=WAIT_S)
            found = open_answer(message, LightClient.of(genesis))
            if found.batch_id == batch_id:
                return found

    def settle(self, batch: Batch) -> list[str]:
        """Send a batch until a receipt verifies; returns the names of the readings' reasons."""
        self.send(batch.encoded)
        receipt = self.answer(batch.batch_id)
        assert isinstance(receipt, BatchReceipt), receipt
        client = LightClient(self.town.genesis.network, self.town.genesis.validators)
        results = receipt.verify(client, batch.witness, batch.readings)
        return [REASONS[result.code].name for result in results]

    def interval(self, *meters: str) -> Batch:
        """The next interval closes; gw-a witnesses the readings of these meters, or of all."""
        slot = next(self.town.slots)
        closed = self.town.village.close(slot)
        return self.town.village.batch([closed[name] for name in meters or closed], slot)
