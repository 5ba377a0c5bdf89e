"""Whether the gateway that answers at an address is the one of a configuration file.

A port can be another gateway's: one of another network, or one that runs beside a fresh file. Its
report is told apart by id, network and spool, so that nobody is told another one's state as his
own.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.config import Address, GatewayConfig
from gateway.operation.status import ask
from wire.errors import Refused
from wire.genesis import Genesis

Report = Callable[[Address], Mapping[str, Any]]
"""Asks a running gateway; raises Unavailable."""


class AnotherGateway(Refused):
    """Who answers is not the gateway that was asked for."""

    code = "another-gateway"


def ask_own(config: GatewayConfig, report: Report = ask) -> Mapping[str, Any]:
    """The report of this file's gateway; raises Unavailable, AnotherGateway when it is another."""
    found = report(config.status)
    stranger = stranger_in(config, found)
    if stranger:
        raise AnotherGateway(stranger)
    return found


def ask_claimed(address: Address, claimed: object, report: Report = ask) -> Mapping[str, Any]:
    """The same of a file that is refused, by the id that it claims, when it claims any."""
    found = report(address)
    if isinstance(claimed, str) and found.get("gateway") != claimed:
        raise AnotherGateway(_another(address, found, f"not {claimed}"))
    return found


def stranger_in(config: GatewayConfig, found: Mapping[str, Any]) -> str:
    """Whose report it is, in words, when it is not this file's; else empty."""
    if found.get("gateway") != config.id:
        return _another(config.status, found, f"not {config.id}")
    network = _network(config.genesis)
    if network and found.get("network") != network:
        return _another(config.status, found, f"but this file is of {network}")
    spool = str(config.spool.resolve())
    if found.get("spool", spool) != spool:
        return _another(config.status, found, f"with the spool {found['spool']}, not {spool}")
    return ""


def _another(address: Address, found: Mapping[str, Any], difference: str) -> str:
    who = f"{found.get('gateway')} of {found.get('network')}"
    return (
        f"another gateway answers at {address.host}:{address.port}: {who}, {difference}."
        " Each needs a `status` address of its own"
    )


def _network(genesis: Path) -> str:
    """The network's name; empty without a good genesis file, which others tell."""
    try:
        return Genesis.load(genesis).topic_name
    except (OSError, Refused):
        return ""
