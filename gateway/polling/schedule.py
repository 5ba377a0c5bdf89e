"""What to ask next on one bus: pure, with network time and real time as arguments.

Decides the order: registers of meters that cannot sign come first, right after the boundary,
because the moment of reading counts; then records of signing meters, which have closed them by
their own clock; then probes of the dead, with back-off, so that they cost the living next to
nothing. Who failed at this boundary comes again when all others have been asked, and no probe is
begun that a boundary would find on the line. Decides when a meter is dead, and when one is suspect.

A meter is **suspect** from the start and after every request that brought no clean answer: a late
reply may still be on its way. A suspect meter is only asked its fence (`polling.fences`), whose
value nobody uses. A late reply can therefore never be taken for a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

INTERVAL_S = 900

LATEST_READ_MS = 60_000
"""A boundary read later than this is worth nothing: the boundary is missed, which is a gap."""

WRONG_CLOCK_S = 86_400
"""What was read for a boundary so far ahead was read by a wrong clock; polling goes on without it.
After a smaller step back no interval is read twice: the boundaries come again."""

DEAD_AFTER = 2
"""Failures in a row after which a meter is only probed."""

_SILENT, _GARBLED = 3, 1
"""Weight of a failure: garbage may be somebody else's fault, so three times as much is borne."""

MOST_BUSY = 10
"""So often in a row a meter may say that it is busy; then it counts as one that refuses."""

BUSY_S = 0.2
AGAIN_S = 0.5
"""A device, or what is between it and us, says an answer twice within this time, or not at all."""

MOST_BACKOFF_S = 60.0
MOST_DOWN_S = 5.0
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
    REFUSING = "refusing"


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
    disturbs: bool = False
    fails: int = 0
    pauses: int = 0
    turn: int = 0
    busy: int = 0
    not_before_s: float = 0.0
    look_s: float = FIRST_LOOK_S
    looking_since_s: float | None = None

    def back_off(self, real_s: float) -> None:
        self.not_before_s = real_s + min(2.0**self.pauses, MOST_BACKOFF_S)
        self.pauses = min(self.pauses + 1, 16)

    def well(self) -> None:
        self.health = Health.LIVE
        self.fails = self.pauses = self.turn = self.busy = 0


