"""Who and what is registered: authorities, technicians, gateways, meters, zones.

Decides what a registry must look like to be one: typed, and checked whole, so that a network never
starts with a duplicate id, a weak key or a meter in no zone; and what one with other meters looks
like (`Registry.changed`). What follows from the registry for a reading or a zone is the rules'
business. `validator.app.entries` reads the single entries, `validator.app.registries` says which
registry holds when.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from validator.app import entries
from validator.app.capacity import Capacity, capacity
from validator.app.entries import Authority, Gateway, Meter, Role, Technician, Zone
from validator.app.feeder import Feeder
from validator.app.parameters import Parameters
from wire import cbor
from wire.errors import Refused
from wire.genesis import Genesis

_Entry = TypeVar("_Entry", Authority, Technician, Gateway, Meter, Zone)


class BadRegistry(Refused):
    """A registry that cannot be used, with everything that is wrong with it."""

    code = "bad-registry"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("registry: " + "; ".join(faults))
        self.faults = faults
        """One line for each thing that is wrong."""


@dataclass(frozen=True)
class Registry:
    """Everything that is registered, by id."""

    parameters: Parameters
    """Parameters of the rules."""

    network_name: str
    """What witness statements call this network."""

    authorities: Mapping[str, Authority]
    """Known organisations."""

    technicians: Mapping[str, Technician]
    """Who commissions meters."""

    gateways: Mapping[str, Gateway]
    """Gateways that may witness."""

    meters: Mapping[str, Meter]
    """Meters whose readings may be accepted."""

    zones: Mapping[str, Zone]
    """Zones, in order of id."""

    feeders: Mapping[str, Feeder]
    """What each zone's seal needs of its members and lines, by zone."""

    capacities: Mapping[str, Capacity]
    """The most that each meter can count in one interval, by meter."""

    zones_of_meter: Mapping[str, tuple[str, ...]]
    """Zones whose seal uses the meter: its own, and the parent's for a boundary meter."""

    written: Mapping[str, Mapping[str, Any]]
    """Meters and zones as written, by kind and id: what a seal's parameters hash is over."""

    @classmethod
    def of(cls, genesis: Genesis) -> Self:
        """Read the genesis file's registry.

        Raises:
            BadRegistry: naming everything that is wrong, not the first thing only.
            Malformed: a parameter is no number in its range.
        """
        parameters = Parameters.of(genesis.parameters)
        raw = genesis.registry
        faults: list[str] = []
        authorities = _entries(raw["authorities"], "authority", entries.authority, faults)
        technicians = _entries(raw["technicians"], "technician", entries.technician, faults)
        gateways = _entries(raw["gateways"], "gateway", entries.gateway, faults)
        meters = _entries(raw["meters"], "meter", entries.meter, faults)
        zones = _entries(raw["zones"], "zone", entries.zone, faults)
        if raw["unmetered"]:
            faults.append("unmetered loads cannot be sealed yet: the list must be empty")
        if not faults:
            faults += _relations(authorities, technicians, gateways, meters, zones)
        if faults:
            raise BadRegistry(faults)
        registry = cls(
            parameters,
            genesis.topic_name,
            authorities,
            technicians,
            gateways,
            meters,
            zones,
            {},
            {each.id: capacity(each, parameters) for each in meters.values()},
            {each.id: _zones_of(each, zones) for each in meters.values()},
            {kind: {each["id"]: each for each in raw[kind]} for kind in ("meters", "zones")},
        )
        return replace(registry, feeders=_feeders(registry, zones))

    def governed(self, parameters: Parameters, authorities: Mapping[str, Authority]) -> Self:
        """The registry under other parameters and authorities.

        Raises BadRegistry when it does not fit them.
        """
        if (parameters, authorities) == (self.parameters, self.authorities):
            return self
        registry = replace(self, parameters=parameters, authorities=authorities)
        if parameters == self.parameters:
            return registry
        capacities = {each.id: capacity(each, parameters) for each in self.meters.values()}
        registry = replace(registry, capacities=capacities)
        return replace(registry, feeders=_feeders(registry, registry.zones))

    def misfits(self, meter: Meter) -> list[str]:
        """What keeps one meter more from being registered: no reader, no line to its node."""
        faults = _meter_faults(meter, self.gateways, self.zones)
        for name in () if faults else _zones_of(meter, self.zones):
            bounds = [meter] if meter.zone == name and meter.role is Role.BOUNDARY else []
            inner = [] if bounds else [meter]
            try:
                Feeder.of(self.zones[name], bounds, inner, self.parameters, b"")
            except Refused as reason:
                faults.append(f"zone {name}: {reason}")
        return faults

    def changed(self, added: Sequence[tuple[Meter, Any]], removed: Collection[str]) -> Self:
        """The registry with other meters.

        Args:
            added: meters with their entries as written; each fits, and none is registered.
            removed: ids of meters that are taken out, after the others were added.

        Raises:
            BadRegistry: an added meter does not fit after all.
        """
        meters = {**self.meters, **{each.id: each for each, _ in added}}
        zones_of_meter = {
            **self.zones_of_meter,
            **{each.id: _zones_of(each, self.zones) for each, _ in added},
        }
        touched = {
            zone
            for name in (*(each.id for each, _ in added), *removed)
            for zone in zones_of_meter[name]
        }
        capacities = {
            **self.capacities,
            **{each.id: capacity(each, self.parameters) for each, _ in added},
        }
        written = {**self.written["meters"], **{each.id: raw for each, raw in added}}
        registry = replace(
            self,
            meters=_kept(meters, removed),
            capacities=_kept(capacities, removed),
            zones_of_meter=_kept(zones_of_meter, removed),
            written={**self.written, "meters": _kept(written, removed)},
        )
        return replace(registry, feeders={**self.feeders, **_feeders(registry, sorted(touched))})


