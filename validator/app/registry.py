"""Who and what is registered: authorities, technicians, gateways, meters, zones, unmetered loads.

Decides what a registry must look like to be one: typed, and checked whole, so that a network never
starts with a duplicate id, a weak key or a meter in no zone; and what follows from it for a zone's
seal (`Registry.feeder`). What follows for a reading or a window is the rules' business.
`validator.app.entries` reads the single entries, `validator.app.relations` says whether they fit
together, `validator.app.registries` which registry holds when.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from validator.app import entries
from validator.app.capacity import Capacity, capacity
from validator.app.entries import Authority, Gateway, Meter, Role, Technician, Zone
from validator.app.feeder import Feeder
from validator.app.looked import Looked
from validator.app.parameters import Parameters
from validator.app.relations import Tables, all_faults, meter_faults, zones_of
from validator.app.unmetered import UnmeteredLoad, unmetered_load
from wire import cbor
from wire.errors import Refused
from wire.genesis import Genesis

_Entry = TypeVar("_Entry", Authority, Technician, Gateway, Meter, Zone, UnmeteredLoad)

WRITTEN = ("gateways", "meters", "technicians", "unmetered", "zones")
"""What transactions change, by the genesis file's lists."""


class BadRegistry(Refused):
    """A registry that cannot be used, with everything that is wrong with it."""

    code = "bad-registry"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("registry: " + "; ".join(faults))
        self.faults = faults
        """One line for each thing that is wrong."""


