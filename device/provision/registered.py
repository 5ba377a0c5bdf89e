"""What a network already knows: whether a meter id or a node is taken, before anything is written.

Decides by a genesis file, by a validator's HTTP API, or by both. It only saves a wasted visit: the
validators decide again when the meter is enrolled.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.provision import faults
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


def from_genesis(path: Path) -> list[Mapping[str, Any]]:
    """The meters that a genesis file registers; raises a Fault."""
    try:
        genesis = Genesis.load(path)
        return [entry for entry in genesis.registry["meters"] if isinstance(entry, dict)]
    except (Refused, OSError) as reason:
        raise faults.BROKEN_GENESIS.fault(path=path, why=_plain(reason)) from None


def from_validator(desk: Desk, meter: str) -> list[Mapping[str, Any]]:
    """The entry of one meter as a validator knows it now, or none; raises a Fault."""
    try:
        said = desk.ask("GET", f"/api/v1/registry/meters/{meter}")
        if said.status == 404:
            return []
        if said.status != 200:
            raise Unavailable(f"it answers {said.status}")
        found = json.loads(said.content)
    except (Unavailable, ValueError, RecursionError) as reason:
        raise faults.REGISTRY_AWAY.fault(url=desk.url, why=reason) from None
    entry = found.get("meter") if isinstance(found, dict) else None
    return [entry] if isinstance(entry, dict) and entry.get("id") == meter else []


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
