"""The gateway's configuration: one TOML file, checked whole before anything starts.

Decides which keys there are, their types and ranges, and that every path is relative to the file's
folder. What a meter is (node, zone, key) comes from the genesis registry or from the enrolment that
its operator signed, never from here.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gateway.config_table import BadConfiguration, Table
from gateway.config_token import TokenConfig, token_of
from wire.witness import MAX_READINGS

SIGNING = "gridwitness"
"""The template name of a meter that signs its readings itself."""

PARITIES = ("none", "even", "odd")

READOUT = "iec62056-21"
"""The kind of a line that is read by IEC 62056-21, and the template for it."""

READOUTS = ("sign-on", "push")
"""Who speaks first: this side, or the meter."""

_READOUT_BAUDRATES = {"sign-on": 300, "push": 9_600}
_READOUT_TIMEOUT_MS = 10_000
_MOST_ADDRESS = 40

MOST_UNIT = 247
"""Largest address of a Modbus device on a serial line."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    """Name or IP address."""

    port: int
    """TCP port."""


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
    """The gateway's client certificate, PEM; its common name is the gateway's id."""

    key: Path
    """The certificate's private key, PEM."""


@dataclass(frozen=True, slots=True)
class PlaceConfig:
    """Where the gateway stands."""

    lat_e7: int
    """Latitude, 1e-7 degrees."""

    lon_e7: int
    """Longitude, 1e-7 degrees."""

    accuracy_dm: int
    """How well that is known, decimetres."""

    gpsd: Address | None = None
    """A gpsd that has a receiver."""

    nmea: str = ""
    """Device path of a receiver that speaks NMEA 0183; empty for none."""

    nmea_baudrate: int = 9_600
    """Its bits per second."""


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """When a batch is closed: whichever comes first."""

    max_readings: int
    """At this many readings, 1 to 1,000."""

    max_wait_s: int
    """When its oldest reading has waited this long, seconds of network time."""


@dataclass(frozen=True, slots=True)
class BusMeter:
    """A meter on a bus."""

    id: str
    """Registered meter id."""

    unit: int
    """Modbus address, 1 to 247."""

    template: str
    """Name of its register template, or `gridwitness` for a meter that signs."""

    enrolment: Path | None = None
    """The signed transaction that enrolled it; None for a meter of the genesis file."""

    address: str = ""
    """Number of a meter on an IEC 62056-21 line: asked for, and compared with what it says of
    itself; empty: whoever is there."""


@dataclass(frozen=True, slots=True)
class BusConfig:
    """A serial line, a Modbus TCP host, or an optical head."""

    name: str
    """Name for people and logs."""

    port: str | Address
    """Device path of a serial line (kind rtu), or the TCP address (kind tcp)."""

    baudrate: int
    """Bits per second of a serial line."""

    timeout_ms: int
    """How long a meter may take to answer, milliseconds."""

    meters: tuple[BusMeter, ...]
    """Who is on it."""

    parity: str = "none"
    """Parity of a serial line, of PARITIES."""

    stopbits: int = 1
    """Stop bits of a serial line, 1 or 2."""

    readout: str = ""
    """Of READOUTS for an IEC 62056-21 line: who speaks first. Empty for Modbus."""

    @property
    def character_bits(self) -> int:
        """Bits of one character on the line: start, 8 data, parity, stop."""
        return 9 + (self.parity != "none") + self.stopbits


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything that the gateway is told."""

    id: str
    """Registered gateway id."""

    genesis: Path
    """The network's genesis file."""

    spool: Path
    """Readings without a verified receipt; losing this file loses them."""

    status: Address
    """Where the status page and metrics are served; loopback."""

    paced_time_file: Path | None
    """Set in demos and tests whose genesis allows it."""

    wait_for_time: bool
    """Whether boundaries wait until something disciplined this machine's clock."""

    token: TokenConfig
    """Keys."""

    mqtt: MqttConfig
    """Broker."""

    place: PlaceConfig
    """Site."""

    batches: BatchConfig
    """When batches close."""

    buses: tuple[BusConfig, ...]
    """What is polled."""

    templates: Path | None = None
    """Folder of register templates beside those that come with the gateway."""


def load(path: Path) -> GatewayConfig:
    """Read and check a configuration file.

    Raises:
        BadConfiguration: what is wrong, in words.
        OSError: there is no such file.
    """
    top = Table(toml_of(path), path.name, path.resolve().parent)
    config = GatewayConfig(
        id=top.take("id", str),
        genesis=top.path("genesis"),
        spool=_spool(top),
        status=_address(top, "status"),
        paced_time_file=top.optional_path("paced_time_file"),
        wait_for_time=top.take("wait_for_time", bool, default=True),
        token=token_of(top.table("token")),
        mqtt=_mqtt(top.table("mqtt")),
        place=_place(top.table("place")),
        batches=_batches(top.table("batches")),
        buses=tuple(_bus(each) for each in top.tables("bus")),
        templates=top.optional_path("templates"),
    )
    top.end()
    _check_meters(config)
    return config


