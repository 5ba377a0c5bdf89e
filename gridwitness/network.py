"""Makes a network's folder from its plan: keys, tokens, certificates, genesis, configuration.

Every private key is made here, where it will be used, and written readable by its owner only:
those of validators, authorities and technicians in encrypted files, gateways' inside SoftHSM
tokens, TLS keys as PEM. Meters bring theirs. What the files mean is decided by the programs that
read them. An existing folder is never written into.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gridwitness import broker, certificates
from gridwitness.configuration import toml
from gridwitness.plan import Address, Bus, GatewayPlan, NetworkPlan, ValidatorPlan
from hsm import ceremony, filekey
from hsm.durable import write_new
from hsm.uri import KeyUri
from wire.errors import Refused
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, PublicKey
from wire.peer import peer_message

PEER_RECORD_DAYS = 366


class NetworkExists(Refused):
    """The folder holds something already; keys are never overwritten."""

    code = "network-exists"


@dataclass(frozen=True, slots=True)
class Network:
    """A network's folder, and where things are in it."""

    folder: Path
    """The folder."""

    genesis: Genesis
    """What was agreed at the beginning."""

    @property
    def genesis_path(self) -> Path:
        """The genesis file."""
        return self.folder / "genesis.json"

    @property
    def broker(self) -> Path:
        """The broker's folder, as `gridwitness.broker.Broker` takes it."""
        return self.folder / "broker"

    def authority(self, name: str) -> Path:
        """An authority's key file; what opens it is `passphrase` beside it."""
        return self.folder / "authorities" / name / "key.pem"

    def technician(self, name: str) -> Path:
        """A technician's key file; what opens it is `passphrase` beside it."""
        return self.folder / "technicians" / name / "key.pem"

    def validator(self, name: str) -> Path:
        """A validator's configuration file."""
        return self.folder / "validators" / name / "validator.toml"

    def gateway(self, name: str) -> Path:
        """A gateway's configuration file."""
        return self.folder / "gateways" / name / "gateway.toml"


def make_network(
    folder: Path, plan: NetworkPlan, report: Callable[[str], None] = lambda _: None
) -> Network:
    """Make a network's folder.

    Args:
        folder: made here; refused when it exists and is not empty.
        plan: what the network is to be.
        report: told what is being made, for people who wait.

    Raises:
        NetworkExists: something is in the folder.
        Unavailable: SoftHSM is not installed.
    """
    folder = folder.resolve()
    claim(folder)
    report("certificates")
    ca = _make_certificates(folder, plan)
    authorities = [
        {**asdict(each), "key": _file_key(folder / "authorities" / each.id).text}
        for each in plan.authorities
    ]
    technicians = [
        {**asdict(each), "key": _file_key(folder / "technicians" / each.id).text}
        for each in plan.technicians
    ]
    validators = []
    for validator in plan.validators:
        report(f"validator {validator.id}")
        validators.append(_make_validator(folder, plan, validator, ca))
    gateways = []
    for gateway in plan.gateways:
        report(f"gateway {gateway.id}")
        gateways.append(_make_gateway(folder, plan, gateway, ca))
    made = {
        "authorities": authorities,
        "technicians": technicians,
        "validators": validators,
        "gateways": gateways,
    }
    (folder / "genesis.json").write_text(_json(_genesis(plan, made)))
    genesis = Genesis.load(folder / "genesis.json")
    _write_peers(folder, plan, genesis.network)
    broker.write_access(
        folder / "broker", genesis.topic_name, [each.id for each in plan.validators]
    )
    return Network(folder, genesis)


