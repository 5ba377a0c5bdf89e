"""What single entries of a registry cannot show: that they fit together.

Decides the faults of a registry as a whole, and those of one meter, gateway or zone among the
others, in words. Reading single entries is `validator.app.entries`' business.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from validator.app.entries import Authority, Gateway, Meter, Role, Technician, Zone
from validator.app.ownership import in_own_hands
from validator.app.unmetered import UnmeteredLoad


@dataclass(frozen=True, slots=True)
class Tables:
    """All entries, by id."""

    authorities: Mapping[str, Authority]
    """Known organisations."""

    technicians: Mapping[str, Technician]
    """Who commissions meters."""

    gateways: Mapping[str, Gateway]
    """Who witnesses."""

    meters: Mapping[str, Meter]
    """Who measures."""

    zones: Mapping[str, Zone]
    """What has to balance."""

    unmetered: Mapping[str, UnmeteredLoad]
    """What is reckoned."""


def all_faults(tables: Tables) -> list[str]:
    """Everything that keeps these entries from being one registry."""
    faults = [*_shared_keys(tables), *_borrowed_keys(tables), *_unknown_operators(tables)]
    for gateway in tables.gateways.values():
        faults += gateway_faults(gateway, tables.zones)
    for zone in tables.zones.values():
        faults += parent_faults(zone, tables.zones)
    for meter in tables.meters.values():
        faults += meter_faults(meter, tables.gateways, tables.zones)
    for zone in tables.zones.values():
        own = [each for each in tables.meters.values() if each.zone == zone.id]
        faults += in_own_hands(zone, own, tables.gateways)
    for load in tables.unmetered.values():
        if load.zone not in tables.zones:
            faults.append(f"unmetered load {load.id}: unknown zone {load.zone!r}")
    return faults


def _shared_keys(tables: Tables) -> Iterable[str]:
    keys = [each.key for each in tables.technicians.values()]
    for gateway in tables.gateways.values():
        keys += [gateway.witness_key, gateway.reader_key]
    keys += [each.key for each in tables.meters.values() if each.key is not None]
    for raw, times in Counter(key.raw for key in keys).items():
        if times > 1:
            yield f"a key stands {times} times: {raw.hex()[:16]}…"


def _borrowed_keys(tables: Tables) -> Iterable[str]:
    keys = {each.key.raw: each.id for each in tables.authorities.values()}
    for technician in tables.technicians.values():
        if technician.key.raw in keys:
            yield f"technician {technician.id}: has the key of {keys[technician.key.raw]}"


def _unknown_operators(tables: Tables) -> Iterable[str]:
    operators = [(f"gateway {each.id}", each.operator) for each in tables.gateways.values()]
    operators += [(f"technician {each.id}", each.operator) for each in tables.technicians.values()]
    operators += [(f"zone {each.id}", each.operator) for each in tables.zones.values()]
    for name, operator in operators:
        if operator not in tables.authorities:
            yield f"{name}: operator {operator!r} is no registered authority"


def gateway_faults(gateway: Gateway, zones: Mapping[str, Zone]) -> list[str]:
    """Zones that a gateway serves and nobody knows."""
    unknown = sorted(name for name in gateway.zones if name not in zones)
    return [f"gateway {gateway.id}: unknown zone {name!r}" for name in unknown]


def parent_faults(child: Zone, zones: Mapping[str, Zone]) -> list[str]:
    """A parent that nobody knows, or a zone around itself."""
    seen = {child.id}
    above = child.parent
    while above:
        if above in seen:
            return [f"zone {child.id}: it is its own ancestor"]
        if above not in zones:
            return [f"zone {child.id}: unknown parent {above!r}"]
        seen.add(above)
        above = zones[above].parent
    return []


def meter_faults(
    each: Meter, gateways: Mapping[str, Gateway], zones: Mapping[str, Zone]
) -> list[str]:
    """A zone or a reader that nobody knows, or a reader that does not serve the zone."""
    faults = []
    if each.zone not in zones:
        faults.append(f"meter {each.id}: unknown zone {each.zone!r}")
    for name in (each.reader, *each.also_read_by):
        reader = gateways.get(name)
        if reader is None:
            faults.append(f"meter {each.id}: unknown reader {name!r}")
        elif each.zone not in reader.zones:
            faults.append(f"meter {each.id}: its reader {name} does not serve its zone")
    return faults


def zones_of(each: Meter, zones: Mapping[str, Zone]) -> tuple[str, ...]:
    """Zones whose seal uses a meter: its own, and the one around for a boundary meter."""
    parent = zones[each.zone].parent
    return (each.zone, parent) if each.role is Role.BOUNDARY and parent else (each.zone,)
