"""What was, is and will be registered of each thing: entries, keys, and who followed whom.

Decides what the genesis file and accepted changes say of one meter, gateway, zone, technician or
load, interval by interval; `validator.app.registries` takes changes in and makes whole registries.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from functools import partial
from heapq import merge
from typing import cast

from validator.app.changes import (
    AnyEntry,
    Change,
    Drop,
    Exchange,
    Found,
    Put,
    Rekey,
    Step,
    keys_in,
    tables_of,
)
from validator.app.entries import Gateway, Meter, Technician, Zone
from validator.app.looked import Looked
from validator.app.registry import Registry
from validator.app.relations import zones_of
from wire.keys import PublicKey
from wire.transaction_bodies import ROLES

_FOR_EVER_S = 2**64

Thing = tuple[str, str]
"""Table and id."""


class Histories:
    """The genesis file's entries and what changed of each since."""

    def __init__(self, base: Registry) -> None:
        """Take the genesis file's registry, which nothing has changed yet."""
        self.base = base
        """As the genesis file has it, under the parameters and authorities now in force."""

        self.compromised: dict[bytes, int] = {}
        """Thumbprints of compromised keys -> height of the block that says so."""

        self.withdrawn: frozenset[bytes] = frozenset()
        """Ids of changes that were accepted for later and are not to hold."""

        self._tables = tables_of(base)
        self._base_keys = {
            key.raw: key
            for table in self._tables.values()
            for each in table.values()
            for key in keys_in(each)
        }
        self._new_keys: dict[bytes, PublicKey] = {}
        self._new_ids: dict[str, tuple[str, ...]] = {}
        self._by_id: dict[bytes, Change] = {}
        self._steps: dict[Thing, tuple[Change, ...]] = {}

    # What holds when.

    def find(self, table: str, name: str, at_s: int) -> Found | None:
        """An entry of the interval that starts then, or of the one that a time is in."""
        steps = self._steps.get((table, name))
        entry = self._tables[table].get(name)
        found = None if entry is None else Found(entry, self.base.written[table][name])
        for change in steps or ():
            if change.from_s > at_s:
                break
            for edit in change.edits:
                if (edit.table, edit.id) == (table, name):
                    found = edit.after(found)
        return found

    def meter(self, name: str, at_s: int) -> Meter | None:
        """A meter of that interval."""
        return cast("Meter | None", self._entry("meters", at_s, name))

    def gateway(self, name: str, at_s: int) -> Gateway | None:
        """A gateway of that time."""
        return cast("Gateway | None", self._entry("gateways", at_s, name))

    def zone(self, name: str, at_s: int) -> Zone | None:
        """A zone of that interval."""
        return cast("Zone | None", self._entry("zones", at_s, name))

    def zones_of(self, meter: Meter, start_s: int) -> tuple[str, ...]:
        """Zones whose seal of that interval uses a meter: its own, and the one around at times."""
        zone = self.zone(meter.zone, start_s)
        return () if zone is None else zones_of(meter, {zone.id: zone})

    def technician(self, name: str, at_s: int) -> Technician | None:
        """A technician of that time."""
        return cast("Technician | None", self._entry("technicians", at_s, name))

    def _entry(self, table: str, at_s: int, name: str) -> AnyEntry | None:
        if (table, name) not in self._steps:
            return self._tables[table].get(name)
        found = self.find(table, name, at_s)
        return None if found is None else found.entry

    # What was, is or will be.

    def change(self, transaction_id: bytes) -> Change | None:
        """The accepted change of a transaction, also a withdrawn one; None: there is none."""
        return self._by_id.get(transaction_id)

    def latest(self, table: str, name: str) -> Change | None:
        """The change of a thing that holds last, None when nothing changes it."""
        steps = self._steps.get((table, name))
        return steps[-1] if steps else None

    def ids_ever(self, table: str) -> Iterable[str]:
        """Ids of a table that are, were or will be registered, in order."""
        return merge(sorted(self._tables[table]), sorted(self._new_ids.get(table, ())))

    def _ever(self, table: str, name: str) -> list[Found]:
        """Everything that is, was or will be registered under an id."""
        entry = self._tables[table].get(name)
        found = [] if entry is None else [Found(entry, self.base.written[table][name])]
        for change in self._steps.get((table, name), ()):
            for edit in change.edits:
                if (edit.table, edit.id) == (table, name):
                    after = edit.after(found[-1] if found else None)
                    found += [] if after is None else [after]
        return found

    def history(self, table: str, name: str) -> list[Step]:
        """What was registered of a thing from when to when; empty when nothing ever was."""
        changes = self._steps.get((table, name), ())
        first = self.base.written[table].get(name)
        moments: list[tuple[int | None, Change | None]] = [] if first is None else [(None, None)]
        moments += [(each.from_s, each) for each in changes]
        ends = [*(from_s for from_s, _ in moments[1:]), None]
        steps = []
        for (from_s, change), until_s in zip(moments, ends, strict=False):
            found = self.find(table, name, -1 if from_s is None else from_s)
            written = None if found is None else found.written
            steps.append(Step(from_s, until_s, written, change))
        return steps

    @property
    def meters_ever(self) -> Mapping[str, Meter]:
        """Every meter that is, was or will be registered, as last registered, by id."""
        return Looked(partial(self.ids_ever, "meters"), self._last_meter)

    def _last_meter(self, name: str) -> Meter | None:
        found = self._ever("meters", name)
        return cast("Meter", found[-1].entry) if found else None

    def later(self, table: str, name: str, from_s: int) -> list[AnyEntry]:
        """What is registered under an id for that interval, and for every later one."""
        first = self._entry(table, from_s, name)
        found = [] if first is None else [first]
        for change in self._steps.get((table, name), ()):
            if change.from_s > from_s:
                entry = self._entry(table, change.from_s, name)
                found += [] if entry is None else [entry]
        return found

    def lasts(self, table: str, name: str, from_s: int) -> bool:
        """Whether an id is registered for that interval and for every later one."""
        if self._entry(table, from_s, name) is None:
            return False
        last = self.latest(table, name)
        return last is None or self._entry(table, last.from_s, name) is not None

    def was_registered(self, table: str, name: str) -> bool:
        """Whether an id is taken: by something that is, was or will be registered."""
        return name in self._tables[table] or (table, name) in self._steps

    def changes_of(self, table: str, name: str) -> tuple[Change, ...]:
        """Every change of a thing, in order of effect."""
        return self._steps.get((table, name), ())

    def enrolment(self, meter: str) -> Change | None:
        """The change that first registered a meter; None for one of the genesis file, or none."""
        changes = self._steps.get(("meters", meter))
        return None if not changes or meter in self._tables["meters"] else changes[0]

    def retirement(self, meter: str) -> Change | None:
        """The change that retires a meter, None when there is none."""
        last = self.latest("meters", meter)
        ends = last is not None and any(
            isinstance(edit, Drop) and edit.id == meter for edit in last.edits
        )
        return last if ends else None

    def exchange(self, meter: str) -> Exchange | None:
        """Where a meter's registers join those of the one before it; None: it replaced none."""
        enrolled = self.enrolment(meter)
        return None if enrolled is None else enrolled.exchange

    def successor(self, meter: str) -> tuple[str, Exchange] | None:
        """The meter that took one's place, and where their registers join; None when none did."""
        last = self.latest("meters", meter)
        if last is None or last.exchange is None or last.exchange.old != meter:
            return None
        return next(edit.id for edit in last.edits if isinstance(edit, Put)), last.exchange

    @property
    def keys_ever(self) -> Mapping[bytes, PublicKey]:
        """Keys of technicians, gateways and meters that ever are registered, by raw bytes.

        Nobody else may have one.
        """
        return ChainMap(self._new_keys, self._base_keys)

    def keys_of(self, holder: str, role: str) -> list[PublicKey]:
        """Keys that a holder has, had or will have in a role, in order of effect."""
        table, name = ROLES[role]
        keys = [getattr(each.entry, name) for each in self._ever(table, holder)]
        return list(dict.fromkeys(key for key in keys if key is not None))

    def key_of(self, holder: str, role: str, thumbprint: bytes) -> PublicKey | None:
        """The holder's key of this thumbprint, whenever it was registered."""
        keys = self.keys_of(holder, role)
        return next((key for key in keys if key.thumbprint == thumbprint), None)

    def standing(self, holder: str, role: str, at_s: int) -> tuple[PublicKey, ...]:
        """Keys by which a holder may sign in a role for the interval of that time.

        The newest first; two while one is being followed by another. A compromised key still is
        one of them: `is_ended` tells.
        """
        table, name = ROLES[role]
        entry = self._entry(table, at_s, holder)
        key = None if entry is None else getattr(entry, name)
        if key is None:
            return ()
        steps = self._steps.get((table, holder), ())
        keys = [key]
        for change in steps:
            for edit in change.edits:
                if isinstance(edit, Rekey) and (edit.id, edit.role) == (holder, role):
                    old = getattr(self._entry(table, change.from_s - 1, holder), name, None)
                    if old is not None and change.from_s <= at_s <= edit.until_s:
                        keys.append(old)
        return tuple(dict.fromkeys(keys)) if steps else (key,)

    def is_ended(self, key: PublicKey, height: int) -> bool:
        """Whether a block of that height may admit nothing by this key: it is compromised."""
        ended = self.compromised
        return bool(ended) and ended.get(key.thumbprint, _FOR_EVER_S) < height
