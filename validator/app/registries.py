"""Which registry holds for which interval, and what was registered when.

A registry transaction changes entries from an interval's start on. What was registered for an
interval never changes once that interval has begun, because no change is accepted for one that
began before its block, and changes of one thing are accepted in the order in which they hold
(`validator.app.enrolment`). A compromise alone holds by block: it ends a key for every later one.
Decides nothing else. Objects are immutable: a block that is executed makes its own, and throws it
away with everything else when it is not committed. Equal changes on one genesis give equal
registries, in whatever order they came.
"""

from bisect import bisect_left, bisect_right
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from heapq import merge
from typing import Any, cast

from validator.app.changes import (
    READERS,
    AnyEntry,
    Change,
    Drop,
    Edit,
    Exchange,
    Found,
    Put,
    Rekey,
    Step,
    keys_in,
    tables_of,
    zone_of,
)
from validator.app.entries import Authority, Gateway, Meter, Technician, Zone
from validator.app.feeder import Feeder
from validator.app.looked import Looked
from validator.app.parameters import Parameters
from validator.app.registry import Registry
from validator.app.relations import zones_of
from wire.keys import PublicKey
from wire.transaction_bodies import ROLES

_KEPT_EPOCHS = 256
_KEPT_FEEDERS = 2_048
_FOR_EVER_S = 2**64

Thing = tuple[str, str]
"""Table and id."""