_Value = TypeVar("_Value")


def _kept(values: Mapping[str, _Value], removed: Collection[str]) -> dict[str, _Value]:
    return {name: values[name] for name in sorted(values) if name not in removed}


def _entries(
    raw: Any, kind: str, read: Callable[[Any], _Entry], faults: list[str]
) -> dict[str, _Entry]:
    """Read all entries of one kind, ordered by id; faults are added to the list."""
    found: dict[str, _Entry] = {}
    if not isinstance(raw, list):
        faults.append(f"{kind}: not a list")
        return found
    for place, item in enumerate(raw):
        name = item.get("id") if isinstance(item, dict) else None
        try:
            entry = read(item)
        except Refused as reason:
            faults.append(f"{kind} {name if isinstance(name, str) else place}: {reason}")
            continue
        if entry.id in found:
            faults.append(f"{kind} {entry.id}: registered twice")
        found[entry.id] = entry
    return dict(sorted(found.items()))


def _relations(
    authorities: Mapping[str, Authority],
    technicians: Mapping[str, Technician],
    gateways: Mapping[str, Gateway],
    meters: Mapping[str, Meter],
    zones: Mapping[str, Zone],
) -> list[str]:
    """What single entries cannot show: that they fit together."""
    faults = [*_shared_keys(technicians, gateways, meters)]
    keys = {each.key.raw: each.id for each in authorities.values()}
    for technician in technicians.values():
        if technician.key.raw in keys:
            faults.append(f"technician {technician.id}: has the key of {keys[technician.key.raw]}")
    operators = [(f"gateway {each.id}", each.operator) for each in gateways.values()]
    operators += [(f"technician {each.id}", each.operator) for each in technicians.values()]
    operators += [(f"zone {each.id}", each.operator) for each in zones.values()]
    for name, operator in operators:
        if operator not in authorities:
            faults.append(f"{name}: operator {operator!r} is no registered authority")
    for gateway in gateways.values():
        unknown = sorted(set(gateway.zones) - zones.keys())
        faults += [f"gateway {gateway.id}: unknown zone {name!r}" for name in unknown]
    for zone in zones.values():
        faults += _parent_faults(zone, zones)
    for meter in meters.values():
        faults += _meter_faults(meter, gateways, zones)
    return faults


def _shared_keys(
    technicians: Mapping[str, Technician],
    gateways: Mapping[str, Gateway],
    meters: Mapping[str, Meter],
) -> Iterable[str]:
    keys = [each.key for each in technicians.values()]
    keys += [key for each in gateways.values() for key in (each.witness_key, each.reader_key)]
    keys += [each.key for each in meters.values() if each.key is not None]
    for raw, times in Counter(key.raw for key in keys).items():
        if times > 1:
            yield f"a key stands {times} times: {raw.hex()[:16]}…"


def _parent_faults(child: Zone, zones: Mapping[str, Zone]) -> list[str]:
    seen = {child.id}
    above = child.parent
    while above:
        if above not in zones:
            return [f"zone {child.id}: unknown parent {above!r}"]
        if above in seen:
            return [f"zone {child.id}: it is its own ancestor"]
        seen.add(above)
        above = zones[above].parent
    return []


def _meter_faults(
    each: Meter, gateways: Mapping[str, Gateway], zones: Mapping[str, Zone]
) -> list[str]:
    faults = []
    if each.zone not in zones:
        faults.append(f"meter {each.id}: unknown zone {each.zone!r}")
    reader = gateways.get(each.reader)
    if reader is None:
        faults.append(f"meter {each.id}: unknown reader {each.reader!r}")
    elif each.zone not in reader.zones:
        faults.append(f"meter {each.id}: its reader {reader.id} does not serve its zone")
    return faults


def _zones_of(each: Meter, zones: Mapping[str, Zone]) -> tuple[str, ...]:
    parent = zones[each.zone].parent
    return (each.zone, parent) if each.role is Role.BOUNDARY and parent else (each.zone,)


def _feeders(registry: Registry, names: Iterable[str]) -> dict[str, Feeder]:
    """What the seals of these zones need; raises BadRegistry."""
    feeders, faults = {}, []
    for name in names:
        try:
            feeders[name] = _feeder(registry, registry.zones[name])
        except Refused as reason:
            faults.append(f"zone {name}: {reason}")
    if faults:
        raise BadRegistry(faults)
    return feeders


def _feeder(registry: Registry, zone: Zone) -> Feeder:
    meters = registry.meters.values()
    own = [meter for meter in meters if meter.zone == zone.id]
    boundary = [meter for meter in own if meter.role is Role.BOUNDARY]
    inner = [meter for meter in own if meter.role is not Role.BOUNDARY]
    inner += [
        meter
        for meter in meters
        if meter.role is Role.BOUNDARY and registry.zones[meter.zone].parent == zone.id
    ]
    written = registry.written
    content = [
        registry.parameters.items(),
        written["zones"][zone.id],
        [written["meters"][meter.id] for meter in [*boundary, *inner]],
    ]
    digest = hashlib.sha256(cbor.encode(content)).digest()
    return Feeder.of(zone, boundary, inner, registry.parameters, digest)
