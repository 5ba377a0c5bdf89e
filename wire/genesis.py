"""The genesis file: who the first authorities are, what they registered, which parameters rule.

Decides the network id (SHA-256 over the deterministic CBOR of the parsed JSON, so that spaces and
order of keys do not matter) and the first validator set. The registry's content is given raw: the
application types and checks it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from wire import cbor, fields
from wire.block import ValidatorSet
from wire.errors import Malformed
from wire.keys import PublicKey

FORMAT = 1
_KEYS = {
    "format",
    "name",
    "time_ms",
    "paced_time",
    "parameters",
    "authorities",
    "validators",
    "gateways",
    "meters",
    "zones",
    "unmetered",
}
_OPTIONAL = {"technicians"}
_REGISTRY = ("authorities", "technicians", "gateways", "meters", "zones", "unmetered")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("genesis: a key stands twice in one object")
    return found


@dataclass(frozen=True)
class Genesis:
    """A network's beginning."""

    name: str
    """Name for people, at most 20 characters."""

    network: bytes
    """Network id, 32 bytes."""

    time_ms: int
    """Network time of the beginning; the first block is later."""

    paced_time: bool
    """True only in demos and tests: network time is paced by a simulator."""

    parameters: dict[str, Any]
    """Parameters by name; integers with their unit as suffix."""

    validators: ValidatorSet
    """The set that seals the first blocks."""

    runners: dict[str, str]
    """Authority that runs each of them, by validator id."""

    registry: dict[str, Any]
    """`authorities`, `technicians` (may be absent in the file), `gateways`, `meters`, `zones` and
    `unmetered` as written."""

    @property
    def topic_name(self) -> str:
        """The network for people and topics: name, hyphen, first 8 hex digits of the id."""
        return f"{self.name}-{self.network.hex()[:8]}"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a genesis file's text; raises Malformed saying which part is wrong."""
        try:
            content = json.loads(text, object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as reason:
            raise Malformed(f"genesis: not JSON: {reason}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise Malformed("genesis: not a genesis file of format 1")
        if content.keys() - _OPTIONAL != _KEYS:
            wrong = ", ".join(sorted((content.keys() - _OPTIONAL) ^ _KEYS))
            raise Malformed(f"genesis: keys missing or unknown: {wrong}")
        if not isinstance(content["parameters"], dict) or not isinstance(
            content["paced_time"], bool
        ):
            raise Malformed("genesis: parameters is an object and paced_time is true or false")
        return cls(
            fields.identifier(content["name"], "genesis name", most=20),
            hashlib.sha256(cbor.encode(content)).digest(),
            fields.uint(content["time_ms"], "genesis time_ms"),
            content["paced_time"],
            content["parameters"],
            *_validators(content["validators"]),
            {key: content.get(key, []) for key in _REGISTRY},
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a genesis file; raises Malformed, or OSError when there is none."""
        return cls.from_json(path.read_bytes())


def _validators(value: Any) -> tuple[ValidatorSet, dict[str, str]]:
    members, runners = [], {}
    for entry in fields.items(value, "genesis validators"):
        match entry:
            case {"id": str(member), "key": str(key), "authority": str(authority)}:
                members.append(
                    (fields.identifier(member, "validator id"), PublicKey.from_text(key))
                )
                runners[member] = authority
            case _:
                raise Malformed("genesis: a validator has an id, an authority and a key")
    return ValidatorSet(tuple(sorted(members, key=lambda member: member[0]))), runners
