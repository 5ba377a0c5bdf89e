"""Readings for measuring: ten streets of a hundred meters that sign, in balance.

Made with keys in memory and accepted by every rule, so that what is measured is the work of an
ordinary day: signatures, rules, a seal for each street and interval, credits.
"""

import tomllib
from dataclasses import dataclass
from typing import Any, Self

from gridwitness.network import Network
from gridwitness.paper_meters import COS_PPM, INTERVAL_S, SITE, PaperMeter, Witnessing
from hsm.signer import TokenSigner, open_signer
from hsm.uri import KeyUri
from wire.genesis import Genesis
from wire.keys import ES256, PublicKey, Signer, SoftSigner
from wire.witness import Batch

__all__ = ["COS_PPM", "INTERVAL_S", "METERS", "OPERATOR", "SITE", "Load", "witness_key"]

STREETS = 10
HOUSES = 99
METERS = STREETS * (HOUSES + 1)
HOUSE_WH = 100
OPERATOR = "PEA"


@dataclass(frozen=True)
class Load:
    """Signed readings, in the order in which they are offered, and their meters."""

    gateway: str
    """Who reads them."""

    readings: tuple[bytes, ...]
    """Signed, interval by interval, within one by meter."""

    meters: tuple[dict[str, Any], ...]
    """Registry entries."""

    zones: tuple[dict[str, Any], ...]
    """Registry entries."""

    @classmethod
    def make(cls, gateway: str, intervals: int, end_s: int) -> Self:
        """Sign that many intervals of every meter, the last of which ends at `end_s`."""
        begin_s = end_s - intervals * INTERVAL_S
        meters = [
            PaperMeter(name, f"bus-{name[1:]}", SoftSigner.generate(ES256), begin_s)
            for name in _names()
        ]
        readings = [
            meter.read(sequence, HOUSES * HOUSE_WH if _is_boundary(meter.name) else HOUSE_WH)
            for sequence in range(intervals)
            for meter in meters
        ]
        entries = tuple(_entry(meter, gateway) for meter in meters)
        return cls(gateway, tuple(readings), entries, tuple(map(_zone, range(STREETS))))

    def batch(
        self, genesis: Genesis, key: Signer, sequence: int, readings: tuple[bytes, ...], at_s: int
    ) -> Batch:
        """A batch of these, witnessed with `key` at that time."""
        return Witnessing(self.gateway, genesis.topic_name, sequence, at_s).of(readings, key)


def witness_key(network: Network, gateway: str) -> TokenSigner:
    """A gateway's key, in its token."""
    home = network.gateway(gateway).parent
    uri = KeyUri.parse(
        tomllib.loads(network.gateway(gateway).read_text())["token"]["witness"], home
    )
    [entry] = [each for each in network.genesis.registry["gateways"] if each["id"] == gateway]
    return open_signer(uri, home / "softhsm2.conf", PublicKey.from_text(entry["witness_key"]))


def _names() -> list[str]:
    """Each street's boundary meter, then its houses."""
    return [f"z{street}-{house:02}" for street in range(STREETS) for house in range(HOUSES + 1)]


def _is_boundary(name: str) -> bool:
    return name.endswith("-00")


def _entry(meter: PaperMeter, gateway: str) -> dict[str, Any]:
    role = "boundary" if _is_boundary(meter.name) else "customer"
    return meter.entry(meter.name.partition("-")[0], gateway, role)


def _zone(street: int) -> dict[str, Any]:
    """A street: its houses hang on a line from the boundary meter's bus."""
    root = f"bus-{street}-00"
    ends = [f"bus-{street}-{house:02}" for house in range(1, HOUSES + 1)]
    branches = [
        {"id": f"to-{end}", "from": root, "to": end, "rho": 100_000, "kappa": 2} for end in ends
    ]
    return {
        "id": f"z{street}",
        "parent": "",
        "operator": OPERATOR,
        "p0_mw": 0,
        "root": root,
        "branches": branches,
    }
