"""Doctor names each trouble and its cure: certificates, broker, disk, spool."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from structlog.testing import capture_logs

from gateway import config, service
from gateway.config import GatewayConfig
from gateway.delivery.relay import ENDED, NOT_REACHED, Relay
from gateway.delivery.spool_file import SCHEMA
from gateway.operation import doctor
from gateway.operation.own import AnotherGateway, ask_own
from gateway.operation.symptoms import Finding, disk_finding
from gateway.registered import registration
from gridwitness import certificates
from gridwitness.addresses import free_ports
from gridwitness.broker import Broker
from gridwitness.network import Network, make_network
from gridwitness.network_commands import GATEWAY, synthetic_plan
from gridwitness.plan import Address
from hsm.rotation import open_standing
from hsm.uri import KeyUri
from wire.errors import Unavailable
from wire.genesis import Genesis


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    plan = synthetic_plan("test", 1)
    plan = replace(plan, broker=Address("127.0.0.1", free_ports(1)[0]))
    return make_network(tmp_path_factory.mktemp("network") / "here", plan)


@pytest.fixture(scope="module")
def broker(network: Network) -> Iterator[Broker]:
    broker = Broker(network.broker)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def settings(network: Network, tmp_path: Path) -> GatewayConfig:
    """A gateway whose certificate and spool are its own, to be spoilt."""
    found = config.load(network.gateway(GATEWAY))
    mqtt = replace(found.mqtt, certificate=tmp_path / "mqtt.pem", key=tmp_path / "mqtt.key")
    for mine, theirs in ((mqtt.certificate, found.mqtt.certificate), (mqtt.key, found.mqtt.key)):
        mine.write_bytes(theirs.read_bytes())
    return replace(found, mqtt=mqtt, spool=tmp_path / "spool.sqlite")


def authority(network: Network) -> certificates.Credential:
    folder = network.folder / "ca"
    key: Any = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    return certificates.Credential(
        x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()), key
    )


def give(settings: GatewayConfig, made: certificates.Credential) -> None:
    settings.mqtt.key.unlink()
    made.write(settings.mqtt.certificate, settings.mqtt.key)


def said(check: Callable[[GatewayConfig], str], settings: GatewayConfig) -> str:
    """What is wrong, in words; empty when nothing is."""
    try:
        check(settings)
    except (Unavailable, OSError) as reason:
        return str(reason)
    return ""


def test_a_good_gateway_may_enter_the_broker(settings: GatewayConfig, broker: Broker) -> None:
    assert "takes our certificate and lets us subscribe" in doctor._broker(settings)
    assert "valid until" in doctor._certificate(settings)
    assert "valid until" in doctor._authority(settings)


def test_an_expired_certificate_is_seen_here_and_at_the_broker(
    settings: GatewayConfig, network: Network, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", 0)
    give(settings, certificates.issue(authority(network), GATEWAY, certificates.CLIENT))
    assert "expired on" in said(doctor._certificate, settings)
    assert "readings wait meanwhile" in said(doctor._certificate, settings)
    assert "our certificate has expired" in said(doctor._broker, settings)


def test_a_certificate_is_renewed_in_time(
    settings: GatewayConfig, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", 10)
    give(settings, certificates.issue(authority(network), GATEWAY, certificates.CLIENT))
    assert "expires in 9 days" in said(doctor._certificate, settings)


def test_a_strangers_certificate_is_told_apart(
    settings: GatewayConfig, network: Network, broker: Broker
) -> None:
    give(settings, certificates.issue(authority(network), "gw-other", certificates.CLIENT))
    assert f"its common name is not {GATEWAY}" in said(doctor._certificate, settings)
    stranger = certificates.make_ca("stranger")
    give(settings, certificates.issue(stranger, GATEWAY, certificates.CLIENT))
    assert "its authority is unknown" in said(doctor._broker, settings)


def test_a_broker_of_another_authority_or_an_expired_one_is_told(
    settings: GatewayConfig,
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificates, "CA_DAYS", 0)
    certificates.make_ca("other").write(tmp_path / "ca.pem", tmp_path / "ca.key")
    other = replace(settings, mqtt=replace(settings.mqtt, ca=tmp_path / "ca.pem"))
    assert "is not vouched for by our authority" in said(doctor._broker, other)
    assert "expired on" in said(doctor._authority, other)
    assert "everyone's certificates" in said(doctor._authority, other)


def test_a_brokers_own_expired_certificate_is_told(
    settings: GatewayConfig, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", 0)
    folder = tmp_path / "broker"
    folder.mkdir()
    port = free_ports(1)[0]
    text = (network.broker / "mosquitto.conf").read_text()
    text = text.replace(str(network.broker.resolve()), str(folder))
    text = text.replace(f"listener {settings.mqtt.port}", f"listener {port}")
    (folder / "mosquitto.conf").write_text(text)
    (folder / "data").mkdir()
    (folder / "acl").write_bytes((network.broker / "acl").read_bytes())
    (folder / "acl").chmod(0o600)
    made = certificates.issue(authority(network), "127.0.0.1", certificates.SERVER)
    made.write(folder / "server.pem", folder / "server.key")
    broker = Broker(folder)
    broker.start()
    try:
        there = replace(settings, mqtt=replace(settings.mqtt, port=port))
        assert "the broker's certificate has expired" in said(doctor._broker, there)
    finally:
        broker.stop()


def test_a_port_where_no_broker_is_is_told(settings: GatewayConfig) -> None:
    nobody = replace(settings, mqtt=replace(settings.mqtt, port=free_ports(1)[0]))
    assert "is Mosquitto running there?" in said(doctor._broker, nobody)


@pytest.mark.parametrize(
    ("used", "alarm", "full", "words"),
    [
        (79, 0, False, "79 % full"),
        (80, 80, False, "make room soon"),
        (91, 90, False, "make room soon"),
        (96, 95, False, "make room now"),
        (100, 95, True, "FULL. New readings wait and nothing is dropped"),
    ],
)
def test_each_mark_of_the_disk_has_its_words(used: int, alarm: int, full: bool, words: str) -> None:
    finding = disk_finding(used, 5, alarm, full)
    assert words in finding.words
    assert finding.good == (alarm == 0 and not full)


def test_a_damaged_spool_and_a_file_moved_aside_are_told(settings: GatewayConfig) -> None:
    assert "none yet" in doctor._spool(settings)
    with closing(sqlite3.connect(settings.spool)) as database:
        database.executescript(SCHEMA)
    assert doctor._spool(settings) == "whole; 0 readings without a receipt"
    settings.spool.write_bytes(b"\0" * 8_192)
    assert "the next start moves it aside and rebuilds it" in said(doctor._spool, settings)
    aside = settings.spool.with_name("spool.sqlite.damaged-123")
    settings.spool.rename(aside)
    assert aside.name in said(doctor._aside, settings)
    assert "mostly a damaged disk" in said(doctor._aside, settings)


def test_a_gateway_that_does_not_run_is_told_unless_it_never_did(settings: GatewayConfig) -> None:
    def nobody(_: Any) -> Any:
        raise Unavailable("no gateway answers")

    assert doctor._running(settings, nobody) == [Finding("gateway", True, "was never started here")]
    settings.spool.touch()
    [finding] = doctor._running(settings, nobody)
    assert not finding.good
    assert "nothing is polled" in finding.words


def test_nobody_speaks_for_another_ones_gateway(settings: GatewayConfig) -> None:
    network = Genesis.load(settings.genesis).topic_name
    own = {"gateway": settings.id, "network": network, "spool": str(settings.spool)}
    assert ask_own(settings, lambda _: own) is own
    for other in ({"gateway": "gw-x"}, {"network": "x-1"}, {"spool": "/elsewhere/spool.sqlite"}):
        found = own | other
        [finding] = doctor._running(settings, lambda _, said=found: said)  # type: ignore[misc]
        assert (finding.what, finding.good) == ("gateway", False)
        where = f"{settings.status.host}:{settings.status.port}"
        assert f"another gateway answers at {where}" in finding.words
        assert next(iter(other.values())) in finding.words
        with pytest.raises(AnotherGateway):
            ask_own(settings, lambda _, said=found: said)  # type: ignore[misc]
    [_, refused] = doctor.examine_running(settings.status, "bad", "gw-y", lambda _: own)
    assert "not gw-y" in refused.words


def test_a_serial_port_that_is_away_or_closed_to_us_is_told(
    settings: GatewayConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(port: Path) -> GatewayConfig:
        return replace(settings, buses=(replace(settings.buses[0], port=str(port)),))

    assert "is the adapter plugged in?" in said(doctor._lines, on(tmp_path / "ttyUSB0"))
    port = tmp_path / "port"
    port.touch()
    monkeypatch.setattr("gateway.operation.doctor.os.access", lambda *_: False)
    assert "add the user to group dialout" in said(doctor._lines, on(port))


def test_keys_of_another_network_are_told_by_doctor_and_at_the_start(
    settings: GatewayConfig,
) -> None:
    assert "are the registered ones" in doctor._token(settings)
    token = settings.token
    wrong = replace(settings, token=replace(token, witness=token.reader, reader=token.witness))
    assert "or the genesis file is another network's" in said(doctor._token, wrong)
    found = registration(settings, Genesis.load(settings.genesis))
    uri = KeyUri.parse(token.reader, token.folder)
    signer = open_standing([uri], token.softhsm2_conf, found.witness_key)
    with capture_logs() as logs:
        asyncio.run(service.confirm_keys({"witness": signer}))
    signer.close()
    [log] = logs
    assert (log["log_level"], log["key"]) == ("error", "witness")
    assert log["event"] == service.NOT_REGISTERED
    assert found.witness_key.kid.hex() in log["reason"]


def test_a_broker_whose_name_nobody_knows_is_told(settings: GatewayConfig) -> None:
    lost = replace(settings, mqtt=replace(settings.mqtt, host="broker.invalid"))
    assert "is the name right, does DNS answer?" in said(doctor._broker, lost)


def test_the_relays_log_says_why_there_is_no_connection_and_says_it_once(
    settings: GatewayConfig,
) -> None:
    relay = Relay("gw", "net", settings.mqtt, cast(Any, None), cast(Any, None), cast(Any, None))
    relay._woken = asyncio.Event()
    with capture_logs() as logs:
        for _ in range(2):
            relay._lost("Unspecified error")
        relay._set_broker("connected")
        relay._lost("Unspecified error")
        relay._set_broker("away")
        relay._lost(NOT_REACHED)
    assert [log["reason"] for log in logs] == [ENDED, "the connection was lost", NOT_REACHED]
    assert "our certificate has expired" in ENDED
