"""What a network already knows: meters, zones, gateways, technicians.

Decides by a genesis file, by a validator's HTTP API, or by both, before anything is written,
whether a meter id or a node is taken and a line reaches the node. It only saves a wasted visit:
the validators decide again when the meter is enrolled.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.provision import faults
from device.provision.hands import REACH_M
from device.provision.submission import Desk
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Place:
    """Which meter is to measure where."""

    meter: str
    """Meter id."""

    node: str
    """Grid node."""

    replaces: str = ""
    """Id of the meter that this one replaces at the node."""

    shared_node: bool = False
    """Whether several meters may measure the node."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What the network has registered of the zone that a meter is to be in."""

    zone: str
    """Zone id."""

    entry: Mapping[str, Any] | None
    """The zone as the genesis file writes it; None: there is no such zone."""

    role: str
    """The meter's role in it: customer, source or boundary."""

    def check(self, node: str) -> None:
        """Raise a Fault when no line reaches a node: the validators' rule (`validator.app`)."""
        why = self._missing(node)
        if why:
            raise faults.NOT_REACHED.fault(zone=self.zone, node=node, why=why)

    def _missing(self, node: str) -> str:
        if self.entry is None:
            return "no zone of that name is registered"
        branches = self.entry.get("branches")
        if not isinstance(branches, list) or not branches:
            return ""  # Without lines a zone is one node.
        root = self.entry.get("root")
        if self.role == "boundary":
            return "" if node == root else f"a boundary meter is at its root {root}"
        ends = {each.get(end) for each in branches if isinstance(each, dict) for end in _ENDS}
        nodes = sorted(map(str, {*ends, root}))
        if node in nodes:
            return ""
        more = f" and {len(nodes) - _MOST_NODES} more" if len(nodes) > _MOST_NODES else ""
        return f"its nodes are {', '.join(nodes[:_MOST_NODES])}{more}"


_ENDS = ("from", "to")
_MOST_NODES = 8
_MOST_PAGES = 100
_REGISTRY = "/api/v1/registry"


def zone_from_genesis(path: Path, zone: str) -> Mapping[str, Any] | None:
    """A zone as a genesis file registers it, None when it does not; raises a Fault."""
    return next((each for each in _entries(path, "zones") if each.get("id") == zone), None)


def from_genesis(path: Path) -> list[Mapping[str, Any]]:
    """The meters that a genesis file registers; raises a Fault."""
    return _entries(path, "meters")


def _entries(path: Path, table: str) -> list[Mapping[str, Any]]:
    try:
        genesis = Genesis.load(path)
        return [entry for entry in genesis.registry[table] if isinstance(entry, dict)]
    except (Refused, OSError) as reason:
        raise faults.BROKEN_GENESIS.fault(path=path, why=_plain(reason)) from None


def from_validator(desk: Desk, meter: str) -> list[Mapping[str, Any]]:
    """The entry of one meter as a validator knows it now, or none; raises a Fault."""
    entry = _asked(desk, "meters", meter, "meter")
    return [] if entry is None else [entry]


def zone_from_validator(desk: Desk, zone: str) -> Mapping[str, Any] | None:
    """A zone as a validator knows it now, None when there is none; raises a Fault."""
    return _asked(desk, "zones", zone, "entry")


def gateway_from_genesis(path: Path, gateway: str) -> Mapping[str, Any] | None:
    """A gateway as a genesis file registers it, None when it does not; raises a Fault."""
    return next((each for each in _entries(path, "gateways") if each.get("id") == gateway), None)


def technicians_from_genesis(path: Path) -> list[Mapping[str, Any]]:
    """The technicians that a genesis file registers; raises a Fault."""
    return _entries(path, "technicians")


def gateway_from_validator(desk: Desk, gateway: str) -> Mapping[str, Any] | None:
    """A gateway as a validator knows that it will be, None when there is none; raises a Fault.

    An enrolment holds from tomorrow on: one that was accepted for later counts.
    """
    found = _get(desk, f"{_REGISTRY}/gateways/{gateway}")
    steps = found.get("history") if isinstance(found, dict) else None
    entry = steps[-1].get("entry") if isinstance(steps, list) and steps else None
    return entry if isinstance(entry, dict) and entry.get("id") == gateway else None


def technicians_from_validator(desk: Desk) -> list[Mapping[str, Any]]:
    """The technicians that a validator knows now; raises a Fault."""
    known: list[Mapping[str, Any]] = []
    after: Any = ""
    for _ in range(_MOST_PAGES):
        page = _get(desk, f"{_REGISTRY}/technicians?after={after}")
        items = page.get("items") if isinstance(page, dict) else None
        found = [each.get("entry") for each in items or [] if isinstance(each, dict)]
        known += [each for each in found if isinstance(each, dict)]
        after = page.get("next") if isinstance(page, dict) else None
        if not isinstance(after, str) or not after:
            break
    return known


def reach_from_validator(desk: Desk) -> int:
    """How far a line reaches by the parameters in force, metres; raises a Fault."""
    eras = _get(desk, "/api/v1/governance/parameters")
    force = [each for each in eras or [] if isinstance(each, dict) and each.get("effective")]
    values = force[-1].get("parameters") if force else None
    reach_m = values.get("reach_m") if isinstance(values, dict) else None
    return reach_m if isinstance(reach_m, int) else REACH_M


def _asked(desk: Desk, table: str, name: str, field: str) -> Mapping[str, Any] | None:
    found = _get(desk, f"{_REGISTRY}/{table}/{name}")
    entry = found.get(field) if isinstance(found, dict) else None
    return entry if isinstance(entry, dict) and entry.get("id") == name else None


def _get(desk: Desk, path: str) -> Any:
    """What a validator answers, None when it has no such thing; raises a Fault."""
    try:
        said = desk.ask("GET", path)
        if said.status == 404:
            return None
        if said.status != 200:
            raise Unavailable(f"it answers {said.status}")
        return json.loads(said.content)
    except (Unavailable, ValueError, RecursionError) as reason:
        raise faults.REGISTRY_AWAY.fault(url=desk.url, why=reason) from None


def _plain(reason: object) -> str:
    """A reason without the system's number for it."""
    return (isinstance(reason, OSError) and reason.strerror) or str(reason)


def check(entries: Iterable[Mapping[str, Any]], place: Place, key: PublicKey | None) -> None:
    """Raises a Fault when the meter or its node is taken; `key` is the board's, None: none yet."""
    others = []
    for entry in entries:
        if entry.get("id") == place.meter:
            _check_same(entry, place, key)
        elif entry.get("node") == place.node and entry.get("id") != place.replaces:
            others.append(str(entry.get("id")))
    if others and not place.shared_node:
        raise faults.NODE_TAKEN.fault(node=place.node, meters=", ".join(others), first=others[0])


def _check_same(entry: Mapping[str, Any], place: Place, key: PublicKey | None) -> None:
    registered = str(entry.get("key", ""))
    if not registered or (key is not None and key.text == registered):
        return
    try:
        kid = PublicKey.from_text(registered).kid.hex()
    except Refused:
        kid = "unreadable"
    raise faults.METER_ENROLLED.fault(meter=place.meter, kid=kid, node=entry.get("node"))
