"""What a gateway needs, looked at one by one, changing nothing; each finding in words.

Decides what is wrong and what a person should do about it. Meters are not asked: their bus belongs
to the running gateway.
"""

import shutil
import socket
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from gateway.config import Address, GatewayConfig
from gateway.registered import registration
from gateway.relay import tls_context
from gateway.timing import SYNCHRONISED, kernel_quality
from hsm.signer import open_signer
from hsm.uri import KeyUri
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.keys import PublicKey

LEAST_FREE_BYTES = 100_000_000
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """Its name."""

    good: bool
    """Whether it is as it should be."""

    words: str
    """What was found, and what to do."""


def examine(config: GatewayConfig) -> list[Finding]:
    """Look at registry, clock, disk, spool, token, certificate, broker and lines."""
    checks: list[tuple[str, Callable[[GatewayConfig], str]]] = [
        ("registry", _registry),
        ("clock", _clock),
        ("disk", _disk),
        ("spool", _spool),
        ("token", _token),
        ("certificate", _certificate),
        ("broker", _broker),
        ("lines", _lines),
    ]
    return [_finding(what, check, config) for what, check in checks]


def _finding(what: str, check: Callable[[GatewayConfig], str], config: GatewayConfig) -> Finding:
    try:
        return Finding(what, True, check(config))
    except (Refused, Unavailable, OSError, ValueError) as reason:
        return Finding(what, False, str(reason))


def _registry(config: GatewayConfig) -> str:
    genesis = Genesis.load(config.genesis)
    meters = sum(len(each) for _, each in registration(config, genesis).buses)
    return f"{config.id} of {genesis.topic_name}, {meters} meters"


def _clock(config: GatewayConfig) -> str:
    if config.paced_time_file is not None:
        return "paced by a simulator"
    quality = kernel_quality()
    if quality.quality < SYNCHRONISED:
        raise Unavailable("nothing disciplines this machine's clock: install chrony or NTP")
    return f"synchronised, off by at most {quality.error_ms} ms"


def _disk(config: GatewayConfig) -> str:
    free = shutil.disk_usage(config.spool.parent).free
    if free < LEAST_FREE_BYTES:
        raise Unavailable(f"only {free // 1_000_000} MB are free beside the spool: make room")
    return f"{free // 1_000_000} MB free"


def _spool(config: GatewayConfig) -> str:
    if not config.spool.exists():
        return "none yet; the first run makes it"
    try:
        with closing(sqlite3.connect(f"file:{config.spool}?mode=ro", uri=True)) as spool:
            ((state,),) = spool.execute("PRAGMA integrity_check(1)").fetchall()
            ((waiting,),) = spool.execute(
                "SELECT COUNT(*) FROM reading WHERE state <> 'refused'"
            ).fetchall()
    except sqlite3.DatabaseError as reason:
        raise Unavailable(
            f"damaged ({reason}); the next start moves it aside and rebuilds it"
        ) from None
    if state != "ok":
        raise Unavailable(f"damaged ({state}); the next start moves it aside and rebuilds it")
    return f"whole; {waiting} readings without a receipt"


def _token(config: GatewayConfig) -> str:
    found = registration(config, Genesis.load(config.genesis))
    for uri, registered in (
        (config.token.witness, found.witness_key),
        (config.token.reader, found.reader_key),
    ):
        _try_key(config, uri, registered)
    return "both keys are there, are the registered ones, and sign"


def _try_key(config: GatewayConfig, uri: str, registered: PublicKey) -> None:
    token = config.token
    signer = open_signer(KeyUri.parse(uri, token.folder), token.softhsm2_conf, registered)
    try:
        signer.sign(b"gridwitness/doctor/1")
    finally:
        signer.close()


def _certificate(config: GatewayConfig) -> str:
    certificate = x509.load_pem_x509_certificate(config.mqtt.certificate.read_bytes())
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if [name.value for name in names] != [config.id]:
        raise Unavailable(f"its common name is not {config.id}: the broker will refuse its topics")
    return f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"


def _broker(config: GatewayConfig) -> str:
    context = tls_context(config.mqtt)
    address = (config.mqtt.host, config.mqtt.port)
    try:
        with (
            socket.create_connection(address, _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=config.mqtt.host) as tls,
        ):
            return f"{config.mqtt.host}:{config.mqtt.port} answers with {tls.version()}"
    except ssl.SSLError as reason:
        raise Unavailable(f"the broker's certificate or ours is refused: {reason}") from None
    except OSError as reason:
        raise Unavailable(
            f"{address[0]}:{address[1]} does not answer ({reason}): is Mosquitto running there?"
        ) from None


def _lines(config: GatewayConfig) -> str:
    for bus in config.buses:
        if isinstance(bus.port, Address):
            try:
                socket.create_connection((bus.port.host, bus.port.port), _TIMEOUT_S).close()
            except OSError as reason:
                where = f"{bus.port.host}:{bus.port.port}"
                raise Unavailable(f"bus {bus.name}: {where} does not answer: {reason}") from None
        elif not Path(bus.port).exists():
            raise Unavailable(f"bus {bus.name}: there is no {bus.port}: is the adapter plugged in?")
    return f"{len(config.buses)} buses can be opened"
