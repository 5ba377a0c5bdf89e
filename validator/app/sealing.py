"""Which windows a block seals.

Decides when: after all transactions of a block, a window that has a new reading and is complete,
past its deadline or sealed before; and every window whose deadline has passed by header time. A
zone's windows begin with its first accepted reading. A window is judged by the registry of its
interval. Seals are derived, never carried, so nobody can omit or time them.

Over a gap a window may be merged of several intervals, once: at once when the meter's sequence
shows that no reading of the gap was ever made, else when readings have been waited for. A merged
window never crosses a change of the zone's registration, and never holds what is settled. Which
readings count is decided by `validator.app.windows`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from validator.app.cases import Now, end_of_window
from validator.app.feeder import Feeder
from validator.app.records import BRIDGE, CURSOR, SEALED, Cursor, Sealed, key
from validator.app.registries import Registries
from validator.app.settlement import settle
from validator.app.state import Overlay
from validator.app.windows import Registers, Window, merged, ordinary, span_of_gap
from validator.app.zone_seal import judge
from wire import merkle
from wire.results import Verdict, ZoneSeal

_MOST_OVERDUE = 1_000
"""Windows of one zone that may come due by deadline in one block; the rest follow in the next."""

_MOST_LOOKED_UP = 100_000
"""Readings that a block may look for to merge windows; what is left follows in the next."""


class SealedWindow(NamedTuple):
    """A seal with what it was made of."""

    seal: ZoneSeal
    """The seal."""

    inputs: tuple[bytes, ...]
    """SHA-256 of the readings that it used, in order of meter id."""


class Hole(NamedTuple):
    """A gap that a new reading has shown, in one zone."""

    zone: str
    """Zone id."""

    start_s: int
    """Start of its first interval."""

    meter: str
    """Meter that has it."""

    for_good: bool
    """No reading of it was ever made."""


@dataclass(slots=True)
class Fresh:
    """What a block's new readings touch."""

    windows: set[tuple[str, int]] = field(default_factory=set)
    """(zone, interval start) of newly accepted readings."""

    holes: set[Hole] = field(default_factory=set)
    """Gaps beside them."""


def seal_windows(
    registries: Registries, overlay: Overlay, now: Now, fresh: Fresh
) -> list[SealedWindow]:
    """Seal what a block of this time makes due; returns the seals in order of (zone, start).

    Args:
        registries: who and what is registered, interval by interval.
        overlay: the state with the block's readings; takes the seals and what they settle.
        now: the block.
        fresh: what its readings touch.
    """
    sealing = _Sealing(registries, overlay, now)
    starts: dict[str, set[int]] = {}
    for zone, start_s in fresh.windows:
        starts.setdefault(zone, set()).add(start_s)
    for zone in registries.ids_ever("zones"):
        sealing.zone(zone, starts.get(zone, set()))
    sealing.bridge(fresh.holes)
    return sorted(sealing.sealed, key=lambda each: (each.seal.zone, each.seal.start_s))