def claim(folder: Path) -> None:
    """Make a folder that is to hold keys; raises NetworkExists when something is in it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise NetworkExists(f"{folder} is not empty: give another folder, or remove it yourself")


def _make_certificates(folder: Path, plan: NetworkPlan) -> certificates.Credential:
    ca = certificates.make_ca(f"{plan.name} broker CA")
    for name in ("ca", "broker"):
        (folder / name).mkdir(mode=0o700)
    ca.write(folder / "ca" / "ca.pem", folder / "ca" / "ca.key")
    server = certificates.issue(ca, plan.broker.host, certificates.SERVER)
    server.write(folder / "broker" / "server.pem", folder / "broker" / "server.key")
    broker.write_broker(
        folder / "broker", (plan.broker.host, plan.broker.port), folder / "ca" / "ca.pem"
    )
    return ca


def _file_key(folder: Path) -> PublicKey:
    folder.mkdir(parents=True, mode=0o700)
    passphrase = secrets.token_hex(16).encode()
    write_new(folder / "passphrase", passphrase)
    return filekey.create(folder / "key.pem", EDDSA, passphrase)


def _make_validator(
    folder: Path, plan: NetworkPlan, validator: ValidatorPlan, ca: certificates.Credential
) -> dict[str, Any]:
    home = folder / "validators" / validator.id
    public = _file_key(home)
    (home / "data").mkdir(mode=0o700)
    certificates.self_signed(validator.id).write(home / "tls.pem", home / "tls.key")
    _mqtt_client(home, validator.id, ca)
    configuration = {
        "id": validator.id,
        "genesis": "../../genesis.json",
        "peers": "../../peers.json",
        "data": "data",
        "key": "key.pem",
        "passphrase_file": "passphrase",
        "tls_certificate": "tls.pem",
        "tls_key": "tls.key",
        "listen": str(validator.peers),
        "api": str(validator.api),
        "paced_time_file": str(plan.paced_time_file or ""),
        "mqtt": _mqtt(plan.broker),
    }
    (home / "validator.toml").write_text(toml(configuration))
    return {"id": validator.id, "authority": validator.authority, "key": public.text}


def _make_gateway(
    folder: Path, plan: NetworkPlan, gateway: GatewayPlan, ca: certificates.Credential
) -> dict[str, Any]:
    home = folder / "gateways" / gateway.id
    home.mkdir(parents=True, mode=0o700)
    ceremony.init_softhsm_token(home, gateway.id)
    uris = {role: _token_uri(gateway.id, role) for role in ("witness", "reader")}
    keys = {
        role: ceremony.make_key(KeyUri.parse(uri, home), ES256, home / "softhsm2.conf").text
        for role, uri in uris.items()
    }
    _mqtt_client(home, gateway.id, ca)
    configuration = {
        "id": gateway.id,
        "genesis": "../../genesis.json",
        "spool": "spool.sqlite",
        "status": str(gateway.status),
        "paced_time_file": str(plan.paced_time_file or ""),
        "token": {**uris, "softhsm2_conf": "softhsm2.conf"},
        "mqtt": _mqtt(plan.broker),
        "place": {
            "lat_e7": gateway.site[0],
            "lon_e7": gateway.site[1],
            "accuracy_dm": gateway.accuracy_dm,
        },
        "batches": {"max_readings": gateway.max_readings, "max_wait_s": gateway.max_wait_s},
        "bus": [_bus(bus) for bus in gateway.buses],
    }
    (home / "gateway.toml").write_text(toml(configuration))
    return {
        "id": gateway.id,
        "operator": gateway.operator,
        "witness_key": keys["witness"],
        "reader_key": keys["reader"],
        "site": list(gateway.site),
        "site_cos_ppm": gateway.site_cos_ppm,
        "radius_m": gateway.radius_m,
        "zones": list(gateway.zones),
    }


def _token_uri(token: str, name: str) -> str:
    module = ceremony.softhsm_module()
    return (
        f"pkcs11:token={token};object={name};type=private?module-path={module}&pin-source=file:pin"
    )


def _mqtt_client(home: Path, name: str, ca: certificates.Credential) -> None:
    client = certificates.issue(ca, name, certificates.CLIENT)
    client.write(home / "mqtt.pem", home / "mqtt.key")


def _mqtt(address: Address) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "ca": "../../ca/ca.pem",
        "certificate": "mqtt.pem",
        "key": "mqtt.key",
    }


def _bus(bus: Bus) -> dict[str, Any]:
    where: dict[str, Any] = (
        {"kind": "tcp", "host": bus.port.host, "tcp_port": bus.port.port}
        if isinstance(bus.port, Address)
        else {"kind": "rtu", "port": bus.port, "baudrate": bus.baudrate}
    )
    meters = [asdict(meter) for meter in bus.meters]
    return {"name": bus.name, **where, "timeout_ms": bus.timeout_ms, "meter": meters}


def _genesis(plan: NetworkPlan, made: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The genesis file's content: the plan, and what was made with keys."""
    return {
        "format": 1,
        "name": plan.name,
        "time_ms": plan.time_ms,
        "paced_time": plan.paced_time_file is not None,
        "parameters": dict(plan.parameters),
        **made,
        "meters": list(plan.meters),
        "zones": list(plan.zones),
        "unmetered": list(plan.unmetered),
    }


def _write_peers(folder: Path, plan: NetworkPlan, network: bytes) -> None:
    records = [_peer(folder, each, network) for each in plan.validators]
    (folder / "peers.json").write_text(_json(records))


def _peer(folder: Path, validator: ValidatorPlan, network: bytes) -> Mapping[str, Any]:
    home = folder / "validators" / validator.id
    signer = filekey.load(home / "key.pem", (home / "passphrase").read_bytes())
    certificate = (home / "tls.pem").read_bytes()
    expires_s = int(time.time()) + PEER_RECORD_DAYS * 86_400
    message = peer_message(
        network,
        validator.id,
        str(validator.peers),
        certificates.der(certificate),
        expires_s,
    )
    return {
        "id": validator.id,
        "address": str(validator.peers),
        "certificate": certificate.decode(),
        "expires_s": expires_s,
        "signature": signer.sign(message).hex(),
    }


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
