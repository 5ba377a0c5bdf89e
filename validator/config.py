"""The validator's configuration: one TOML file, checked whole before anything starts.

Decides which keys there are and their types, and that every path is relative to the file's folder.
Who is a validator and which parameters rule comes from the genesis file, never from here.
"""

import ipaddress
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hsm.uri import BadUri, KeyUri
from wire.errors import Refused

T = TypeVar("T")

ANYWHERE = ("0.0.0.0", "::", "[::]")
"""Hosts to listen on, and no places to go to."""


class BadConfiguration(Refused):
    """The configuration file says something that the validator cannot do."""

    code = "bad-configuration"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    """Name or IP address."""

    port: int
    """TCP port."""

    def __str__(self) -> str:
        """As address records write it, `host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody on another machine hears what is said to it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker and how to enter it."""

    host: str
    """Name or IP address."""

    port: int
    """TLS port."""

    ca: Path
    """Certificate of who vouches for the broker, PEM."""

    certificate: Path
    """The validator's client certificate, PEM; its common name is the validator's id."""

    key: Path
    """The certificate's private key, PEM."""


@dataclass(frozen=True, slots=True)
class ValidatorConfig:
    """All that one validator needs to know of its surroundings."""

    id: str
    """Registered id, `val-…`."""

    genesis: Path
    """The network's genesis file."""

    peers: Path | None
    """Signed address records of the validators; None where bootnodes tell them."""

    bootnodes: tuple[Address, ...]
    """Who hands out address records over HTTP; none where the peers' file is all."""

    advertise: Address
    """Where others reach this validator, as it tells bootnodes."""

    data: Path
    """Folder of ledger and sign-state."""

    key: Path | KeyUri
    """The signing key: an encrypted PEM file, or a key in a PKCS#11 token."""

    next_key: Path | KeyUri | None
    """The key that is to take its place, once the ledger says so; None when none is."""

    passphrase_file: Path | None
    """What opens the file; None for a token, whose URI names its PIN."""

    softhsm2_conf: Path | None
    """SoftHSM's configuration, for trials; None for other tokens."""

    tls_certificate: Path
    """Shown to other validators, PEM."""

    tls_key: Path
    """The certificate's private key, PEM."""

    listen: Address
    """Where other validators connect."""

    api: Address
    """Where the HTTP API is served; without a certificate on loopback only."""

    api_certificate: Path | None
    """Shown by the API, PEM, with what vouches for it; None where it speaks plain HTTP."""

    api_key: Path | None
    """The certificate's private key, PEM."""

    paced_time_file: Path | None
    """Set in demos and tests whose genesis allows it."""

    mqtt: MqttConfig
    """Broker."""


