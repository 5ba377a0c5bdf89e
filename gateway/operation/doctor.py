"""What a gateway needs, looked at one by one, changing nothing; each finding in words.

Decides what is wrong and what a person should do about it. Meters are not asked: their bus belongs
to the running gateway, which is asked instead (`operation.symptoms` says what its report means).
"""

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from gateway.config import Address, GatewayConfig
from gateway.config_token import TokenConfig
from gateway.delivery.overview import OLDEST
from gateway.delivery.room import LEAST_FREE_BYTES, fill_of
from gateway.operation import needed
from gateway.operation.clock_words import SKEW_MISSING_S, clock_words, skew_missing_s
from gateway.operation.doctor_broker import broker_words
from gateway.operation.own import AnotherGateway, ask_claimed, stranger_in
from gateway.operation.status import ask
from gateway.operation.symptoms import Finding, age_words, disk_finding, symptoms
from gateway.registered import registration
from gateway.timing import kernel_quality
from hsm.doctor import examine as examine_key
from hsm.uri import KeyUri
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.keys import PublicKey

_TIMEOUT_S = 5.0
DAYS_LEFT = 30
"""A certificate that ends sooner is worth a word."""


def examine(
    config: GatewayConfig, report: Callable[[Address], Mapping[str, Any]] = ask
) -> list[Finding]:
    """Look at registry, clock, disk, spool, token, certificates, broker, lines, running gateway."""
    checks: list[tuple[str, Callable[[GatewayConfig], str]]] = [
        ("registry", _registry),
        ("clock", _clock),
        ("spool", _spool),
        ("aside", _aside),
        ("token", _token),
        ("certificate", _certificate),
        ("authority", _authority),
        ("broker", _broker),
        ("lines", _lines),
    ]
    found = [_finding(what, check, config) for what, check in checks]
    return [*found, _disk(config), *_running(config, report)]


def examine_running(
    address: Address,
    refused: str,
    claimed: object = None,
    report: Callable[[Address], Mapping[str, Any]] = ask,
) -> list[Finding]:
    """What can be said of a gateway whose file is refused: only what it says of itself."""
    wrong = Finding("file", False, refused)
    try:
        found = ask_claimed(address, claimed, report)
    except (Unavailable, AnotherGateway) as reason:
        return [wrong, Finding("gateway", False, str(reason))]
    return [wrong, Finding("gateway", True, f"{found['gateway']} runs"), *symptoms(found)]


def _finding(what: str, check: Callable[[GatewayConfig], str], config: GatewayConfig) -> Finding:
    try:
        return Finding(what, True, check(config))
    except OSError as reason:
        return Finding(
            what, False, f"{reason.filename or ''}: {reason.strerror or reason}".strip(": ")
        )
    except (Refused, Unavailable, ValueError) as reason:
        return Finding(what, False, str(reason))


def _running(
    config: GatewayConfig, report: Callable[[Address], Mapping[str, Any]]
) -> list[Finding]:
    """What the running gateway says of itself."""
    try:
        found = report(config.status)
    except Unavailable as reason:
        if not config.spool.exists():
            return [Finding("gateway", True, "was never started here")]
        words = f"{reason}: nothing is polled; start it, or look into its log"
        return [Finding("gateway", False, words)]
    stranger = stranger_in(config, found)
    if stranger:
        return [Finding("gateway", False, stranger)]
    running = Finding("gateway", True, f"runs; configuration {found['configuration']}")
    mine = ("disk", "clock")  # Of this machine: looked at already.
    return [running, *(each for each in symptoms(found) if each.what not in mine)]


def _registry(config: GatewayConfig) -> str:
    needed.check(config, "genesis")
    genesis = Genesis.load(config.genesis)
    meters = sum(len(each) for _, each in registration(config, genesis).buses)
    return f"{config.id} of {genesis.topic_name}, {meters} meters"


def _clock(config: GatewayConfig) -> str:
    if config.paced_time_file is not None:
        return "paced by a simulator"
    good, words = clock_words(kernel_quality(), _skew_missing_s(config))
    if not good:
        raise Unavailable(words)
    return words


def _skew_missing_s(config: GatewayConfig) -> int:
    try:
        return skew_missing_s(Genesis.load(config.genesis))
    except (OSError, Refused):  # The finding "registry" says so.
        return SKEW_MISSING_S


def _disk(config: GatewayConfig) -> Finding:
    fill = fill_of(config.spool.parent)
    return disk_finding(
        fill.used_percent,
        fill.free_bytes // 1_000_000,
        fill.alarm_percent,
        fill.free_bytes < LEAST_FREE_BYTES,
    )


