"""Whether a change fits everything that is registered from then on.

A change is accepted before others that hold later are known, and after others that do: so it is
held against what is registered for its first interval and for every later one. Decides words for
what does not fit. Whose signature it needs is decided elsewhere.
"""

from collections.abc import Iterable, Sequence
from typing import cast

from validator.app.changes import Change, Drop, Edit, Put
from validator.app.entries import Gateway, Meter, Role, Zone
from validator.app.feeder import Feeder
from validator.app.ownership import in_own_hands
from validator.app.registries import Registries
from validator.app.relations import parent_faults
from validator.app.unmetered import UnmeteredLoad
from wire.errors import Refused


def misfits(registries: Registries, change: Change) -> list[str]:
    """What of a change does not fit."""
    faults = [fault for edit in change.edits for fault in _misfits(registries, change, edit)]
    return faults or _in_own_hands(registries.with_change(change), change)


def _misfits(registries: Registries, change: Change, edit: Edit) -> list[str]:
    from_s = change.from_s
    match edit:
        case Put(entry=Meter() as meter):
            return _meter_misfits(registries, meter, from_s)
        case Put(entry=UnmeteredLoad() as load):
            return _load_misfits(registries, load, from_s)
        case Put(entry=Gateway() as gateway):
            return _gateway_misfits(registries, gateway, from_s)
        case Put(entry=Zone() as zone):
            return _zone_misfits(registries, zone, change)
        case Drop(table="gateways", id=name):
            return [f"{each.id} is read by it" for each in _read_by(registries, name, from_s)]
        case Drop(table="zones", id=name):
            return [f"{each} is in it" for each in _in_zone(registries, name, from_s)]
    return []


def _zones(registries: Registries, name: str, from_s: int) -> list[Zone]:
    return cast("list[Zone]", registries.later("zones", name, from_s))


def _gateways(registries: Registries, name: str, from_s: int) -> list[Gateway]:
    return cast("list[Gateway]", registries.later("gateways", name, from_s))


def _meter_misfits(registries: Registries, meter: Meter, from_s: int) -> list[str]:
    """No zone, no reader that serves it, no line to its node."""
    if not registries.lasts("zones", meter.zone, from_s):
        return [f"zone {meter.zone} is not registered, or will not be"]
    for reader in (meter.reader, *meter.also_read_by):
        if not registries.lasts("gateways", reader, from_s):
            return [f"its reader {reader} is not registered, or will not be"]
        for gateway in _gateways(registries, reader, from_s):
            if meter.zone not in gateway.zones:
                return [f"its reader {reader} does not serve {meter.zone}"]
    faults = []
    is_boundary = meter.role is Role.BOUNDARY
    for zone in _zones(registries, meter.zone, from_s):
        faults += _unreached(registries, zone, [meter], [])
        for around in _zones(registries, zone.parent, from_s) if is_boundary else ():
            faults += _unreached(registries, around, [], [meter])
    return faults


def _load_misfits(registries: Registries, load: UnmeteredLoad, from_s: int) -> list[str]:
    if not registries.lasts("zones", load.zone, from_s):
        return [f"zone {load.zone} is not registered, or will not be"]
    zones = _zones(registries, load.zone, from_s)
    return [fault for zone in zones for fault in _unreached(registries, zone, [], [], [load])]


def _gateway_misfits(registries: Registries, gateway: Gateway, from_s: int) -> list[str]:
    """A zone that it serves is not there, or one that it reads a meter in is not served."""
    faults = [
        f"zone {name} is not registered, or will not be"
        for name in sorted(gateway.zones)
        if not registries.lasts("zones", name, from_s)
    ]
    read = _read_by(registries, gateway.id, from_s)
    faults += [
        f"it reads {each.id} in {each.zone}" for each in read if each.zone not in gateway.zones
    ]
    return faults


