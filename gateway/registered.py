"""What is registered of this gateway and of the meters that it is told to poll.

Decides that configuration and registry agree before anything is polled: an unknown meter, a meter
that another gateway reads, or one whose kind differs is refused by name. Keys and places come from
the genesis file, or, for a meter enrolled later, from the enrolment that the configuration names,
when the meter and the zone's operator have signed it and a technician its commissioning; of a meter
that cannot sign, when the operator has. Keys,
technicians and zones that changed since come from the signed changes that it names. Whether and
from when on they hold, the validators decide; until then they answer "unknown-meter" and its
readings wait.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import SIGNING, BusConfig, BusMeter, GatewayConfig
from gateway.config_table import BadConfiguration
from gateway.delivery.intervals import Subject
from gateway.followed import followed
from gateway.meters import templates
from gateway.meters.decode import Limits
from gateway.meters.template import Template
from wire.commissioning import CommissioningRecord
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.transaction import Transaction, enrolment_of
from wire.transaction_bodies import CommissionedMeter, Entry


@dataclass(frozen=True, slots=True)
class SigningMeter:
    """A meter that signs its own readings."""

    id: str
    """Meter id."""

    unit: int
    """Modbus address."""

    node: str
    """Grid node."""

    key: PublicKey
    """Registered key."""


@dataclass(frozen=True, slots=True)
class PolledMeter:
    """A meter that cannot sign."""

    id: str
    """Meter id."""

    unit: int
    """Modbus address."""

    template: Template
    """How to read it."""

    subject: Subject
    """What its readings say of it."""

    limits: Limits
    """What it can plausibly count."""


Meter = SigningMeter | PolledMeter


@dataclass(frozen=True, slots=True)
class Registration:
    """This gateway's part of the registry."""

    witness_key: PublicKey
    """Verifies its witness statements."""

    reader_key: PublicKey
    """Verifies readings of meters that cannot sign."""

    buses: tuple[tuple[BusConfig, tuple[Meter, ...]], ...]
    """Each bus with its meters."""


def registration(config: GatewayConfig, genesis: Genesis, at_s: int | None = None) -> Registration:
    """Join configuration and registry; raises BadConfiguration when they disagree.

    Args:
        config: the gateway's.
        genesis: the network's.
        at_s: network time, Unix seconds, by which a key is in force; now when not given.
    """
    try:
        genesis = followed(config, genesis, int(time.time()) if at_s is None else at_s)
        gateway = _entry(genesis.registry["gateways"], config.id, "gateway")
        return Registration(
            PublicKey.from_text(gateway["witness_key"]),
            PublicKey.from_text(gateway["reader_key"]),
            tuple(
                (bus, tuple(_meter(each, bus, config, genesis) for each in bus.meters))
                for bus in config.buses
            ),
        )
    except (KeyError, TypeError, ValueError) as reason:
        raise BadConfiguration(f"the genesis registry cannot be read: {reason!r}") from None


def _entry(
    entries: list[dict[str, Any]], name: str, what: str, cure: str = "register it first"
) -> dict[str, Any]:
    for entry in entries:
        if entry["id"] == name:
            return entry
    raise BadConfiguration(f"{what} {name} is not in the genesis registry: {cure}")


def _enrolled(meter: str, path: Path, genesis: Genesis) -> dict[str, Any]:
    """The meter's entry from its enrolment, which the zone's operator must have signed."""
    try:
        transaction = Transaction.open(path.read_bytes())
        enrolled = _enrolling(transaction)
        entry = dict(enrolled.entry)
        if transaction.network != genesis.network or entry["id"] != meter:
            raise BadConfiguration(f"{path} enrols no meter {meter} of {genesis.topic_name}")
        zone = _entry(genesis.registry["zones"], str(entry.get("zone")), "zone")
        operator = _entry(genesis.registry["authorities"], zone["operator"], "operator")
        if isinstance(enrolled, CommissionedMeter):
            key = PublicKey.from_text(str(entry.get("key")))
            transaction.sign.verify(key)
            _check_commissioned(enrolled, key, zone["operator"], genesis)
        transaction.sign.verify(PublicKey.from_text(operator["key"]))
    except OSError as reason:
        raise BadConfiguration(f"the enrolment {path}: {reason.strerror}") from None
    except BadConfiguration:
        raise
    except Refused as reason:
        raise BadConfiguration(f"the enrolment {path} does not stand: {reason}") from None
    return entry


def _enrolling(transaction: Transaction) -> CommissionedMeter | Entry:
    """What enrols a meter; one without a key of its own has no commissioning record."""
    body = transaction.body
    if not isinstance(body, Entry) or body.table != "meters":
        return enrolment_of(transaction)
    if body.entry.get("key") != "":
        raise Malformed(f"meter {body.entry['id']} has a key of its own, which has not signed")
    return body


def _check_commissioned(
    enrolled: CommissionedMeter, key: PublicKey, operator: str, genesis: Genesis
) -> None:
    """Check the record that an enrolment carries, by the validators' rule; raises Refused."""
    entry = enrolled.entry
    technicians = [
        PublicKey.from_text(each["key"])
        for each in genesis.registry["technicians"]
        if each["operator"] == operator
    ]
    record = CommissioningRecord.open(enrolled.commissioning)
    number = str(entry.get("configuration_id"))
    try:
        configuration_id = bytes.fromhex(number)
    except ValueError:
        raise Malformed(f"configuration_id: {number[:20]!r} is not hexadecimal") from None
    node, zone = str(entry.get("node")), str(entry.get("zone"))
    record.check_entry(enrolled.meter, node, zone, configuration_id)
    record.technician_of(key, technicians)


def _meter(meter: BusMeter, bus: BusConfig, config: GatewayConfig, genesis: Genesis) -> Meter:
    if meter.enrolment is None:
        cure = "enrol it and name the signed file as its 'enrolment'"
        entry = _entry(genesis.registry["meters"], meter.id, "meter", cure)
    else:
        entry = _enrolled(meter.id, meter.enrolment, genesis)
    if (meter.template == SIGNING) != bool(entry["key"]):
        kind = "signs" if entry["key"] else "cannot sign"
        raise BadConfiguration(f"meter {meter.id} {kind}; its template is {meter.template}")
    if entry["reader"] not in (config.id, ""):
        raise BadConfiguration(f"meter {meter.id} is registered to be read by {entry['reader']}")
    if entry["key"]:
        try:
            return SigningMeter(
                meter.id, meter.unit, entry["node"], PublicKey.from_text(entry["key"])
            )
        except Refused as reason:
            raise BadConfiguration(f"meter {meter.id}: {reason}") from None
    template = templates.load(meter.template, config.templates)
    if (template.energy_registers.number.kind == "obis") != bool(bus.readout):
        raise BadConfiguration(
            f"meter {meter.id}: bus {bus.name} cannot be read with the template {template.name}"
        )
    subject = Subject(
        meter.id, entry["node"], bytes.fromhex(entry["configuration_id"]), template.hash
    )
    power_w = max(int(entry["rating_w"]), int(entry["installed_w"]))
    resolution_wh = max(template.resolution_wh, int(entry["register_wh"]))
    limits = Limits(power_w, resolution_wh, template.energy_registers.rollover_wh)
    return PolledMeter(meter.id, meter.unit, template, subject, limits)
