"""What stands in a meter's status until a technician acknowledges it, and since which event.

Decides which events set which of the sticky bits, and which of them set a bit that stands now.
Leaves fetching and verifying the events to `at_prompt`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from wire import event as events
from wire.event import Event, time_words
from wire.record_rules import STATUS_BITS, STICKY

SET_BY = {
    8: (events.COVER_OPEN,),
    9: (events.TERMINAL_COVER_OPEN,),
    10: (events.MAGNET,),
    13: (events.CONFIGURATION, events.KEY),
    14: (events.SOFTWARE,),
}
"""Kinds of the events that set a sticky bit, by its number."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A sticky bit that is set."""

    bit: int
    """Its number."""

    since: Event | None
    """The event that set it; None when the log does not have it any more."""

    settled: bool
    """Whether no older event can have set it."""

    @property
    def name(self) -> str:
        """What it is called."""
        return STATUS_BITS[self.bit]

    @property
    def words(self) -> str:
        """For people: `cover open since event 12 (2026-11-21 09:00:00 UTC)`."""
        if self.since is None:
            return f"{self.name}, since before the oldest event that was looked at"
        return f"{self.name} since event {self.since.number} ({time_words(self.since.time_s)})"


def bits_of(status: int) -> list[int]:
    """The sticky bits of a status."""
    return [bit for bit in sorted(SET_BY) if status & STICKY & 1 << bit]


def standing(status: int, newest_first: Iterable[Event]) -> tuple[Standing, ...]:
    """Each sticky bit that is set, with the event that set it among these events."""
    known = list(newest_first)
    return tuple(_standing(bit, known) for bit in bits_of(status))


def _standing(bit: int, newest_first: Iterable[Event]) -> Standing:
    """Go back to the event that was made while the bit was not set yet."""
    found = None
    for event in newest_first:
        if event.kind in SET_BY[bit]:
            found = event
        if not event.status & 1 << bit:
            return Standing(bit, found, True)
    return Standing(bit, found, False)
