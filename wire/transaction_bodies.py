"""What registry transactions say, kind by kind: meters, gateways, technicians, zones, keys.

Each body is `[kind, …]`. Decides its shape; whether the change fits the registry, and whose
signatures it needs, is decided by the validators (`validator.app.registration`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from wire import fields
from wire.announcement import KeyAnnouncement, SignedAnnouncement
from wire.errors import Malformed

ENROL_METER = "enrol-meter"
RESITE_METER = "re-site-meter"
REPLACE_METER = "replace-meter"
RETIRE_METER = "retire-meter"
ROTATE_KEY = "rotate-key"
COMPROMISE_KEY = "compromise-key"
CHANGE_HOLDER = "change-holder"
WITHDRAW = "withdraw"

LEAKED, MOVED = "leaked", "moved"
"""Why a household gets another link: others may have the old one, or another holder moves in."""

TABLE_OF = {
    "add-gateway": "gateways",
    "change-gateway": "gateways",
    "add-technician": "technicians",
    "add-zone": "zones",
    "change-zone": "zones",
    "add-unmetered": "unmetered",
    "change-unmetered": "unmetered",
    "add-meter": "meters",
    "change-meter": "meters",
}
"""Kinds that carry an entry as the genesis file writes it, and in which of its lists."""

RETIRES = {
    RETIRE_METER: "meters",
    "retire-gateway": "gateways",
    "retire-technician": "technicians",
    "retire-zone": "zones",
    "retire-unmetered": "unmetered",
}
"""Kinds that end an entry, and in which list of the genesis file it would stand."""

ROLES = {
    "meter": ("meters", "key"),
    "witness": ("gateways", "witness_key"),
    "reader": ("gateways", "reader_key"),
    "technician": ("technicians", "key"),
}
"""What a registered key may be for, and where an entry has it."""

LONGEST_METER = 20
"""Characters of a meter's id."""


@dataclass(frozen=True, slots=True)
class CommissionedMeter:
    """A meter as it was commissioned on site: the common part of three kinds."""

    kind: ClassVar[str] = ""

    entry: Mapping[str, Any]
    """The meter as the genesis file writes it in `meters`."""

    from_s: int
    """Start of the first interval for which it holds, Unix seconds."""

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
        kind, *parts = fields.items(value, cls.kind, 4)
        _check_kind(kind, cls.kind)
        return cls(*_commissioned(parts))


@dataclass(frozen=True, slots=True)
class EnrolMeter(CommissionedMeter):
    """A new meter."""

    kind: ClassVar[str] = ENROL_METER


@dataclass(frozen=True, slots=True)
class ResiteMeter(CommissionedMeter):
    """A registered meter elsewhere, or registered otherwise."""

    kind: ClassVar[str] = RESITE_METER


@dataclass(frozen=True, slots=True)
class ReplaceMeter(CommissionedMeter):
    """A new meter in an old one's place; the record says what both registers showed."""

    kind: ClassVar[str] = REPLACE_METER

    old: str
    """Meter that is taken down."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.old, dict(self.entry), self.from_s, self.commissioning]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, old, *parts = fields.items(value, cls.kind, 5)
        _check_kind(kind, cls.kind)
        old = fields.identifier(old, "old meter", LONGEST_METER)
        return cls(*_commissioned(parts), old)


@dataclass(frozen=True, slots=True)
class Entry:
    """A gateway, technician, zone, unmetered load, or meter that a gateway signs for.

    A new one, or what holds of a known one.
    """

    kind: str
    """A key of TABLE_OF."""

    entry: Mapping[str, Any]
    """As the genesis file writes it."""

    from_s: int
    """Start of the first interval for which it holds, Unix seconds."""

    @property
    def table(self) -> str:
        """The genesis file's list in which it would stand."""
        return TABLE_OF[self.kind]

    @property
    def adds(self) -> bool:
        """Whether nothing of this id is registered yet."""
        return self.kind.startswith("add-")

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, dict(self.entry), self.from_s]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, entry, from_s = fields.items(value, "entry", 3)
        if kind not in TABLE_OF:
            raise Malformed("an entry is added or changed")
        longest = LONGEST_METER if TABLE_OF[kind] == "meters" else 33
        return cls(kind, _entry(entry, "entry", longest), _from(from_s))


