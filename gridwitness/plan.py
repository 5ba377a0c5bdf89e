"""What a network is to be, before its keys exist: names, places, ports, registers.

Decides nothing: `gridwitness.network` makes the folder from it. Meters, zones and unmetered loads
are given as the genesis writes them; the validators' application types and checks them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validator.app.parameters import Parameters

# Every parameter is written into the genesis file, those with a default too: what governs a network
# must not change with the version of a program.
PARAMETERS: Mapping[str, int] = {
    **Parameters().items(),
    "block_interval_ms": 1_000,
    "empty_block_interval_ms": 10_000,
    "round_timeout_ms": 2_000,
    "round_timeout_cap_ms": 30_000,
    "block_precision_ms": 500,
    "block_delay_ms": 2_000,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a program listens."""

    host: str
    """Name or IP address."""

    port: int
    """TCP port."""

    def __str__(self) -> str:
        """As configuration files write it, `host:port`."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AuthorityPlan:
    """A known organisation; its key is made with the network."""

    id: str
    """Registered id."""

    name: str
    """Name for people."""

    type: str
    """Kind of organisation, as the registry names it."""


@dataclass(frozen=True, slots=True)
class TechnicianPlan:
    """A person who commissions and enrols meters; the key is made with the network."""

    id: str
    """Registered id."""

    name: str
    """Name for people."""

    operator: str
    """Id of the authority in whose zones the technician may enrol meters."""


@dataclass(frozen=True, slots=True)
class ValidatorPlan:
    """An authority's node."""

    id: str
    """Registered id, `val-…`: also its name at the broker."""

    authority: str
    """Id of the authority whose node it is."""

    peers: Address
    """Where it listens for other validators."""

    api: Address
    """Where it serves its HTTP API: loopback."""


@dataclass(frozen=True, slots=True)
class BusMeter:
    """A meter on a bus, as the gateway polls it."""

    id: str
    """Registered meter id."""

    unit: int
    """Modbus address."""

    template: str
    """Register template, or `gridwitness` for a meter that signs."""


@dataclass(frozen=True, slots=True)
class Bus:
    """A serial line, or a TCP host in front of one."""

    name: str
    """Name for people and logs."""

    port: str | Address
    """Device path of a serial line (`rtu`), or the TCP address."""

    meters: tuple[BusMeter, ...]
    """Who is on it."""

    baudrate: int = 9_600
    """Bits per second of a serial line."""

    timeout_ms: int = 500
    """How long a meter may take to answer."""


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """A gateway: its registration, its site and its buses."""

    id: str
    """Registered id, `gw-…`: also its name at the broker."""

    operator: str
    """Id of the authority that runs it."""

    site: tuple[int, int]
    """Latitude and longitude, 1e-7 degrees."""

    site_cos_ppm: int
    """Cosine of the latitude, parts per million."""

    zones: tuple[str, ...]
    """Ids of the zones that it serves."""

    status: Address
    """Where it serves its status page: loopback."""

    buses: tuple[Bus, ...] = ()
    """What it polls."""

    radius_m: int = 200
    """How far from its site it may say it is."""

    accuracy_dm: int = 100
    """How well its fixed site is known."""

    max_readings: int = 500
    """A batch closes at this many readings."""

    max_wait_s: int = 60
    """Or when its oldest reading has waited this long, network seconds."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A whole network."""

    name: str
    """Name for people, at most 20 characters."""

    time_ms: int
    """Network time of the beginning, Unix milliseconds."""

    broker: Address
    """Where the broker listens, TLS only."""

    authorities: tuple[AuthorityPlan, ...]
    """Who governs."""

    validators: tuple[ValidatorPlan, ...]
    """Who seals the first blocks."""

    gateways: tuple[GatewayPlan, ...]
    """Who witnesses."""

    meters: tuple[Mapping[str, Any], ...] = ()
    """Registry entries, `key` included where the meter signs."""

    zones: tuple[Mapping[str, Any], ...] = ()
    """Registry entries."""

    technicians: tuple[TechnicianPlan, ...] = ()
    """Who enrols meters."""

    unmetered: tuple[Mapping[str, Any], ...] = ()
    """Registry entries."""

    parameters: Mapping[str, int] = field(default_factory=lambda: dict(PARAMETERS))
    """Consensus and rule parameters by name."""

    paced_time_file: Path | None = None
    """Set when a simulator paces network time; the genesis then says so."""