def _zone_misfits(registries: Registries, zone: Zone, change: Change) -> list[str]:
    """No parent, a parent that is inside, or something that its lines do not reach."""
    from_s = change.from_s
    if zone.parent and not registries.lasts("zones", zone.parent, from_s):
        return [f"its parent {zone.parent} is not registered, or will not be"]
    candidate = registries.with_change(change)
    for start_s in _structural_starts(candidate, from_s):
        faults = parent_faults(zone, candidate.at(start_s).zones)
        if faults:
            return faults
    own = _meters_in(registries, zone.id, from_s)
    below = [
        meter
        for name in registries.inside("zones", zone.id)
        for child in _zones(registries, name, from_s)
        if child.parent == zone.id
        for meter in _meters_in(registries, name, from_s)
        if meter.role is Role.BOUNDARY
    ]
    faults = _unreached(registries, zone, own, below, _loads_in(registries, zone.id, from_s))
    boundary = [meter for meter in own if meter.role is Role.BOUNDARY]
    for around in _zones(registries, zone.parent, from_s):
        faults += _unreached(registries, around, [], boundary)
    return faults


def _in_own_hands(candidate: Registries, change: Change) -> list[str]:
    """Zones that the change touches and whose reference one credited party would hold alone."""
    touched: set[str] = set()
    for edit in change.edits:
        match edit:
            case Put(entry=Meter() as meter):
                touched.add(meter.zone)
            case Put(entry=Gateway() as gateway):
                touched |= gateway.zones
            case Put(entry=Zone() as zone):
                touched.add(zone.id)
    faults = []
    for name in sorted(touched):
        own = _meters_in(candidate, name, change.from_s)
        readers = {reader for each in own for reader in (each.reader, *each.also_read_by)}
        gateways = {
            each.id: each
            for reader in sorted(readers)
            for each in _gateways(candidate, reader, change.from_s)
        }
        for zone in _zones(candidate, name, change.from_s):
            faults += in_own_hands(zone, own, gateways)
    return faults


def _structural_starts(registries: Registries, from_s: int) -> list[int]:
    """That interval's start, and later ones from which on a zone is registered otherwise."""
    later = {
        each.from_s
        for each in registries.changes
        if each.from_s > from_s and any(edit.table == "zones" for edit in each.edits)
    }
    return [from_s, *sorted(later)]


def _unreached(
    registries: Registries,
    zone: Zone,
    own: Sequence[Meter],
    below: Sequence[Meter],
    loads: Sequence[UnmeteredLoad] = (),
) -> list[str]:
    """Why a zone's lines do not reach these."""
    boundary = [meter for meter in own if meter.role is Role.BOUNDARY]
    inner = [meter for meter in own if meter.role is not Role.BOUNDARY]
    try:
        Feeder.of(zone, boundary, [*inner, *below], registries.base.parameters, b"", loads)
    except Refused as reason:
        return [f"zone {zone.id}: {reason}"]
    return []


def _meters_in(registries: Registries, zone: str, from_s: int) -> list[Meter]:
    found = (
        each
        for name in registries.inside("meters", zone)
        for each in registries.later("meters", name, from_s)
    )
    return [each for each in cast("Iterable[Meter]", found) if each.zone == zone]


def _loads_in(registries: Registries, zone: str, from_s: int) -> list[UnmeteredLoad]:
    found = (
        each
        for name in registries.inside("unmetered", zone)
        for each in registries.later("unmetered", name, from_s)
    )
    return [each for each in cast("Iterable[UnmeteredLoad]", found) if each.zone == zone]


def _read_by(registries: Registries, gateway: str, from_s: int) -> list[Meter]:
    """Meters that a gateway reads then or later; they are in zones that it serves or served."""
    zones = {name for each in _gateways(registries, gateway, 0) for name in each.zones}
    found = (each for zone in sorted(zones) for each in _meters_in(registries, zone, from_s))
    return [each for each in found if gateway in (each.reader, *each.also_read_by)]


def _in_zone(registries: Registries, zone: str, from_s: int) -> list[str]:
    """What would be left without its zone."""
    found = [each.id for each in _meters_in(registries, zone, from_s)]
    found += [each.id for each in _loads_in(registries, zone, from_s)]
    for name in registries.inside("zones", zone):
        if any(each.parent == zone for each in _zones(registries, name, from_s)):
            found.append(name)
    for name in registries.ids_ever("gateways"):
        if any(zone in each.zones for each in _gateways(registries, name, from_s)):
            found.append(name)
    return found
