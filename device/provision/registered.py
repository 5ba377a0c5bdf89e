"""What a network already knows: whether a meter id or a node is taken, before anything is written.

Decides by a genesis file, by a validator's HTTP API, or by both. It only saves a wasted visit: the
validators decide again when the meter is enrolled.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.provision import faults
from wire.errors import Refused
from wire.genesis import Genesis
from wire.keys import PublicKey

_TIMEOUT_S = 5.0
_MOST_ANSWER = 1 << 20


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


def from_validator(url: str, meter: str) -> list[Mapping[str, Any]]:
    """The entry of one meter as a validator knows it now, or none; raises a Fault."""
    try:
        address = f"{url.rstrip('/')}/api/v1/registry/meters/{meter}"
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            found = json.loads(answer.read(_MOST_ANSWER))
    except urllib.error.HTTPError as reason:
        if reason.code == 404:
            return []
        raise faults.REGISTRY_AWAY.fault(url=url, why=reason) from None
    except (OSError, ValueError) as reason:
        why = _plain(getattr(reason, "reason", reason))
        raise faults.REGISTRY_AWAY.fault(url=url, why=why) from None
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
