"""A validator that joins a running network, or takes another key: its folder, keys and files.

Decides where things are in the folder, and what is put into the change that authorities sign: the
key, and the address record under it, so that the others know from the ledger where it is. Every
private key is made here, where it will be used.
"""

import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from gridwitness import certificates
from gridwitness.broker import add_access
from gridwitness.configuration import toml
from gridwitness.network import claim
from gridwitness.plan import Address
from hsm import filekey
from hsm.durable import replace, write_new
from validator.config import ValidatorConfig
from wire.errors import Refused
from wire.genesis import Genesis
from wire.governance import ADD, ROTATE, ValidatorStep
from wire.keys import EDDSA, Signer
from wire.peer import Place, peer_message

RECORD_DAYS = 366


@dataclass(frozen=True, slots=True)
class Joining:
    """A validator that is to join."""

    id: str
    """Validator id; also the common name of its MQTT certificate."""

    authority: str
    """Authority that runs it."""

    genesis: Path
    """The network's genesis file."""

    peers: Path | None
    """The others' address records; None with bootnodes."""

    bootnodes: tuple[str, ...]
    """`host:port` of who tells where the others are."""

    listen: Address
    """Where it listens for the others."""

    advertise: Address
    """Where the others reach it."""

    api: Address
    """Where its API is served."""

    broker: Address
    """The MQTT broker."""

    authority_folder: Path | None
    """Folder with `ca.pem` and `ca.key` of who vouches at the broker; None when another issues."""

    paced_time_file: Path | None = None
    """Of a demo or test whose genesis allows it."""


def make_validator(folder: Path, joining: Joining) -> tuple[ValidatorStep, Signer]:
    """Make a validator's folder; returns the step that lets it join, and its new key.

    Raises:
        NetworkExists: something is in the folder.
        Malformed: the genesis file is none.
    """
    genesis = Genesis.load(joining.genesis)
    folder = folder.resolve()
    claim(folder)
    (folder / "data").mkdir(mode=0o700)
    shutil.copy(joining.genesis, folder / "genesis.json")
    if joining.peers is not None:
        shutil.copy(joining.peers, folder / "peers.json")
    signer = _new_key(folder / "key.pem", folder / "passphrase")
    shown = certificates.self_signed(joining.id)
    shown.write(folder / "tls.pem", folder / "tls.key")
    if joining.authority_folder is not None:
        _mqtt_client(folder, joining.id, joining.authority_folder)
    (folder / "validator.toml").write_text(toml(_configuration(joining)))
    place = _place(genesis, joining.id, str(joining.advertise), shown.pem, signer)
    step = ValidatorStep(ADD, joining.id, joining.authority, signer.public, place.encoded)
    return step, signer


def _new_key(path: Path, passphrase_file: Path) -> Signer:
    if not passphrase_file.exists():
        write_new(passphrase_file, secrets.token_hex(16).encode())
    passphrase = passphrase_file.read_bytes().strip()
    filekey.create(path, EDDSA, passphrase)
    return filekey.load(path, passphrase)


def _mqtt_client(folder: Path, name: str, authority: Path) -> None:
    ca = certificates.read_ca(authority / "ca.pem", authority / "ca.key")
    certificates.issue(ca, name, certificates.CLIENT).write(
        folder / "mqtt.pem", folder / "mqtt.key"
    )
    shutil.copy(authority / "ca.pem", folder / "ca.pem")


def _configuration(joining: Joining) -> dict[str, object]:
    return {
        "id": joining.id,
        "genesis": "genesis.json",
        "peers": "" if joining.peers is None else "peers.json",
        "bootnodes": list(joining.bootnodes),
        "advertise": str(joining.advertise),
        "data": "data",
        "key": "key.pem",
        "passphrase_file": "passphrase",
        "tls_certificate": "tls.pem",
        "tls_key": "tls.key",
        "listen": str(joining.listen),
        "api": str(joining.api),
        "paced_time_file": str(joining.paced_time_file or ""),
        "mqtt": {
            "host": joining.broker.host,
            "port": joining.broker.port,
            "ca": "ca.pem",
            "certificate": "mqtt.pem",
            "key": "mqtt.key",
        },
    }


def _place(genesis: Genesis, name: str, address: str, pem: bytes, signer: Signer) -> Place:
    certificate = certificates.der(pem)
    expires_s = int(time.time()) + RECORD_DAYS * 86_400
    message = peer_message(genesis.network, name, address, certificate, expires_s)
    return Place(address, certificate, expires_s, signer.sign(message))


def let_in(broker: Path, genesis: Genesis, name: str) -> None:
    """Write a validator into the access list of a broker's folder that `network init` made."""
    add_access(broker, genesis.topic_name, name)


def rotation(config: ValidatorConfig, signer: Signer) -> ValidatorStep:
    """The step that gives a validator another key, with the address record under it."""
    genesis = Genesis.load(config.genesis)
    pem = config.tls_certificate.read_bytes()
    place = _place(genesis, config.id, str(config.advertise), pem, signer)
    return ValidatorStep(ROTATE, config.id, key=signer.public, place=place.encoded)


def make_next_key(config: ValidatorConfig) -> tuple[str, Signer]:
    """Make another key file beside the first; returns its name and the key.

    Raises Refused when the validator's key is in a token, which makes its own keys.
    """
    if not isinstance(config.key, Path) or config.passphrase_file is None:
        raise Refused("this key is in a token: make another there (hsm key), give it as --new-key")
    taken = {each.name for each in config.key.parent.iterdir()}
    name = next(found for n in range(2, 10_000) if (found := f"key-{n}.pem") not in taken)
    return name, _new_key(config.key.parent / name, config.passphrase_file)


def name_next_key(path: Path, config: ValidatorConfig, name: str) -> None:
    """Write `next_key` into a configuration file; raises Refused when there is one."""
    if config.next_key is not None:
        raise Refused(
            f"{path.name} has a next_key already: when the ledger has it, make it the key"
        )
    line = f'next_key = "{name}"'
    text, count = re.subn(
        r"^(key\s*=.*)$", lambda found: f"{found[1]}\n{line}", path.read_text(), count=1, flags=re.M
    )
    if not count:
        raise Refused(f"{path.name} has no line that begins with key =: add {line} yourself")
    replace(path, text.encode())
