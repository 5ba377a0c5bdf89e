import json
import ssl
import stat
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway import config as gateway_config
from gridwitness import cli
from gridwitness.addresses import free_ports
from gridwitness.network import Network, NetworkExists, make_network
from gridwitness.network_commands import synthetic_plan
from gridwitness.plan import Address
from hsm import filekey
from hsm.signer import open_signer
from hsm.uri import KeyUri
from validator import config as validator_config
from validator.app.application import Application
from validator.node.peers import load_peers
from wire.keys import PublicKey
from wire.peer import peer_message


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    plan = synthetic_plan("test", 4)
    plan = replace(plan, broker=Address("127.0.0.1", free_ports(1)[0]))
    return make_network(tmp_path_factory.mktemp("network") / "here", plan)


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def test_a_folder_that_holds_something_is_never_written_into(network: Network) -> None:
    before = network.genesis_path.read_bytes()
    with pytest.raises(NetworkExists):
        make_network(network.folder, synthetic_plan("test", 4))
    assert network.genesis_path.read_bytes() == before


def test_secrets_are_readable_by_their_owner_only(network: Network) -> None:
    names = {"ca.key", "server.key", "tls.key", "mqtt.key", "key.pem", "passphrase", "pin"}
    secrets = [path for path in network.folder.rglob("*") if path.name in names]
    assert {path.name for path in secrets} == names
    assert [path for path in secrets if stat.S_IMODE(path.stat().st_mode) != 0o600] == []


def test_each_path_in_a_configuration_leads_to_a_file(network: Network) -> None:
    files = [*network.folder.glob("validators/*/*.toml"), *network.folder.glob("gateways/*/*.toml")]
    assert len(files) == 5
    for file in files:
        content = toml(file)
        named = {key: content.get(key, "") for key in ("genesis", "peers", "key", "tls_key")}
        named |= {key: content["mqtt"][key] for key in ("ca", "certificate", "key")}
        assert [name for name in named.values() if not (file.parent / name).exists()] == []


def test_the_genesis_names_the_keys_that_lie_in_the_folder(network: Network) -> None:
    for name, public in network.genesis.validators.members:
        home = network.validator(name).parent
        assert filekey.load(home / "key.pem", (home / "passphrase").read_bytes()).public == public


def test_a_technician_and_the_operator_sign_with_their_registered_keys(network: Network) -> None:
    registry = Application(network.genesis).registries.base
    operator = registry.zones["z1"].operator
    assert registry.technicians["tech-1"].operator == operator
    for path, public in (
        (network.technician("tech-1"), registry.technicians["tech-1"].key),
        (network.authority(operator), registry.authorities[operator].key),
    ):
        assert filekey.load(path, (path.parent / "passphrase").read_bytes()).public == public


def test_a_gateways_token_signs_with_its_registered_keys(network: Network) -> None:
    [entry] = network.genesis.registry["gateways"]
    home = network.gateway(entry["id"]).parent
    token = toml(home / "gateway.toml")["token"]
    for role in ("witness", "reader"):
        pinned = PublicKey.from_text(entry[f"{role}_key"])
        signer = open_signer(KeyUri.parse(token[role], home), home / "softhsm2.conf", pinned)
        try:
            pinned.verify(b"a batch", signer.sign(b"a batch"))
        finally:
            signer.close()


def test_each_address_record_is_signed_by_its_validator(network: Network) -> None:
    keys = dict(network.genesis.validators.members)
    records = json.loads((network.folder / "peers.json").read_text())
    assert sorted(record["id"] for record in records) == list(keys)
    for record in records:
        certificate = ssl.PEM_cert_to_DER_cert(record["certificate"])
        message = peer_message(
            network.genesis.network,
            record["id"],
            record["address"],
            certificate,
            record["expires_s"],
        )
        keys[record["id"]].verify(message, bytes.fromhex(record["signature"]))


def test_the_validators_application_accepts_the_genesis(network: Network) -> None:
    registry = Application(network.genesis).registries.base
    assert set(registry.gateways) == {"gw-north"}
    assert len(registry.meters) == 4


def test_the_gateway_accepts_its_configuration(network: Network) -> None:
    found = gateway_config.load(network.gateway("gw-north"))
    assert [meter.template for bus in found.buses for meter in bus.meters] == [
        "eastron-sdm630",
        *["eastron-sdm120"] * 3,
    ]


def test_each_validator_accepts_its_configuration_and_its_peers(network: Network) -> None:
    for name, _ in network.genesis.validators.members:
        found = validator_config.load(network.validator(name))
        assert found.id == name
        assert found.peers is not None
        assert len(load_peers(found.peers, network.genesis, int(time.time()))) == 4


def test_a_certificate_serves_one_purpose(network: Network) -> None:
    usages = {}
    for name in ("broker/server.pem", "gateways/gw-north/mqtt.pem", "validators/val-mea/tls.pem"):
        certificate = x509.load_pem_x509_certificate((network.folder / name).read_bytes())
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usages[name] = [each._name for each in usage]
    assert list(usages.values()) == [
        ["serverAuth"],
        ["clientAuth"],
        ["serverAuth", "clientAuth"],
    ]


def test_a_network_to_try_shows_its_readings_to_anybody_only_when_that_is_asked_for() -> None:
    assert synthetic_plan("test", 4, open_readings=True).parameters["open_readings"] == 1
    assert "open_readings" not in synthetic_plan("test", 4).parameters


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "a b"), "--name: not an identifier of 1 to 20 letters"),
        (("--name", "n" * 21), "--name: not an identifier"),
        (("--validators", "3"), "--validators is 4 to 100"),
    ],
)
def test_what_no_network_can_be_is_refused_before_anything_is_made(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "net"
    assert cli.main(["network", "init", "--dir", str(folder), *words]) != 0
    assert said in capsys.readouterr().err
    assert not folder.exists()