class _Sealing:
    """The seals of one block."""

    def __init__(self, registries: Registries, overlay: Overlay, now: Now) -> None:
        self.sealed: list[SealedWindow] = []
        self._registries = registries
        self._parameters = registries.base.parameters
        self._overlay = overlay
        self._now = now
        self._length_s = self._parameters.interval_s

    def _feeder(self, zone: str, start_s: int) -> Feeder | None:
        """The zone as registered for an interval; None when it was not."""
        return self._registries.at(start_s).feeders.get(zone)

    # Windows of one interval.

    def zone(self, zone: str, new: set[int]) -> None:
        """Seal a zone's windows that are new or overdue, and end those that are too old."""
        overdue, cursor_s = self._overdue(zone, new)
        for start_s in sorted(overdue | new):
            before = self._before(zone, start_s)
            if before is not None and before.merged:
                self._reseal_merged(zone, start_s, before)
                continue
            feeder = self._feeder(zone, start_s)
            if feeder is None:
                continue
            window = ordinary(self._parameters, self._overlay, feeder, start_s)
            if window.complete or start_s < cursor_s or before is not None:
                verdict = self._seal(feeder, start_s, 0, window)
                if verdict is Verdict.INCONCLUSIVE and (start_s in new or window.unusable):
                    self._try_later(zone, start_s)

    def _before(self, zone: str, start_s: int) -> Sealed | None:
        stored = self._overlay.get(SEALED, key(zone, start_s))
        return None if stored is None else Sealed.of(stored)

    def _overdue(self, zone: str, new: set[int]) -> tuple[set[int], int]:
        """Move the zone's cursor past every window whose deadline or whose waiting is over.

        Returns:
            Windows past their deadline that have no seal, and the cursor: older windows are past
            their deadline.
        """
        row, time_s = zone.encode(), self._now.time_s
        stored = self._overlay.get(CURSOR, row)
        if stored is None and not new:
            return set(), 0
        deadline_s, window_s = Cursor.of(stored) if stored is not None else (min(new), min(new))
        grace_s = (self._parameters.deadline_intervals + 1) * self._length_s
        found: set[int] = set()
        sealed_s = deadline_s  # Older windows were sealed by blocks before this one.
        while deadline_s + grace_s <= time_s and len(found) < _MOST_OVERDUE:
            if self._overlay.get(SEALED, key(zone, deadline_s)) is None:
                found.add(deadline_s)
            deadline_s += self._length_s
        wait_s = self._length_s + self._parameters.acceptance_window_s
        ended = 0
        while window_s + wait_s <= time_s and window_s < sealed_s and ended < _MOST_OVERDUE:
            end_of_window(self._overlay, self._now, self._length_s, zone, window_s)
            window_s += self._length_s
            ended += 1
        value = Cursor(deadline_s, window_s).packed()
        if value != stored:
            self._overlay.put(CURSOR, row, value)
        return found, deadline_s

    # Merged windows.

    def _try_later(self, zone: str, start_s: int) -> None:
        row = key(zone, start_s)
        if self._overlay.get(BRIDGE, row) is None:
            due_s = self._now.time_s + self._parameters.bridge_wait_s
            self._overlay.put(BRIDGE, row, due_s.to_bytes(8, "big"))

    def bridge(self, holes: Iterable[Hole]) -> None:
        """Merge windows over gaps: those that will stay, and those that were waited for."""
        waited = {
            (row[:-9].decode(), int.from_bytes(row[-8:], "big"))
            for row, value in self._overlay.rows(BRIDGE)
            if int.from_bytes(value, "big") <= self._now.time_s
        }
        due = waited | self._for_good(holes)
        registers = Registers(self._parameters, self._overlay, self._registries)
        for zone, start_s in sorted(due):
            if registers.looked_up > _MOST_LOOKED_UP:
                return
            if self._merge(registers, zone, start_s) or (zone, start_s) in waited:
                self._overlay.remove(BRIDGE, key(zone, start_s))

    def _for_good(self, holes: Iterable[Hole]) -> set[tuple[str, int]]:
        """Note gaps for later; return those that no reading will ever fill."""
        found = set()
        for hole in holes:
            if self._overlay.claims(hole.meter, hole.start_s):
                continue  # Another reading of the block has filled it.
            self._try_later(hole.zone, hole.start_s)
            if hole.for_good:
                found.add((hole.zone, hole.start_s))
        return found

    def _merge(self, registers: Registers, zone: str, start_s: int) -> bool:
        """Merge the window around a gap; False when that may still be tried later."""
        before = self._before(zone, start_s)
        if before is not None and (before.settled or before.merged):
            return True
        feeder = self._feeder(zone, start_s)
        if feeder is None:
            return True
        span = span_of_gap(self._parameters, registers, feeder, start_s)
        if span is None:
            return False
        first_s, intervals = span
        if not self._may_merge(feeder, first_s, intervals):
            return True
        whole = feeder.over(intervals)
        window = merged(self._parameters, registers, whole, first_s, intervals)
        self._seal(whole, first_s, intervals, window)
        return True

    def _may_merge(self, feeder: Feeder, first_s: int, intervals: int) -> bool:
        """Whether nothing in the span is settled, merged or registered otherwise."""
        for place in range(intervals):
            start_s = first_s + place * self._length_s
            before = self._before(feeder.zone, start_s)
            if before is not None and (before.settled or before.merged):
                return False
            registered = self._feeder(feeder.zone, start_s)
            if registered is None or registered.parameters_hash != feeder.parameters_hash:
                return False
        return True

    def _reseal_merged(self, zone: str, start_s: int, before: Sealed) -> None:
        """A reading within a merged window sharpens it; the window stays what it is."""
        first_s = start_s - before.offset * self._length_s
        feeder = self._feeder(zone, first_s)
        assert feeder is not None, "what was sealed was registered"
        whole = feeder.over(before.merged)
        registers = Registers(self._parameters, self._overlay, self._registries)
        window = merged(self._parameters, registers, whole, first_s, before.merged)
        self._seal(whole, first_s, before.merged, window)

    # Any window.

    def _seal(self, feeder: Feeder, start_s: int, spans: int, window: Window) -> Verdict | None:
        """Judge a window and settle it; None when nothing changed since its newest seal.

        Args:
            feeder: the zone, for the window's length.
            start_s: start of the window.
            spans: intervals of a merged window, 0 for an ordinary one.
            window: what counts.
        """
        rows = [key(feeder.zone, start_s + n * self._length_s) for n in range(feeder.intervals)]
        stored = [self._overlay.get(SEALED, row) for row in rows]
        before = [Sealed.of(value) for value in stored if value is not None]
        inputs_root = merkle.root([merkle.leaf_hash(digest) for digest in window.inputs])
        own = before[0] if before and stored[0] is not None else None
        if own is not None and own.merged == spans and own.inputs_root == inputs_root:
            return None
        found = judge(feeder, self._parameters, window.measured, start_s)
        seal = ZoneSeal(
            zone=feeder.zone,
            start_s=start_s,
            end_s=start_s + feeder.intervals * self._length_s,
            revision=max((each.revision + 1 for each in before), default=0),
            verdict=found.verdict,
            residual_wh=found.residual_wh,
            loss_low_wh=found.loss.low_wh,
            loss_high_wh=found.loss.high_wh,
            band_wh=found.band_wh,
            coverage_ppm=found.coverage_ppm,
            parameters_hash=feeder.parameters_hash,
            inputs_root=inputs_root,
            overloaded=found.overloaded,
            marked=len(window.marked),
        )
        settled = settle(
            self._overlay,
            self._now,
            feeder,
            seal,
            window.measured,
            0 if own is None else own.settled,
        )
        for offset, row in enumerate(rows):
            now = Sealed(seal.revision, found.verdict, settled, offset, spans, inputs_root)
            self._overlay.put(SEALED, row, now.packed())
        self.sealed.append(SealedWindow(seal, window.inputs))
        return found.verdict