def _spool(config: GatewayConfig) -> str:
    if not config.spool.exists():
        return "none yet; the first run makes it"
    try:
        with closing(
            sqlite3.connect(f"{config.spool.absolute().as_uri()}?mode=ro", uri=True)
        ) as spool:
            ((state,),) = spool.execute("PRAGMA quick_check(1)").fetchall()
            waiting = spool.execute(
                "SELECT COALESCE(SUM(count), 0) FROM tally WHERE state <> 'refused'"
            ).fetchone()[0]
            (oldest_s,) = spool.execute(OLDEST).fetchone()
    except sqlite3.DatabaseError as reason:
        raise Unavailable(
            f"damaged ({reason}); the next start moves it aside and rebuilds it"
        ) from None
    if state != "ok":
        raise Unavailable(f"damaged ({state}); the next start moves it aside and rebuilds it")
    words = f"whole; {waiting} readings without a receipt"
    if oldest_s is None or config.paced_time_file is not None:
        return words
    return f"{words}, the oldest {age_words(max(0, int(time.time()) - oldest_s))} old"


def _aside(config: GatewayConfig) -> str:
    """Files that were moved aside wait for a person too."""
    found = sorted(config.spool.parent.glob(f"{config.spool.name}.*-*"))
    files = [each.name for each in found if not each.name.endswith(("-wal", "-shm", "-journal"))]
    if not files:
        return "no spool was ever moved aside here"
    raise Unavailable(
        f"{', '.join(files)}: moved aside and rebuilt at a start. A damaged spool is mostly a"
        " damaged disk: check it, keep the file for whoever asks, then remove it"
    )


def _token(config: GatewayConfig) -> str:
    needed.check(config, "genesis", "token.softhsm2_conf")
    found = registration(config, Genesis.load(config.genesis))
    token = config.token
    for names, registered in (
        ((token.witness, token.witness_next), found.witness_key),
        ((token.reader, token.reader_next), found.reader_key),
    ):
        _try_key(token, names, registered)
    return "both keys are there, are the registered ones, and sign"


def _try_key(token: TokenConfig, names: tuple[str, str], registered: PublicKey) -> None:
    """The registered key is the one in force or the one that is to follow it."""
    wrong = []
    for name in filter(None, names):
        uri = KeyUri.parse(name, token.folder)
        last = examine_key(uri, token.softhsm2_conf, registered)[-1]
        if last.good:
            return
        words = last.words
        if last.check == "public key":
            words += "; or the genesis file is another network's"
        wrong.append(f"{uri.label}, {last.check}: {words}")
    raise Unavailable("; ".join(wrong))


def _certificate(config: GatewayConfig) -> str:
    needed.check(config, "mqtt.certificate")
    certificate = x509.load_pem_x509_certificate(config.mqtt.certificate.read_bytes())
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if [name.value for name in names] != [config.id]:
        raise Unavailable(f"its common name is not {config.id}: the broker will refuse its topics")
    return _validity(certificate, "ask the network's operator for a new one")


def _authority(config: GatewayConfig) -> str:
    needed.check(config, "mqtt.ca")
    return _validity(
        x509.load_pem_x509_certificate(config.mqtt.ca.read_bytes()),
        "the network's operator must make a new one, and then everyone's certificates",
    )


def _validity(certificate: x509.Certificate, cure: str) -> str:
    now, end = datetime.now(UTC), certificate.not_valid_after_utc
    if certificate.not_valid_before_utc > now:
        raise Unavailable(
            f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}: is this"
            " machine's clock right?"
        )
    if end <= now:
        raise Unavailable(f"expired on {end:%Y-%m-%d}: {cure}; readings wait meanwhile")
    days = (end - now).days
    if days < DAYS_LEFT:
        raise Unavailable(f"expires in {days} days, on {end:%Y-%m-%d}: {cure}")
    return f"valid until {end:%Y-%m-%d}, {days} days"


def _broker(config: GatewayConfig) -> str:
    needed.check(config, "genesis", "mqtt.ca", "mqtt.certificate", "mqtt.key")
    network = Genesis.load(config.genesis).topic_name
    return broker_words(config.id, network, config.mqtt)


def _lines(config: GatewayConfig) -> str:
    for bus in config.buses:
        if isinstance(bus.port, str):
            _serial_port(bus.name, bus.port)
            continue
        try:
            socket.create_connection((bus.port.host, bus.port.port), _TIMEOUT_S).close()
        except OSError as reason:
            where = f"{bus.port.host}:{bus.port.port}"
            raise Unavailable(f"bus {bus.name}: {where} does not answer: {reason}") from None
    return f"{len(config.buses)} buses can be opened"


def _serial_port(bus: str, port: str) -> None:
    if not Path(port).exists():
        raise Unavailable(
            f"bus {bus}: there is no {port}: is the adapter plugged in? A name under"
            " /dev/serial/by-path stays the same whatever is plugged in beside it"
        )
    if not os.access(port, os.R_OK | os.W_OK):
        raise Unavailable(f"bus {bus}: {port} may not be opened: add the user to group dialout")