def address(text: str, place: str) -> Address:
    """Read a `host:port`; raises BadConfiguration, which names the place."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise BadConfiguration(f"{place} needs the form host:port")
    return Address(host, int(port))


_OWN = {"api", "data", "listen"}
"""Without any of these keys a file is another kind of file."""

_KINDS = {str: "it needs text in quotes", int: "it needs a whole number", list: "it needs a list"}


class _Table:
    """One TOML table whose keys are taken one by one, so that what is left over is unknown."""

    def __init__(self, content: Any, name: str, folder: Path) -> None:
        if not isinstance(content, dict):
            raise BadConfiguration(f"{name}: not a table")
        self._left = dict(content)
        self._name = name
        self._folder = folder

    def take(self, key: str, kind: type[T]) -> T:
        """A value of exactly that type."""
        value = self._left.pop(key, None)
        if value is None:
            raise BadConfiguration(f"{self._name}: {key} is missing: {_KINDS[kind]}")
        if type(value) is not kind:
            raise BadConfiguration(f"{self._name}: {key} needs a value of type {kind.__name__}")
        return value

    def path(self, key: str) -> Path:
        """A path, relative to the file's folder."""
        text = self.take(key, str)
        if not text:
            raise BadConfiguration(f"{self._name}: {key} is empty; it names a file")
        return self._folder / text

    def key(self, key: str) -> Path | KeyUri:
        """A file, or a `pkcs11:` URI."""
        text = self._left.get(key)
        if not isinstance(text, str) or not text.startswith("pkcs11:"):
            return self.path(key)
        try:
            return KeyUri.parse(self.take(key, str), self._folder)
        except BadUri as reason:
            raise BadConfiguration(f"{self._name}: {key}: {reason}") from None

    def optional_key(self, key: str) -> Path | KeyUri | None:
        """A file or a URI, or None when the key is absent or empty."""
        return self.key(key) if self._left.get(key) else self.optional_path(key)

    def optional_path(self, key: str) -> Path | None:
        """A path, or None when the key is absent or empty."""
        text = self.take(key, str) if key in self._left else ""
        return self._folder / text if text else None

    def address(self, key: str) -> Address:
        """A `host:port`."""
        return address(self.take(key, str), f"{self._name}: {key}")

    def addresses(self, key: str) -> tuple[Address, ...]:
        """An array of `host:port`; none when the key is absent."""
        found = self.take(key, list) if key in self._left else []
        tables = (_Table({key: each}, self._name, self._folder) for each in found)
        return tuple(table.address(key) for table in tables)

    def optional_address(self, key: str, otherwise: Address) -> Address:
        """A `host:port`, or another when the key is absent."""
        return self.address(key) if key in self._left else otherwise

    def mqtt(self, key: str) -> MqttConfig:
        """The broker's table."""
        table = _Table(self._left.pop(key, None), f"{self._name}[{key}]", self._folder)
        mqtt = MqttConfig(
            table.take("host", str),
            table.take("port", int),
            table.path("ca"),
            table.path("certificate"),
            table.path("key"),
        )
        if not 0 < mqtt.port < 65_536:
            raise BadConfiguration(f"{self._name}[{key}]: port is not a TCP port")
        table.end()
        return mqtt

    def end(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            raise BadConfiguration(f"{self._name}: unknown keys: {', '.join(sorted(self._left))}")


def load(path: Path) -> ValidatorConfig:
    """Read and check a configuration file.

    Raises:
        BadConfiguration: what is wrong, in words.
        OSError: there is no such file.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as reason:
        words = f"{path} is no validator's configuration: it is not TOML ({reason})"
        raise BadConfiguration(words) from None
    if not _OWN & content.keys():
        whose = "a gateway's" if "bus" in content else "some other"
        raise BadConfiguration(
            f"{path} is {whose} configuration, and no validator's: it has none of"
            f" {', '.join(sorted(_OWN))}"
        )
    top = _Table(content, path.name, path.resolve().parent)
    listen = top.address("listen")
    config = ValidatorConfig(
        id=top.take("id", str),
        genesis=top.path("genesis"),
        peers=top.optional_path("peers"),
        bootnodes=top.addresses("bootnodes"),
        advertise=top.optional_address("advertise", listen),
        data=top.path("data"),
        key=top.key("key"),
        next_key=top.optional_key("next_key"),
        passphrase_file=top.optional_path("passphrase_file"),
        softhsm2_conf=top.optional_path("softhsm2_conf"),
        tls_certificate=top.path("tls_certificate"),
        tls_key=top.path("tls_key"),
        listen=listen,
        api=top.address("api"),
        api_certificate=top.optional_path("api_certificate"),
        api_key=top.optional_path("api_key"),
        paced_time_file=top.optional_path("paced_time_file"),
        mqtt=top.mqtt("mqtt"),
    )
    top.end()
    _check(config, path.name)
    return config


def _check(config: ValidatorConfig, name: str) -> None:
    """What single keys cannot show: that they fit together."""
    if config.passphrase_file is None and isinstance(config.key, Path):
        raise BadConfiguration(f"{name}: passphrase_file is needed, it opens the key file")
    if config.peers is None and not config.bootnodes:
        raise BadConfiguration(f"{name}: needs peers, bootnodes, or both")
    if (config.api_certificate is None) != (config.api_key is None):
        raise BadConfiguration(f"{name}: api_certificate and api_key go together")
    if config.api_certificate is None and not config.api.is_loopback:
        raise BadConfiguration(
            f"{name}: the API at {config.api} would speak plain HTTP where others listen: name"
            f" api_certificate and api_key, or set api = 127.0.0.1:{config.api.port}"
            " behind a proxy that speaks HTTPS"
        )
    if config.bootnodes and config.advertise.host in ANYWHERE:
        raise BadConfiguration(
            f"{name}: others cannot connect to {config.advertise.host}: say in advertise"
            " where they reach this validator"
        )
