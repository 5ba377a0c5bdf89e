"""Network time on the board: what time it is, and what that is worth as evidence (field 14).

Decides when a clock may be believed. A clock that was never set tells no time at all: `now_ms`
returns None and the meter closes no interval. Operating time is the clock's other half: it only
grows, and never stands for a date. The epoch of a board's `time` is known here and nowhere else.

`BusClock` is a meter in life: time is given by a master or a receiver and kept by the board's
ticks. A simulation whose network time runs faster than life has `paced_clock` instead.

The bus carries seconds in 32 bits: 2106-02-07 06:28:15 UTC is the last moment that is believed,
and from the next one on this clock tells no time. 2038 means nothing to it.
"""

import time

UNKNOWN, SET, SYNCHRONISED = 0, 1, 2
DRIFT_PPM = 50  # A plain crystal over -20..60 °C, with room.
SYNCHRONISED_WITHIN_MS = 9000  # 1 % of the interval (PTB-A 50.8); beyond it quality drops.
_EARLIEST_S = 1577836800  # 2020-01-01: no meter of this kind is older.
LATEST_S = 0xFFFFFFFF
LONGEST_ERROR_S = 60  # A master that knows the time no better has none to give.
RESOLUTION_MS = 2  # Of the time that is given, and of the ticks.
LONGEST_STEP_MS = 60000  # Nobody disciplines a clock by more than a minute: that is setting it.
_KEPT_EARLIEST_S = 1735689600  # 2025-01-01: later than boards begin without a battery.
KEPT_ERROR_S = 60  # What a board's own clock may be off after a reset.


def epoch_s(clock):
    """Unix seconds at the zero of a module like `time`: the ports begin in 1970 or in 2000."""
    return 946684800 if clock.gmtime(0)[0] == 2000 else 0


EPOCH_S = epoch_s(time)


class BusClock:
    """A clock that is given the time; it knows none after a power cut, as most boards.

    All that it was given since it was last set, each with its error and the drift since, leaves a
    cone in which true time must lie. Time that is consistent with the cone disciplines the clock
    and narrows the cone; any other time sets it anew, and only that is counted. So nobody can walk
    this clock away in small steps that are never counted.
    """

    def __init__(self, ticks_ms, ticks_diff, times_set=0, set_at_s=0):
        """Begin without time; the two numbers are what earlier boots remember of being set."""
        self._ticks, self._diff = ticks_ms, ticks_diff
        self._last = ticks_ms()
        self._up_ms = 0
        self._anchor = None  # (network ms, uptime ms, error ms) of the last time that was taken.
        self._cone = None  # (earliest, latest network µs, uptime ms at which that held).
        self.known_since_ms = 0
        """Network time from which on this boot has known the time; 0 when from its start."""
        self.times_set = times_set
        self.set_at_s = set_at_s
        self.adjusted = False
        """Network ms to which a running clock was moved, until a record has told of it."""
        self._moved_ms = 0

    def start_from(self, kept_s, not_before_s):
        """Take the time from the board's own clock, which a reset leaves running; True if believed.

        `kept_s` is Unix s, or None when the board keeps none; it must be later than everything that
        the meter remembers (`not_before_s`). It is no setting, and worth less than one.
        """
        if kept_s is None or not max(_KEPT_EARLIEST_S, not_before_s) < kept_s <= LATEST_S:
            return False
        self._begin(kept_s * 1000, KEPT_ERROR_S * 1000)
        return True

    def up_ms(self):
        """Milliseconds since this boot; call it more often than half the ticks' wrap (6 days)."""
        now = self._ticks()
        self._up_ms += self._diff(now, self._last)
        self._last = now
        return self._up_ms

    def now_ms(self):
        """Network time; None while there is none, and after the end of time on the bus."""
        if self._anchor is None:
            self.up_ms()
            return None
        now = self._anchor[0] + self.up_ms() - self._anchor[1]
        return now if now < (LATEST_S + 1) * 1000 else None

    def give(self, network_ms, error_s, operating_s):
        """Take the time from a master or a receiver, with the bound it gives for its own error.

        Returns "set" (counted, at this operating second), "disciplined", "kept" when it agrees but
        is worth less than what is known, or "refused" when it is nonsense.
        """
        in_range = _EARLIEST_S * 1000 <= network_ms < (LATEST_S + 1) * 1000
        if not in_range or not 0 <= error_s <= LONGEST_ERROR_S:
            return "refused"
        now, error_ms = self.now_ms(), error_s * 1000 + RESOLUTION_MS
        cone = now is not None and self._narrowed(network_ms, error_ms)
        if cone and error_ms > self._error_ms():
            self._cone = cone
            return "kept"
        if cone and abs(network_ms - now) <= LONGEST_STEP_MS:
            self._mark(network_ms, now, SYNCHRONISED_WITHIN_MS)
            self._cone = cone
            self._anchor = (network_ms, self.up_ms(), error_ms)
            return "disciplined"
        self._mark(network_ms, now, 0)
        self._begin(network_ms, error_ms)
        self.times_set += 1
        self.set_at_s = operating_s
        return "set"

    def told(self, end_s):
        """A record of an interval that ended then has been made: what it told is not told again."""
        self._moved_ms = 0
        if self.adjusted and self.adjusted < end_s * 1000:
            self.adjusted = False

    def evidence(self):
        """[quality, times set, operating seconds when last set, error bound s]."""
        if self.now_ms() is None:
            return [UNKNOWN, self.times_set, self.set_at_s, 0]
        error_ms = self._error_ms()
        quality = SYNCHRONISED if error_ms <= SYNCHRONISED_WITHIN_MS else SET
        return [quality, self.times_set, self.set_at_s, (error_ms + 999) // 1000]

    def _begin(self, network_ms, error_ms):
        up = self.up_ms()
        self._anchor = (network_ms, up, error_ms)
        self._cone = ((network_ms - error_ms) * 1000, (network_ms + error_ms) * 1000, up)

    def _narrowed(self, network_ms, error_ms):
        """The cone now, narrowed by what is given; None when the two have nothing in common."""
        earliest, latest, since = self._cone
        up = self.up_ms()
        passed = (up - since) * 1000
        drift = passed * DRIFT_PPM // 1000000
        earliest = max(earliest + passed - drift, (network_ms - error_ms) * 1000)
        latest = min(latest + passed + drift, (network_ms + error_ms) * 1000)
        return (earliest, latest, up) if earliest <= latest else None

    def _mark(self, network_ms, now, allowed_ms):
        """Remember that a running clock was moved, or since when this one runs.

        Between two records all moves add up, so that many small ones tell as much as a large one.
        """
        if now is None:
            self.known_since_ms = network_ms
            return
        moved_ms = abs(network_ms - now)
        self._moved_ms += moved_ms
        if moved_ms and self._moved_ms > allowed_ms:
            self.adjusted = network_ms

    def _error_ms(self):
        return self._anchor[2] + (self.up_ms() - self._anchor[1]) * DRIFT_PPM // 1000000 + 1


def make(settings, board):
    """What makes the clock of what is remembered of it: (times set, operating s when last set)."""
    return lambda times_set, set_at_s: BusClock(time.ticks_ms, time.ticks_diff, times_set, set_at_s)