@dataclass(slots=True)
class BusSchedule:
    """What is known about the meters of one bus, and what follows from it."""

    probe_ms: int = 0
    """What a question can cost that nobody answers: none is begun so shortly before a boundary."""

    _tracks: dict[str, _Track] = field(default_factory=dict)
    _downs: int = 0

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
        until_ms = (boundary_s + INTERVAL_S) * 1000
        wanting = [each for each in self._tracks.items() if self._wants(each[1], boundary_s)]
        due = [each for each in wanting if real_s >= each[1].not_before_s]
        if due:
            meter, track = min(due, key=lambda each: self._rank(each[1]))
            if track.health is Health.LIVE or not track.known or self.time_for_more(now_ms):
                return self._ask(meter, boundary_s, now_ms)
        waiting = [each.not_before_s - real_s for _, each in wanting if each.not_before_s > real_s]
        return Rest(until_ms, min([*waiting, MOST_BACKOFF_S]))

    def time_for_more(self, now_ms: int) -> bool:
        """Whether a question that nobody answers would be over before the next boundary."""
        return self.probe_ms < INTERVAL_S * 1000 - now_ms % (INTERVAL_S * 1000)

    def may_wait(self, step: Ask) -> bool:
        """Whether it is only a probe: nobody minds when something else is asked first."""
        track = self._tracks[step.meter]
        return track.known and track.health is not Health.LIVE

    def clean(self, meter: str) -> None:
        """The fence was answered: nothing older can come."""
        track = self._tracks[meter]
        track.suspect = False
        track.health = Health.LIVE
        track.known = True
        track.not_before_s = 0.0

    def done(self, meter: str, boundary_s: int) -> None:
        """What the boundary asked for is in the spool."""
        track = self._tracks[meter]
        track.well()
        self._over(track, boundary_s)

    def missed(self, meter: str, boundary_s: int) -> None:
        """What the boundary asked for can never be had."""
        track = self._tracks[meter]
        track.turn = track.busy = 0
        self._over(track, boundary_s)

    def not_yet(self, meter: str, real_s: float) -> None:
        """A signing meter answered and has not closed its record; look again soon."""
        track = self._tracks[meter]
        track.well()
        if track.looking_since_s is None:
            track.looking_since_s = real_s
        track.not_before_s = real_s + track.look_s
        track.look_s = min(2 * track.look_s, MOST_LOOK_S)

    def more(self, meter: str) -> None:
        """A signing meter has further records; go on when nothing is more urgent."""
        self._tracks[meter].well()

    def failed(self, meter: str, real_s: float, silent: bool = True) -> None:
        """No clean answer: whatever was asked may still be answered late.

        Args:
            meter: its id.
            real_s: real time.
            silent: nothing came; otherwise what came was garbage.
        """
        track = self._tracks[meter]
        track.suspect = True
        track.turn += 1
        track.fails += _SILENT if silent else _GARBLED
        if track.fails >= DEAD_AFTER * _SILENT:
            track.health = Health.DEAD
            track.known = True
            track.back_off(real_s)

    def refused(self, meter: str, real_s: float) -> None:
        """The meter answers, and does not give what it was asked for; it is asked again later."""
        track = self._tracks[meter]
        track.health = Health.REFUSING
        track.known = True
        track.turn += 1
        track.back_off(real_s)

    def again(self, meter: str, real_s: float) -> None:
        """The meter is asked again when a reply that came twice has gone by; the others first."""
        track = self._tracks[meter]
        track.turn += 1
        track.not_before_s = max(track.not_before_s, real_s + AGAIN_S)

    def busy(self, meter: str, real_s: float) -> None:
        """The meter says that it is busy: the others are asked meanwhile."""
        track = self._tracks[meter]
        track.busy += 1
        track.turn += 1
        if track.busy > MOST_BUSY:
            self.refused(meter, real_s)
        else:
            track.not_before_s = real_s + BUSY_S

    def held(self, meter: str, real_s: float) -> None:
        """The meter answers and is not the registered one; leave it alone for a while."""
        track = self._tracks[meter]
        track.health = Health.HELD
        track.not_before_s = real_s + HOLD_S

    def suspect(self, meter: str) -> None:
        """A question from elsewhere got no clean answer from this meter."""
        self._tracks[meter].suspect = True

    def disturbs(self, meters: Sequence[str]) -> None:
        """These talk without being asked: they come after all others."""
        for name, track in self._tracks.items():
            track.disturbs = name in meters

    def down(self, real_s: float) -> None:
        """Nobody on the bus can be asked; it is tried again soon, ever more seldom."""
        pause_s = min(0.5 * 2.0**self._downs, MOST_DOWN_S)
        self._downs = min(self._downs + 1, 16)
        for track in self._tracks.values():
            track.suspect = track.known = True
            track.health = Health.DEAD
            track.not_before_s = real_s + pause_s

    def up(self) -> None:
        """The bus is there again: everybody is asked at once."""
        if self._downs:
            self._downs = 0
            for track in self._tracks.values():
                track.not_before_s = 0.0

    def is_suspect(self, meter: str) -> bool:
        """Whether an older reply of the meter may still come."""
        return self._tracks[meter].suspect

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
    def _over(track: _Track, boundary_s: int) -> None:
        ahead = track.done_s > boundary_s + WRONG_CLOCK_S
        track.done_s = boundary_s if ahead else max(track.done_s, boundary_s)
        track.look_s = FIRST_LOOK_S
        track.looking_since_s = None

    @staticmethod
    def _wants(track: _Track, boundary_s: int) -> bool:
        held = track.health is Health.HELD and track.signing
        asked_anyway = track.suspect or track.health is Health.DEAD or held
        ahead = track.done_s > boundary_s + WRONG_CLOCK_S
        return asked_anyway or track.done_s < boundary_s or ahead

    @staticmethod
    def _rank(track: _Track) -> tuple[bool, bool, bool, int, float]:
        late = track.health is not Health.LIVE
        return late, track.signing, track.disturbs, track.turn, track.not_before_s

    def _ask(self, meter: str, boundary_s: int, now_ms: int) -> Ask | Missed:
        track = self._tracks[meter]
        if track.suspect:
            return Ask(meter, Purpose.FENCE, boundary_s)
        if track.signing:
            return Ask(meter, Purpose.RECORDS, boundary_s)
        if now_ms - boundary_s * 1000 > LATEST_READ_MS:
            return Missed(meter, boundary_s)
        return Ask(meter, Purpose.BOUNDARY, boundary_s)
