"""Which registry holds for which interval.

A registry transaction changes entries from an interval's start on. What was registered for an
interval never changes once that interval has begun, because no change is accepted for one that
began before its block, and changes of one thing are accepted in the order in which they hold
(`validator.app.enrolment`). A compromise alone holds by block: it ends a key for every later one.
What was accepted for later can be withdrawn before, and is then as if it had never come.
Decides nothing else; what was registered of one thing and when, `validator.app.histories` tells.
Objects are immutable: a block that is executed makes its own, and throws it away with everything
else when it is not committed. Equal changes on one genesis give equal registries, in whatever order
they came.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

from validator.app.changes import (
    READERS,
    AnyEntry,
    Change,
    Edit,
    Put,
    Rekey,
    keys_in,
    zone_of,
)
from validator.app.entries import Authority, Zone
from validator.app.feeder import Feeder
from validator.app.histories import Histories
from validator.app.looked import Looked
from validator.app.parameters import Parameters
from validator.app.registry import Registry
from wire.keys import PublicKey

_KEPT_EPOCHS = 256
_KEPT_FEEDERS = 2_048


class Registries(Histories):
    """The registry of every interval."""

    def __init__(self, base: Registry, changes: Iterable[Change] = ()) -> None:
        """Take the genesis file's registry and every change since, in any order."""
        super().__init__(base)
        self.changes: tuple[Change, ...] = ()
        """Accepted changes, in order of effect."""

        self._starts: list[int] = []
        self._zone_starts: dict[str, tuple[int, ...]] = {}
        self._inside = dict(base.inside)
        self._epochs: dict[int, Registry] = {}
        self._feeders: dict[tuple[str, int], Feeder] = {}
        self.changes = tuple(sorted(changes, key=_order))
        self.withdrawn = frozenset(each.withdraws for each in self.changes if each.withdraws)
        for change in self.changes:
            self._by_id[change.id] = change
            if change.id not in self.withdrawn:
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
        found._by_id[change.id] = change
        if change.withdraws:
            found.withdrawn = self.withdrawn | {change.withdraws}
            found._give_back(found._by_id[change.withdraws])
        else:
            found._take(change)
        return found

    def _give_back(self, change: Change) -> None:
        """Let everything be as if a change that is the last of its things had never come.

        Its id and keys are free again. Where zones were told to begin anew they still do, and
        nothing differs there any more.
        """
        for edit in change.edits:
            thing, zones = (edit.table, edit.id), self._zones_of(edit)
            left = tuple(each for each in self._steps[thing] if each.id != change.id)
            if left:
                self._steps[thing] = left
            else:
                del self._steps[thing]
            if not self.was_registered(*thing):
                ids = self._new_ids.get(edit.table, ())
                self._new_ids[edit.table] = tuple(each for each in ids if each != edit.id)
            for key in _keys_of(edit):
                if not any(key in keys_in(each.entry) for each in self._ever(*thing)):
                    self._new_keys.pop(key.raw, None)
            for zone in {*zones, *self._zones_of(edit)}:
                self._touch(zone, change.from_s)

    def _take(self, change: Change) -> None:
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
        self._new_keys |= {key.raw: key for key in _keys_of(edit)}
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

    def inside(self, table: str, zone: str) -> Sequence[str]:
        """Ids of what is in a zone at any time: meters, unmetered loads, or zones below it."""
        return self._inside.get((table, zone), ())


def _keys_of(edit: Edit) -> list[PublicKey]:
    """Keys that an edit brings in, or keeps."""
    match edit:
        case Put(entry=entry):
            return keys_in(entry)
        case Rekey(key=key):
            return [key]
    return []


def _order(change: Change) -> tuple[int, bytes]:
    return change.from_s, change.id
