"""Real validators, a real broker, real commands: one joins, a key is rotated, one leaves.

Receipts of all times verify from the genesis file alone, and from a checkpoint.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gridwitness import certificates, cli
from gridwitness.addresses import free_ports
from gridwitness.broker import add_access
from hsm.durable import write_new
from hsm.pkcs8 import encrypt
from tests.node.town import GatewayClient, Town, wait_for
from validator.node.store import Store
from wire.answer import BatchReceipt
from wire.witness import Batch

PASSPHRASE = b"for the test"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    try:
        town.broker.start()
        town.start()
        yield town
    finally:
        town.close()


class Office:
    """The commands that authorities and operators use."""

    def __init__(self, town: Town, capsys: pytest.CaptureFixture[str]) -> None:
        self.town = town
        self.at = ["--at", f"http://127.0.0.1:{town.api_ports['val-4']}"]
        self._capsys = capsys
        self.keys = [self._authority(name) for name in ("PEA", "MEA")]

    def _authority(self, name: str) -> Path:
        folder = self.town.folder / "authorities" / name
        folder.mkdir(parents=True)
        private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        write_new(folder / "key.pem", encrypt(plain, PASSPHRASE))
        write_new(folder / "passphrase", PASSPHRASE)
        return folder / "key.pem"

    def run(self, *arguments: str) -> dict[str, Any]:
        self._capsys.readouterr()
        status = cli.main([*arguments, "--json"])
        said = self._capsys.readouterr()
        assert status == 0, said.err
        found: dict[str, Any] = json.loads(said.out.splitlines()[-1])
        return found

    def decide(self, change: str) -> int:
        """Both authorities sign; the first height at which it holds, when all have reached it."""
        for key in self.keys:
            self.run("network", "sign", change, "--authority-key", str(key))
        told = self.run("network", "submit", change, *self.at)
        first = int(told["holds_from"])
        wait_for(f"all are at {first}", lambda: min(self.town.heights()) >= first)
        return first

    def join(self, name: str) -> str:
        """A folder for a new validator, let in by the broker; returns the change."""
        town = self.town
        town.peer_ports[name], town.api_ports[name] = free_ports(2)
        home = town.home(name)
        made = self.run(
            *("network", "join", "--dir", str(home), "--id", name, "--authority", "MEA"),
            *("--genesis", str(town.folder / "genesis.json")),
            *("--peers", str(town.folder / "peers.json")),
            *("--broker", f"127.0.0.1:{town.broker.port}"),
            *("--listen", f"127.0.0.1:{town.peer_ports[name]}"),
            *("--api", f"127.0.0.1:{town.api_ports[name]}", *self.at),
        )
        client = certificates.issue(town.ca, name, certificates.CLIENT)
        client.write(home / "mqtt.pem", home / "mqtt.key")
        (home / "ca.pem").write_bytes((town.folder / "ca.pem").read_bytes())
        add_access(town.folder / "broker", town.genesis.topic_name, name)
        town.broker.reload()
        return str(made["change"])

    def receipt(self, meter: str, sequence: int) -> Path:
        path = self.town.folder / f"{meter}-{sequence}.cbor"
        status, body = self.town.get("val-4", f"/api/v1/receipts/{meter}/{sequence}")
        assert status == 200, body
        path.write_bytes(body)
        return path


def sealers(town: Town, height: int) -> list[str]:
    page = json.loads(town.get("val-4", f"/api/v1/blocks/{height}")[1])
    return list(page["sealers"])


def votes(town: Town, name: str) -> bool:
    """Whether its seals are in blocks from now on."""
    height = town.status("val-4")["height"]
    return any(name in sealers(town, each) for each in range(max(1, height - 2), height + 1))


def same_blocks(town: Town, height: int) -> bool:
    digests = set()
    for name in [*town.names, "val-5"]:
        store = Store(town.home(name) / "data" / "ledger.sqlite")
        block = store.block(height)
        digests.add(None if block is None else block.block.digest)
        store.close()
    return len(digests) == 1 and None not in digests


def by_javascript(town: Town, *receipts: Path) -> list[bool]:
    """What the verifier in another language says; Node is not on every machine."""
    node = shutil.which("node")
    if node is None:
        return [True] * len(receipts)
    script = Path(__file__).parents[2] / "validator/explorer/verify-file.mjs"
    done = subprocess.run(
        [node, script, "--json", town.folder / "genesis.json", *receipts],
        capture_output=True,
        timeout=60,
    )
    return [json.loads(line)["verified"] for line in done.stdout.splitlines()]


def check_what_is_told(gateway: GatewayClient, batch: Batch, told: dict[int | None, int]) -> None:
    """Who asks again and says what it knows is sent so many changes, by each validator."""
    for known, changes in told.items():
        gateway.send(batch.encoded, known)
        left = len(gateway.town.processes)
        while left:
            answer = gateway.answer(batch.batch_id)
            assert isinstance(answer, BatchReceipt)
            left -= len(answer.changes) == changes


def test_receipts_verify_through_a_joining_a_rotation_and_a_leaving(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    office, gateway = Office(town, capsys), GatewayClient(town)
    assert gateway.settle(gateway.interval()) == ["accepted"] * 5
    # It starts before anybody has decided, follows nobody yet, and votes once it may.
    change = office.join("val-5")
    town.start("val-5")
    joined = office.decide(change)
    assert gateway.settle(gateway.interval()) == ["accepted"] * 5
    wait_for("the fifth seals", lambda: votes(town, "val-5"))
    # The same id, another key: the process knows both, and changes at the height.
    config = str(town.config_path("val-1"))
    rotated = str(town.folder / "val-1.gwc")
    office.run("network", "rotate", config, "--out", rotated, *office.at)
    town.stop("val-1")
    town.start("val-1")
    turned = office.decide(rotated)
    wait_for("it seals with the other key", lambda: votes(town, "val-1"))
    # One leaves: it follows, and its seal is in no block any more.
    leaving = str(town.folder / "leaving.gwc")
    key = ("--authority-key", str(office.keys[0]))
    office.run("network", "propose", "--remove", "val-2", "--out", leaving, *key, *office.at)
    left = office.decide(leaving)
    batch = gateway.interval()
    assert gateway.settle(batch) == ["accepted"] * 5
    wait_for("all go on", lambda: min(town.heights()) >= left + 2)
    assert "val-2" not in sealers(town, left + 1)
    assert {name: town.status(name)["votes"] for name in town.processes} == {
        name: name != "val-2" for name in town.processes
    }
    assert joined < turned < left
    # What any gateway or judge needs is the genesis file; or a checkpoint, for later ones.
    genesis = ("--genesis", str(town.folder / "genesis.json"))
    old, new = office.receipt("c1", 0), office.receipt("c1", 2)
    for path in (old, new):
        assert office.run("verify", str(path), *genesis)["verified"] is True
    assert by_javascript(town, old, new) == [True, True]
    checkpoint = str(town.folder / "checkpoint")
    begin = ("--height", str(left - 1), "--out", checkpoint)
    office.run("network", "checkpoint", *genesis, *begin, *office.at)
    told = office.run("verify", str(new), *genesis, "--checkpoint", checkpoint)
    assert told["rests_on"] == [["val-1", "val-3", "val-4", "val-5"]]
    assert cli.main(["verify", str(old), *genesis, "--checkpoint", checkpoint]) == 1
    assert "older than the checkpoint" in capsys.readouterr().out
    check_what_is_told(gateway, batch, {turned: 1, left: 0, None: 3})
    gateway.leave()
    height = min(town.heights())
    town.close()
    assert same_blocks(town, height)