Inside = Mapping[tuple[str, str], Sequence[str]]
"""(table, zone) -> ids of what is in that zone, or was, or will be."""


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

    unmetered: Mapping[str, UnmeteredLoad]
    """Loads without a meter."""

    written: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Entries as written, by table and id: what a seal's parameters hash is over."""

    inside: Inside = field(compare=False, repr=False)
    """Where to look for what is in a zone."""

    prepared: Callable[[str], Feeder] | None = field(default=None, compare=False, repr=False)
    """Gives a zone's feeder, made before; None: it is made each time."""

    @classmethod
    def of(cls, genesis: Genesis) -> Self:
        """Read the genesis file's registry.

        Raises:
            BadRegistry: naming everything that is wrong, not the first thing only.
            Malformed: a parameter is no number in its range.
        """
        raw = genesis.registry
        faults: list[str] = []
        tables = Tables(
            _entries(raw["authorities"], "authority", entries.authority, faults),
            _entries(raw["technicians"], "technician", entries.technician, faults),
            _entries(raw["gateways"], "gateway", entries.gateway, faults),
            _entries(raw["meters"], "meter", entries.meter, faults),
            _entries(raw["zones"], "zone", entries.zone, faults),
            _entries(raw["unmetered"], "unmetered load", unmetered_load, faults),
        )
        if not faults:
            faults += all_faults(tables)
        if faults:
            raise BadRegistry(faults)
        registry = cls(
            Parameters.of(genesis.parameters),
            genesis.topic_name,
            tables.authorities,
            tables.technicians,
            tables.gateways,
            tables.meters,
            tables.zones,
            tables.unmetered,
            {kind: {each["id"]: each for each in raw[kind]} for kind in WRITTEN},
            _inside(tables),
        )
        registry.check_feeders()
        return registry

    @property
    def feeders(self) -> Mapping[str, Feeder]:
        """What each zone's seal needs of its members and lines, by zone."""
        make = self.prepared or self.feeder
        return Looked(lambda: self.zones, lambda name: make(name) if name in self.zones else None)

    @property
    def capacities(self) -> Mapping[str, Capacity]:
        """The most that each meter can count in one interval, by meter."""
        return Looked(lambda: self.meters, self._capacity)

    @property
    def zones_of_meter(self) -> Mapping[str, tuple[str, ...]]:
        """Zones whose seal uses the meter: its own, and the parent's for a boundary meter."""
        return Looked(lambda: self.meters, self._zones_of)

    def _capacity(self, name: str) -> Capacity | None:
        meter = self.meters.get(name)
        return None if meter is None else capacity(meter, self.parameters)

    def _zones_of(self, name: str) -> tuple[str, ...] | None:
        meter = self.meters.get(name)
        return None if meter is None else zones_of(meter, self.zones)

    def governed(self, parameters: Parameters, authorities: Mapping[str, Authority]) -> Self:
        """The registry under other parameters and authorities.

        Raises BadRegistry when it does not fit them.
        """
        if (parameters, authorities) == (self.parameters, self.authorities):
            return self
        registry = replace(self, parameters=parameters, authorities=authorities)
        if parameters != self.parameters:
            registry.check_feeders()
        return registry

    def check_feeders(self) -> None:
        """Raises BadRegistry when a zone's lines do not reach what is in it."""
        faults = [fault for name in self.zones for fault in self.zone_faults(name)]
        if faults:
            raise BadRegistry(faults)

    def zone_faults(self, name: str) -> list[str]:
        """What keeps a zone from being sealed."""
        try:
            self.feeder(name)
        except Refused as reason:
            return [f"zone {name}: {reason}"]
        return []

    def misfits(self, meter: Meter) -> list[str]:
        """What keeps one meter more from being registered: no reader, no line to its node."""
        faults = meter_faults(meter, self.gateways, self.zones)
        for name in () if faults else zones_of(meter, self.zones):
            bounds = [meter] if meter.zone == name and meter.role is Role.BOUNDARY else []
            inner = [] if bounds else [meter]
            try:
                Feeder.of(self.zones[name], bounds, inner, self.parameters, b"")
            except Refused as reason:
                faults.append(f"zone {name}: {reason}")
        return faults

    def meters_in(self, zone: str) -> list[Meter]:
        """A zone's own meters, by id."""
        found = (self.meters.get(name) for name in self.inside.get(("meters", zone), ()))
        return [each for each in found if each is not None and each.zone == zone]

    def children_of(self, zone: str) -> list[Zone]:
        """Zones that this one is around, by id."""
        found = (self.zones.get(name) for name in self.inside.get(("zones", zone), ()))
        return [each for each in found if each is not None and each.parent == zone]

    def loads_in(self, zone: str) -> list[UnmeteredLoad]:
        """A zone's unmetered loads, by id."""
        found = (self.unmetered.get(name) for name in self.inside.get(("unmetered", zone), ()))
        return [each for each in found if each is not None and each.zone == zone]

    def feeder(self, name: str) -> Feeder:
        """What a zone's seal needs; raises Malformed when its lines do not reach what is in it."""
        zone, own = self.zones[name], self.meters_in(name)
        boundary = [meter for meter in own if meter.role is Role.BOUNDARY]
        inner = [meter for meter in own if meter.role is not Role.BOUNDARY]
        below = [meter for child in self.children_of(name) for meter in self.meters_in(child.id)]
        inner += sorted(
            (meter for meter in below if meter.role is Role.BOUNDARY), key=lambda each: each.id
        )
        loads = self.loads_in(name)
        written = self.written
        content = [
            self.parameters.items(),
            written["zones"][name],
            [written["meters"][meter.id] for meter in [*boundary, *inner]],
            [written["unmetered"][load.id] for load in loads],
        ]
        digest = hashlib.sha256(cbor.encode(content)).digest()
        return Feeder.of(zone, boundary, inner, self.parameters, digest, loads)


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


def _inside(tables: Tables) -> Inside:
    found: dict[tuple[str, str], list[str]] = {}
    for meter in tables.meters.values():
        found.setdefault(("meters", meter.zone), []).append(meter.id)
    for load in tables.unmetered.values():
        found.setdefault(("unmetered", load.zone), []).append(load.id)
    for zone in tables.zones.values():
        if zone.parent:
            found.setdefault(("zones", zone.parent), []).append(zone.id)
    return found