def status_in(path: Path, refused: BadConfiguration) -> Address:
    """The status address of a file that was refused, by which a running gateway can be asked.

    Raises BadConfiguration when not even that can be read.
    """
    try:
        return _address(Table(toml_of(path), path.name, path.parent), "status")
    except BadConfiguration:
        raise BadConfiguration(
            f"{refused}. To ask a gateway that runs: curl http://HOST:PORT/status with its `status`"
            " address, mostly 127.0.0.1:9464"
        ) from None


def toml_of(path: Path) -> dict[str, Any]:
    """A TOML file's content; raises BadConfiguration, or OSError."""
    try:
        return tomllib.loads(path.read_text())
    except RecursionError:
        raise BadConfiguration(f"{path}: not TOML: nested too deeply") from None
    except ValueError as reason:
        raise BadConfiguration(f"{path}: not TOML: {reason}") from None


def other_than_buses(one: GatewayConfig, other: GatewayConfig) -> list[str]:
    """Names of the keys outside the buses in which two configurations differ."""
    names = [each.name for each in fields(GatewayConfig) if each.name != "buses"]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def _spool(table: Table) -> Path:
    """The file itself, so that no second name leads a second gateway to it."""
    spool = table.path("spool").resolve()
    if spool.suffix != ".sqlite":
        raise table.wrong("spool", "ends in .sqlite; other files beside it have its name")
    return spool


def _address(table: Table, key: str) -> Address:
    host, _, port = table.take(key, str).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise table.wrong(key, "needs the form host:port")
    return Address(host, int(port))


def _mqtt(table: Table) -> MqttConfig:
    mqtt = MqttConfig(
        table.take("host", str),
        table.number("port", 1, 65_535),
        table.path("ca"),
        table.path("certificate"),
        table.path("key"),
    )
    table.end()
    return mqtt


def _place(table: Table) -> PlaceConfig:
    gpsd = _address(table, "gpsd") if table.has("gpsd") else None
    place = PlaceConfig(
        table.number("lat_e7", -900_000_000, 900_000_000),
        table.number("lon_e7", -1_800_000_000, 1_800_000_000),
        table.number("accuracy_dm", 0, 1_000_000),
        gpsd,
        table.take("nmea", str, ""),
        table.number("nmea_baudrate", 300, 1_000_000, 9_600),
    )
    if place.gpsd and place.nmea:
        raise table.wrong("nmea", "and gpsd are both set: name the one that has the receiver")
    table.end()
    return place


def _batches(table: Table) -> BatchConfig:
    batches = BatchConfig(
        table.number("max_readings", 1, MAX_READINGS), table.number("max_wait_s", 0, 86_400)
    )
    table.end()
    return batches


def _bus(table: Table) -> BusConfig:
    name = table.take("name", str)
    kind = table.take("kind", str)
    baudrate, parity, stopbits, readout = 9_600, PARITIES[0], 1, ""
    port: str | Address
    if kind == READOUT:
        port = table.take("port", str)
        readout = table.one_of("mode", READOUTS)
        baudrate = table.number("baudrate", 300, 115_200, _READOUT_BAUDRATES[readout])
    elif kind == "rtu":
        port = table.take("port", str)
        baudrate = table.number("baudrate", 300, 1_000_000, baudrate)
        parity = table.one_of("parity", PARITIES)
        stopbits = table.number("stopbits", 1, 2, stopbits)
    elif kind == "tcp":
        port = Address(table.take("host", str), table.number("tcp_port", 1, 65_535))
    else:
        raise table.wrong("kind", f"is {kind!r}; it can be rtu, tcp or {READOUT}")
    bus = BusConfig(
        name,
        port,
        baudrate,
        table.number("timeout_ms", 10, 60_000, _READOUT_TIMEOUT_MS if readout else 500),
        tuple(_meter(each, readout) for each in table.tables("meter")),
        parity,
        stopbits,
        readout,
    )
    table.end()
    return bus


def _meter(table: Table, readout: str) -> BusMeter:
    meter = BusMeter(
        table.take("id", str),
        table.number("unit", 1, MOST_UNIT, 1 if readout else None),
        table.take("template", str, READOUT if readout else None),
        table.optional_path("enrolment"),
        table.take("address", str, "") if readout else "",
    )
    if len(meter.address) > _MOST_ADDRESS or not (meter.address + "0").isalnum():
        raise table.wrong("address", f"is up to {_MOST_ADDRESS} letters and digits")
    table.end()
    return meter


def _check_meters(config: GatewayConfig) -> None:
    names: set[str] = set()
    for bus in config.buses:
        units: set[int] = set()
        for meter in bus.meters:
            if meter.id in names:
                raise BadConfiguration(f"meter {meter.id} stands twice")
            if meter.unit in units:
                raise BadConfiguration(f"bus {bus.name}: unit {meter.unit} stands twice")
            names.add(meter.id)
            units.add(meter.unit)
    if len({bus.name for bus in config.buses}) != len(config.buses):
        raise BadConfiguration("two buses have the same name")
