"""What one accepted registry transaction changes, as edits of the registry's entries.

Decides which edits follow from which body; whether they stand is decided by
`validator.app.enrolment`, from when on they hold and in which order by `validator.app.registries`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from validator.app import entries
from validator.app.entries import Gateway, Meter, Technician, Zone
from validator.app.registry import Registry
from validator.app.unmetered import UnmeteredLoad, unmetered_load
from wire import cbor, fields
from wire.commissioning import CommissioningRecord
from wire.errors import Malformed
from wire.keys import PublicKey
from wire.transaction import Body, Transaction
from wire.transaction_bodies import (
    LEAKED,
    ROLES,
    ChangeHolder,
    CommissionedMeter,
    CompromiseKey,
    Entry,
    ReplaceMeter,
    Retirement,
    RotateKey,
    Withdraw,
)

AnyEntry = Gateway | Meter | Technician | UnmeteredLoad | Zone

READERS: dict[str, Callable[[Any], AnyEntry]] = {
    "gateways": entries.gateway,
    "meters": entries.meter,
    "technicians": entries.technician,
    "unmetered": unmetered_load,
    "zones": entries.zone,
}
"""The tables that transactions change, each with what reads one entry of it."""


@dataclass(frozen=True, slots=True)
class Put:
    """An entry that holds from then on: a new one, or one in another's place."""

    table: str
    """A key of READERS."""

    entry: AnyEntry
    """The entry."""

    written: Mapping[str, Any]
    """As written."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.entry.id

    def after(self, before: "Found | None") -> "Found | None":
        """What is registered after it."""
        return Found(self.entry, self.written)


@dataclass(frozen=True, slots=True)
class Drop:
    """An entry that holds no more."""

    table: str
    """A key of READERS."""

    id: str
    """Its id."""

    def after(self, before: "Found | None") -> "Found | None":
        """What is registered after it."""
        return None


@dataclass(frozen=True, slots=True)
class Rekey:
    """An entry whose key is followed by another."""

    table: str
    """A key of READERS."""

    id: str
    """Its id."""

    role: str
    """What the key is for: a key of ROLES."""

    key: PublicKey
    """The new key."""

    until_s: int
    """Unix seconds until which the old one still stands beside it."""

    def after(self, before: "Found | None") -> "Found | None":
        """What is registered after it."""
        if before is None:
            return None
        _, name = ROLES[self.role]
        entry: Any = before.entry
        return Found(replace(entry, **{name: self.key}), {**before.written, name: self.key.text})


@dataclass(frozen=True, slots=True)
class Relink:
    """A meter whose readings another holder's link opens."""

    table: ClassVar[str] = "meters"

    id: str
    """Meter id."""

    holder: bytes
    """SHA-256 of the secret in the link, 32 bytes; empty: nobody has one."""

    leaked: bool
    """Whether the new link takes the old one's place for earlier intervals too."""

    def after(self, before: "Found | None") -> "Found | None":
        """What is registered after it."""
        if before is None:
            return None
        entry: Any = before.entry
        written = {name: value for name, value in before.written.items() if name != "holder"}
        linked = {"holder": self.holder.hex()} if self.holder else {}
        return Found(replace(entry, holder=self.holder or None), {**written, **linked})


Edit = Put | Drop | Rekey | Relink


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of some interval."""

    entry: AnyEntry
    """The entry."""

    written: Mapping[str, Any]
    """As the genesis file would write it."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What two meters showed when one took the other's place: where their registers join."""

    old: str
    """Meter that was taken down."""

    old_wh: tuple[int, int]
    """What its import and export registers showed last, Wh."""

    start_wh: tuple[int, int]
    """What the new one's showed first, Wh."""


@dataclass(frozen=True, slots=True)
class Change:
    """An accepted registry transaction."""

    from_s: int
    """Start of the first interval for which it holds, Unix seconds; 0: from its block on."""

    edits: tuple[Edit, ...]
    """What it changes from then on; none of a compromise or a withdrawal."""

    compromised: bytes
    """Thumbprint of the key that it ends, 32 bytes; empty of all but a compromise."""

    exchange: Exchange | None
    """Of a replacement, where the registers join."""

    kind: str
    """Kind of the transaction."""

    height: int
    """Block that has it."""

    id: bytes
    """Transaction id, 32 bytes."""

    payload: bytes
    """What was signed."""

    withdraws: bytes = b""
    """Id of the change that it withdraws, 32 bytes; empty of all but a withdrawal."""

    def packed(self) -> bytes:
        """As stored in the state."""
        return cbor.encode([self.height, self.payload])


