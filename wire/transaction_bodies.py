"""What registry transactions say, kind by kind: meters.

Each body is `[kind, …]`. Decides its shape; whether the change fits the registry, and whose
signatures it needs, is decided by the validators (`validator.app.enrolment`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from wire import fields
from wire.errors import Malformed

ENROL_METER = "enrol-meter"
RETIRE_METER = "retire-meter"

LONGEST_METER = 20
"""Characters of a meter's id."""


@dataclass(frozen=True, slots=True)
class EnrolMeter:
    """A new meter."""

    kind: ClassVar[str] = ENROL_METER

    entry: Mapping[str, Any]
    """The meter as the genesis file writes it in `meters`."""

    from_s: int
    """Start of the first interval whose reading counts, Unix seconds."""

    commissioning: bytes
    """The commissioning record (COSE_Sign) that `configuration_id` names."""

    @property
    def meter(self) -> str:
        """Meter id."""
        return str(self.entry["id"])

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, dict(self.entry), self.from_s, self.commissioning]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, entry, from_s, commissioning = fields.items(value, cls.kind, 4)
        _check_kind(kind, cls.kind)
        entry = entry_of(entry, "meter", LONGEST_METER)
        return cls(entry, from_of(from_s), fields.blob(commissioning, "commissioning record"))


@dataclass(frozen=True, slots=True)
class RetireMeter:
    """A meter that is registered no more."""

    kind: ClassVar[str] = RETIRE_METER

    meter: str
    """Meter id."""

    from_s: int
    """Start of the first interval without it, Unix seconds."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.meter, self.from_s]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, meter, from_s = fields.items(value, cls.kind, 3)
        _check_kind(kind, cls.kind)
        return cls(fields.identifier(meter, "meter", LONGEST_METER), from_of(from_s))


def entry_of(value: Any, what: str, longest_id: int = 33) -> dict[str, Any]:
    """A registry entry as the genesis file writes it: a map with text keys, and an id."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Malformed(f"a {what}'s entry is a map with text keys")
    fields.identifier(value.get("id"), what, longest_id)
    return value


def from_of(value: Any) -> int:
    """Start of the first interval for which a change holds, Unix seconds."""
    return fields.uint(value, "from")


def _check_kind(found: Any, kind: str) -> None:
    if found != kind:
        raise Malformed(f"a body of kind {kind} was expected")