@dataclass(frozen=True, slots=True)
class Retirement:
    """Something that is registered no more."""

    kind: str
    """A key of RETIRES."""

    id: str
    """Its id."""

    from_s: int
    """Start of the first interval without it, Unix seconds."""

    @property
    def table(self) -> str:
        """The genesis file's list in which it would stand."""
        return RETIRES[self.kind]

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.id, self.from_s]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, name, from_s = fields.items(value, "retirement", 3)
        if kind not in RETIRES:
            raise Malformed("something registered is retired")
        longest = LONGEST_METER if kind == RETIRE_METER else 33
        return cls(kind, fields.identifier(name, "id", longest), _from(from_s))


@dataclass(frozen=True, slots=True)
class RotateKey:
    """A key that another one follows, as the two have announced."""

    kind: ClassVar[str] = ROTATE_KEY

    announcement: SignedAnnouncement
    """Signed by the old key and the new one; its holder and role say whose keys they are."""

    @property
    def statement(self) -> KeyAnnouncement:
        """What the two keys say."""
        return self.announcement.statement

    @property
    def from_s(self) -> int:
        """Start of the first interval for which the new key holds, Unix seconds."""
        return self.statement.from_s

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.announcement.encoded]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed or BadKey."""
        kind, announcement = fields.items(value, cls.kind, 2)
        _check_kind(kind, cls.kind)
        return cls(SignedAnnouncement.open(fields.blob(announcement, "key announcement")))


@dataclass(frozen=True, slots=True)
class CompromiseKey:
    """A key that somebody else may have: nothing by it is admitted in any later block."""

    kind: ClassVar[str] = COMPROMISE_KEY

    holder: str
    """Whose key it is: the id of a meter, gateway or technician."""

    role: str
    """What it is for: a key of ROLES."""

    thumbprint: bytes
    """COSE key thumbprint of the key, 32 bytes."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.holder, self.role, self.thumbprint]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, holder, role, thumbprint = fields.items(value, cls.kind, 4)
        _check_kind(kind, cls.kind)
        if not isinstance(role, str) or role not in ROLES:
            raise Malformed(f"role: one of {', '.join(ROLES)}")
        holder = fields.identifier(holder, "holder")
        return cls(holder, role, fields.octets(thumbprint, "thumbprint", 32))


@dataclass(frozen=True, slots=True)
class ChangeHolder:
    """Another holder's link to a meter's readings."""

    kind: ClassVar[str] = CHANGE_HOLDER

    meter: str
    """Meter id."""

    holder: bytes
    """SHA-256 of the secret in the new link, 32 bytes; empty: nobody has one."""

    from_s: int
    """Start of the first interval that the new link opens, Unix seconds."""

    cause: str
    """LEAKED: it also opens what the old link opened, which opens nothing any more; MOVED: each
    link opens the intervals of its own time."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.meter, self.holder, self.from_s, self.cause]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, meter, holder, from_s, cause = fields.items(value, cls.kind, 5)
        _check_kind(kind, cls.kind)
        if cause not in (LEAKED, MOVED):
            raise Malformed(f"cause: {LEAKED} or {MOVED}")
        meter = fields.identifier(meter, "meter", LONGEST_METER)
        digest = b"" if holder == b"" else fields.octets(holder, "holder", 32)
        return cls(meter, digest, _from(from_s), cause)


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A registry transaction that was accepted for later, and is not to hold."""

    kind: ClassVar[str] = WITHDRAW

    transaction: bytes
    """Its id, 32 bytes."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.transaction]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, transaction = fields.items(value, cls.kind, 2)
        _check_kind(kind, cls.kind)
        return cls(fields.octets(transaction, "transaction", 32))


def _commissioned(parts: list[Any]) -> tuple[dict[str, Any], int, bytes]:
    entry, from_s, commissioning = parts
    return (
        _entry(entry, "meter", LONGEST_METER),
        _from(from_s),
        fields.blob(commissioning, "commissioning record"),
    )


def _entry(value: Any, what: str, longest_id: int = 33) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Malformed(f"{what}: not a map with text keys")
    fields.identifier(value.get("id"), f"{what} id", longest_id)
    return value


def _from(value: Any) -> int:
    return fields.uint(value, "from")


def _check_kind(found: Any, kind: str) -> None:
    if found != kind:
        raise Malformed(f"a body of kind {kind} was expected")
