"""Which registry holds for which interval.

A registry transaction changes the meters from an interval's start on. What was registered for an
interval never changes once that interval has begun, because no change is accepted for one that
began before its block (`validator.app.enrolment`). Decides nothing else. Objects are immutable: a
block that is executed makes its own, and throws it away with everything else when it is not
committed. Equal changes on one genesis give equal registries, in whatever order they came.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from validator.app import entries
from validator.app.entries import Authority, Meter
from validator.app.parameters import Parameters
from validator.app.registry import Registry
from wire import cbor, fields
from wire.errors import Malformed
from wire.transaction import Transaction
from wire.transaction_bodies import EnrolMeter, RetireMeter

_KEPT = 32
"""Derived registries that are kept; most readings are of the newest intervals."""


@dataclass(frozen=True, slots=True)
class Change:
    """An accepted registry transaction."""

    from_s: int
    """Start of the first interval for which it holds, Unix seconds."""

    meter: str
    """Meter that is enrolled or retired."""

    enrolled: Meter | None
    """The meter; None when it is retired."""

    written: Mapping[str, Any]
    """Its entry as written; empty when it is retired."""

    height: int
    """Block that has it."""

    id: bytes
    """Transaction id, 32 bytes."""

    payload: bytes
    """What was signed."""

    def packed(self) -> bytes:
        """As stored in the state."""
        return cbor.encode([self.height, self.payload])


def change_of(transaction: Transaction, height: int) -> Change:
    """What a transaction changes; raises Refused when its entry is none."""
    stored = (height, transaction.id, transaction.sign.payload)
    match transaction.body:
        case EnrolMeter() as body:
            meter = entries.meter(dict(body.entry))
            return Change(body.from_s, meter.id, meter, body.entry, *stored)
        case RetireMeter() as body:
            return Change(body.from_s, body.meter, None, {}, *stored)
    raise Malformed(f"a transaction of kind {transaction.kind} changes no meter")


def stored_change(value: bytes) -> Change:
    """A change as the state has it."""
    height, payload = fields.items(cbor.decode(value), "change", 2)
    return change_of(Transaction.of(payload), height)


class Registries:
    """The registry of every interval."""

    def __init__(self, base: Registry, changes: Iterable[Change] = ()) -> None:
        """Take the genesis file's registry and every change since, in any order."""
        self.base = base
        """As the genesis file has it. What transactions cannot change is the same at all times."""

        self.changes = tuple(sorted(changes, key=lambda each: (each.from_s, each.id)))
        """Accepted changes, in order of effect."""

        enrolled = {each.meter: each.enrolled for each in self.changes if each.enrolled}
        self.meters_ever: Mapping[str, Meter] = {**base.meters, **enrolled}
        """Every meter that is, was or will be registered, by id."""

        self._by_id = {each.id: each for each in self.changes}
        self._starts = sorted({each.from_s for each in self.changes})
        self._derived: OrderedDict[int, Registry] = OrderedDict()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Registries):
            return NotImplemented
        return self.base == other.base and self.changes == other.changes

    __hash__ = None  # type: ignore[assignment]

    def at(self, start_s: int) -> Registry:
        """The registry of the interval that starts then."""
        epoch = bisect_right(self._starts, start_s)
        if epoch == 0:
            return self.base
        found = self._derived.get(epoch)
        if found is None:
            found = self._derived[epoch] = self._derive(self._starts[epoch - 1])
            if len(self._derived) > _KEPT:
                self._derived.popitem(last=False)
        return found

    def _derive(self, start_s: int) -> Registry:
        past = [each for each in self.changes if each.from_s <= start_s]
        added = [(each.enrolled, each.written) for each in past if each.enrolled is not None]
        removed = {each.meter for each in past if each.enrolled is None}
        return self.base.changed(added, removed)

    def governed(
        self, parameters: Parameters, authorities: Mapping[str, Authority]
    ) -> "Registries":
        """These under other parameters and authorities; raises BadRegistry."""
        base = self.base.governed(parameters, authorities)
        return self if base is self.base else Registries(base, self.changes)

    def with_change(self, change: Change) -> "Registries":
        """These and one change more."""
        return Registries(self.base, (*self.changes, change))

    def change(self, transaction_id: bytes) -> Change | None:
        """The accepted change of a transaction, None when there is none."""
        return self._by_id.get(transaction_id)

    def enrolment(self, meter: str) -> Change | None:
        """The change that enrolled a meter; None for one of the genesis file, or none at all."""
        return self._change_of(meter, retires=False)

    def retirement(self, meter: str) -> Change | None:
        """The change that retires a meter, None when there is none."""
        return self._change_of(meter, retires=True)

    def _change_of(self, meter: str, *, retires: bool) -> Change | None:
        for each in self.changes:
            if each.meter == meter and (each.enrolled is None) == retires:
                return each
        return None

    @cached_property
    def keys_ever(self) -> frozenset[bytes]:
        """Raw public keys that a new meter may not have."""
        base = self.base
        keys = [each.key for each in base.authorities.values()]
        keys += [each.key for each in base.technicians.values()]
        for gateway in base.gateways.values():
            keys += [gateway.witness_key, gateway.reader_key]
        keys += [each.key for each in self.meters_ever.values() if each.key is not None]
        return frozenset(key.raw for key in keys)
