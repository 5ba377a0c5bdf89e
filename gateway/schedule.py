"""What to ask next on one bus: pure, with network time and real time as arguments.

Decides the order: registers of meters that cannot sign come first, right after the boundary,
because the moment of reading counts; then records of signing meters, which have closed them by
their own clock; then probes of the dead, with back-off, so that they cost the living next to
nothing. Decides when a meter is dead, and when one is suspect.

A meter is **suspect** from the start and after every request that brought no clean answer: a late
reply may still be on its way. A suspect meter is only asked its fence, a read of another length
whose value nobody uses. Devices answer in the order in which they were asked, so once the fence is
answered nothing older can come any more. A late reply can therefore never be taken for a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

INTERVAL_S = 900

LATEST_READ_MS = 60_000
"""A boundary read later than this is worth nothing: the boundary is missed, which is a gap."""

DEAD_AFTER = 2
"""Failures in a row after which a meter is only probed."""

MOST_BACKOFF_S = 60.0
FIRST_LOOK_S, MOST_LOOK_S = 0.02, 1.0
"""Real time between looks for a record that its meter has not closed yet: doubling, from, to."""

GRACE_S = 2.0
"""Real time for which the others wait for a record that its meter has not closed."""

HOLD_S = 60.0
"""How long a held meter is left alone before its identity is looked at again."""


class Health(StrEnum):
    """How a meter stands."""

    LIVE = "live"
    DEAD = "dead"
    HELD = "held"


class Purpose(StrEnum):
    """What a meter is asked for."""

    FENCE = "fence"
    BOUNDARY = "boundary"
    RECORDS = "records"


@dataclass(frozen=True, slots=True)
class Ask:
    """The next thing to do on the bus."""

    meter: str
    """Whom to ask."""

    purpose: Purpose
    """For what."""

    boundary_s: int
    """The newest interval boundary, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do now."""

    until_ms: int
    """Network time of the next boundary."""

    at_most_s: float
    """Real time after which something may be due earlier."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A boundary at which a meter could not be read."""

    meter: str
    """Which meter."""

    boundary_s: int
    """Which boundary, Unix seconds."""


@dataclass(slots=True)
class _Track:
    signing: bool
    done_s: int
    health: Health = Health.DEAD
    known: bool = False
    suspect: bool = True
    fails: int = 0
    not_before_s: float = 0.0
    look_s: float = FIRST_LOOK_S
    looking_since_s: float | None = None


@dataclass(slots=True)
class BusSchedule:
    """What is known about the meters of one bus, and what follows from it."""

    _tracks: dict[str, _Track] = field(default_factory=dict)

    def add(self, meter: str, signing: bool, done_s: int) -> None:
        """Poll a meter from now on.

        Args:
            meter: its id.
            signing: whether it keeps signed records of its own.
            done_s: the newest boundary that the spool has for it; -1 for none.
        """
        self._tracks[meter] = _Track(signing, done_s)

    def next(self, now_ms: int, real_s: float) -> Ask | Rest | Missed:
        """What to do now.

        Args:
            now_ms: network time.
            real_s: real time that only runs forward, seconds.
        """
        boundary_s = now_ms // 1000 // INTERVAL_S * INTERVAL_S
        due = [
            (self._rank(track), meter)
            for meter, track in self._tracks.items()
            if real_s >= track.not_before_s and self._wants(track, boundary_s)
        ]
        if due:
            meter = min(due, key=lambda each: each[0])[1]
            return self._ask(meter, boundary_s, now_ms)
        waiting = [
            track.not_before_s - real_s
            for track in self._tracks.values()
            if self._wants(track, boundary_s)
        ]
        return Rest((boundary_s + INTERVAL_S) * 1000, min([*waiting, MOST_BACKOFF_S]))

    def clean(self, meter: str) -> None:
        """The fence was answered: nothing older can come."""
        track = self._tracks[meter]
        track.suspect = False
        track.health = Health.LIVE
        track.known = True
        track.not_before_s = 0.0

    def done(self, meter: str, boundary_s: int) -> None:
        """What the boundary asked for is in the spool, or can never be."""
        track = self._tracks[meter]
        track.done_s = max(track.done_s, boundary_s)
        track.fails = 0
        track.look_s = FIRST_LOOK_S
        track.looking_since_s = None

    def not_yet(self, meter: str, real_s: float) -> None:
        """A signing meter answered and has not closed its record; look again soon."""
        track = self._tracks[meter]
        track.fails = 0
        if track.looking_since_s is None:
            track.looking_since_s = real_s
        track.not_before_s = real_s + track.look_s
        track.look_s = min(2 * track.look_s, MOST_LOOK_S)

    def more(self, meter: str) -> None:
        """A signing meter has further records; go on when nothing is more urgent."""
        self._tracks[meter].fails = 0

    def failed(self, meter: str, real_s: float) -> None:
        """No clean answer: whatever was asked may still be answered late."""
        track = self._tracks[meter]
        track.suspect = True
        track.fails += 1
        if track.fails >= DEAD_AFTER:
            track.health = Health.DEAD
            track.known = True
            backoff_s = min(2.0 ** (track.fails - DEAD_AFTER), MOST_BACKOFF_S)
            track.not_before_s = real_s + backoff_s

    def held(self, meter: str, real_s: float) -> None:
        """The meter answers and is not the registered one; leave it alone for a while."""
        track = self._tracks[meter]
        track.health = Health.HELD
        track.not_before_s = real_s + HOLD_S

    def health(self, meter: str) -> Health:
        """How a meter stands."""
        return self._tracks[meter].health

    def done_s(self, meter: str) -> int:
        """The newest boundary that is dealt with for a meter; -1 for none."""
        return self._tracks[meter].done_s

    def all_dead(self) -> bool:
        """Whether nothing on the bus answers: then the port itself may be the reason."""
        return all(track.health is Health.DEAD for track in self._tracks.values())

    def finished_boundaries(self, real_s: float) -> Sequence[int]:
        """For each meter that is waited for, the newest boundary that is dealt with.

        The living are waited for, and those of whom it is not known yet; not a meter that answers
        and has had no record to give for a while.
        """
        return [
            track.done_s
            for track in self._tracks.values()
            if (track.health is Health.LIVE or not track.known)
            and (track.looking_since_s is None or real_s < track.looking_since_s + GRACE_S)
        ]

    @staticmethod
    def _wants(track: _Track, boundary_s: int) -> bool:
        return track.suspect or track.health is not Health.LIVE or track.done_s < boundary_s

    @staticmethod
    def _rank(track: _Track) -> tuple[bool, bool, float]:
        return track.health is not Health.LIVE, track.signing, track.not_before_s

    def _ask(self, meter: str, boundary_s: int, now_ms: int) -> Ask | Missed:
        track = self._tracks[meter]
        if track.suspect:
            return Ask(meter, Purpose.FENCE, boundary_s)
        if track.signing:
            return Ask(meter, Purpose.RECORDS, boundary_s)
        if now_ms - boundary_s * 1000 > LATEST_READ_MS:
            return Missed(meter, boundary_s)
        return Ask(meter, Purpose.BOUNDARY, boundary_s)