class Registries:
    """The registry of every interval."""

    def __init__(self, base: Registry, changes: Iterable[Change] = ()) -> None:
        """Take the genesis file's registry and every change since, in any order."""
        self.base = base
        """As the genesis file has it, under the parameters and authorities now in force."""

        self.changes: tuple[Change, ...] = ()
        """Accepted changes, in order of effect."""

        self.compromised: dict[bytes, int] = {}
        """Thumbprints of compromised keys -> height of the block that says so."""

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
        self._starts: list[int] = []
        self._zone_starts: dict[str, tuple[int, ...]] = {}
        self._inside = dict(base.inside)
        self._epochs: dict[int, Registry] = {}
        self._feeders: dict[tuple[str, int], Feeder] = {}
        self.changes = tuple(sorted(changes, key=_order))
        for change in self.changes:
            self._take(change)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Registries):
            return NotImplemented
        return self.base == other.base and self.changes == other.changes

    __hash__ = None  # type: ignore[assignment]

    def governed(
        self, parameters: Parameters, authorities: Mapping[str, Authority]
    ) -> "Registries":
        """These under other parameters and authorities; raises BadRegistry."""
        base = self.base.governed(parameters, authorities)
        return self if base is self.base else Registries(base, self.changes)

    # What changes.

    def with_change(self, change: Change) -> "Registries":
        """These and one change more."""
        found = copy(self)
        found._new_keys = dict(self._new_keys)
        found._new_ids = dict(self._new_ids)
        found._by_id = dict(self._by_id)
        found._steps = dict(self._steps)
        found._starts = list(self._starts)
        found._zone_starts = dict(self._zone_starts)
        found._inside = dict(self._inside)
        found.compromised = dict(self.compromised)
        found._epochs = {}
        found._feeders = dict(self._feeders)
        place = bisect_right(self.changes, _order(change), key=_order)
        found.changes = (*self.changes[:place], change, *self.changes[place:])
        found._take(change)
        return found

    def _take(self, change: Change) -> None:
        self._by_id[change.id] = change
        if change.compromised:
            self.compromised[change.compromised] = change.height
        for edit in change.edits:
            self._take_edit(change, edit)
        place = bisect_left(self._starts, change.from_s)
        if change.edits and self._starts[place : place + 1] != [change.from_s]:
            self._starts.insert(place, change.from_s)

    def _take_edit(self, change: Change, edit: Edit) -> None:
        zones = self._zones_of(edit)
        thing = (edit.table, edit.id)
        is_new = not self.was_registered(*thing)
        self._steps[thing] = tuple(sorted((*self._steps.get(thing, ()), change), key=_order))
        match edit:
            case Put(table=table, entry=entry):
                if is_new:
                    self._new_ids[table] = (*self._new_ids.get(table, ()), entry.id)
                self._place(table, entry)
                self._new_keys |= {key.raw: key for key in keys_in(entry)}
            case Rekey(key=key):
                self._new_keys[key.raw] = key
        for zone in {*zones, *self._zones_of(edit)}:
            self._touch(zone, change.from_s)

    def _place(self, table: str, entry: AnyEntry) -> None:
        """Note in which zone an entry is at some time."""
        zone = zone_of(entry)
        known = self._inside.get((table, zone), ())
        if zone and entry.id not in known:
            self._inside[table, zone] = sorted([*known, entry.id])
            if isinstance(entry, Zone):
                for start_s in self._zone_starts.get(entry.id, ()):
                    self._touch(zone, start_s)

    def _zones_of(self, edit: Edit) -> set[str]:
        """Zones whose seal may rest on what an edit changes, at any time."""
        if edit.table == "zones":
            own = {edit.id}
        else:
            own = {zone_of(each.entry) for each in self._ever(edit.table, edit.id)} - {""}
        around = {zone_of(each.entry) for zone in own for each in self._ever("zones", zone)}
        return (own | around) - {""}

    def _touch(self, zone: str, start_s: int) -> None:
        starts = self._zone_starts.get(zone, ())
        if start_s not in starts:
            self._zone_starts[zone] = tuple(sorted((*starts, start_s)))
        # What was made for later intervals, or for this one, was made without the change.
        for known, made_s in [each for each in self._feeders if each[0] == zone]:
            if made_s >= start_s:
                del self._feeders[known, made_s]

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

    def at(self, start_s: int) -> Registry:
        """The registry of the interval that starts then, or of the one that a time is in."""
        epoch = bisect_right(self._starts, start_s)
        from_s = self._starts[epoch - 1] if epoch else 0
        found = self._epochs.get(from_s)
        if found is None:
            if len(self._epochs) >= _KEPT_EPOCHS:
                self._epochs.clear()
            found = self._epochs[from_s] = self._registry(from_s)
        return found

    def _registry(self, at_s: int) -> Registry:
        tables, written = {}, {}
        for table in READERS:
            names = partial(self.ids_ever, table)
            tables[table] = Looked(names, partial(self._entry, table, at_s))
            written[table] = Looked(names, partial(self._written_of, table, at_s))
        prepared = partial(self._feeder, at_s)
        found: Any = tables
        return replace(self.base, **found, written=written, inside=self._inside, prepared=prepared)

    def _written_of(self, table: str, at_s: int, name: str) -> Mapping[str, Any] | None:
        found = self.find(table, name, at_s)
        return None if found is None else found.written

    def _feeder(self, at_s: int, zone: str) -> Feeder:
        """A zone prepared for the seal of that interval; made once for all that are alike."""
        starts = self._zone_starts.get(zone, ())
        place = bisect_right(starts, at_s)
        key = (zone, starts[place - 1] if place else -1)
        found = self._feeders.get(key)
        if found is None:
            if len(self._feeders) >= _KEPT_FEEDERS:
                self._feeders.clear()
            found = self._feeders[key] = self._registry(at_s).feeder(zone)
        return found

    # What was, is or will be.

    def change(self, transaction_id: bytes) -> Change | None:
        """The accepted change of a transaction, None when there is none."""
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

    def inside(self, table: str, zone: str) -> Sequence[str]:
        """Ids of what is in a zone at any time: meters, unmetered loads, or zones below it."""
        return self._inside.get((table, zone), ())

    def was_registered(self, table: str, name: str) -> bool:
        """Whether an id is taken: by something that is, was or will be registered."""
        return name in self._tables[table] or (table, name) in self._steps

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


def _order(change: Change) -> tuple[int, bytes]:
    return change.from_s, change.id