@dataclass(frozen=True, slots=True)
class Step:
    """What was registered of one thing for a while."""

    from_s: int | None
    """Start of the first interval for which it held; None: since the genesis file."""

    until_s: int | None
    """Start of the first interval for which it held no more; None: it still does."""

    written: Mapping[str, Any] | None
    """The entry as written; None: nothing was registered."""

    change: Change | None
    """What made it so; None of what the genesis file has."""


def change_of(transaction: Transaction, height: int) -> Change:
    """What a transaction changes; raises Refused when its entry is none."""
    body = transaction.body
    compromised = body.thumbprint if isinstance(body, CompromiseKey) else b""
    withdraws = body.transaction if isinstance(body, Withdraw) else b""
    exchange = exchange_of(body) if isinstance(body, ReplaceMeter) else None
    edits = () if compromised or withdraws else _edits_of(body)
    stored = (transaction.kind, height, transaction.id, transaction.sign.payload)
    return Change(transaction.from_s, edits, compromised, exchange, *stored, withdraws)


def _edits_of(body: Body) -> tuple[Edit, ...]:
    match body:
        case ReplaceMeter():
            return (Drop("meters", body.old), put_of("meters", body.entry))
        case CommissionedMeter():
            return (put_of("meters", body.entry),)
        case Entry():
            return (put_of(body.table, body.entry),)
        case Retirement():
            return (Drop(body.table, body.id),)
        case RotateKey():
            return (_rekey(body),)
        case ChangeHolder():
            return (Relink(body.meter, body.holder, body.cause == LEAKED),)
    raise Malformed(f"a transaction of kind {body.kind} changes no registry")


def put_of(table: str, written: Mapping[str, Any]) -> Put:
    """An entry as written, read; raises Refused."""
    return Put(table, READERS[table](dict(written)), written)


def _rekey(body: RotateKey) -> Rekey:
    statement = body.statement
    if statement.role not in ROLES:
        raise Malformed(f"role: one of {', '.join(ROLES)}")
    table, _ = ROLES[statement.role]
    return Rekey(table, statement.holder, statement.role, statement.new, statement.until_s)


def exchange_of(body: ReplaceMeter) -> Exchange:
    """Where the registers of two meters join, as both the technician and the new one signed.

    Raises:
        Malformed: the commissioning record does not say.
    """
    content = CommissioningRecord.open(body.commissioning).content
    match content.get("commissioning"):
        case {
            "start_wh": [start_import, start_export],
            "old_meter": {"id": old, "import_wh": old_import, "export_wh": old_export},
        } if old == body.old:
            old_wh = (fields.uint(old_import, "import"), fields.uint(old_export, "export"))
            start_wh = (fields.uint(start_import, "import"), fields.uint(start_export, "export"))
            return Exchange(body.old, old_wh, start_wh)
    raise Malformed(f"the commissioning record does not say what {body.old} showed last")


def stored_change(value: bytes) -> Change:
    """A change as the state has it."""
    height, payload = fields.items(cbor.decode(value), "change", 2)
    return change_of(Transaction.of(payload), height)


def tables_of(registry: Registry) -> dict[str, Mapping[str, AnyEntry]]:
    """The tables of a registry that transactions change, by name."""
    return {
        "gateways": registry.gateways,
        "meters": registry.meters,
        "technicians": registry.technicians,
        "unmetered": registry.unmetered,
        "zones": registry.zones,
    }


def zone_of(entry: AnyEntry) -> str:
    """The zone that an entry is in; of a zone the one around it; empty for none."""
    match entry:
        case Meter(zone=zone) | UnmeteredLoad(zone=zone):
            return zone
        case Zone(parent=parent):
            return parent
    return ""


def keys_in(entry: AnyEntry) -> list[PublicKey]:
    """An entry's keys."""
    match entry:
        case Meter(key=key):
            return [] if key is None else [key]
        case Technician(key=key):
            return [key]
        case Gateway():
            return [entry.witness_key, entry.reader_key]
    return []
