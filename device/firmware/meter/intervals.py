"""When an interval is over, and whether the meter may speak for it.

Decides, from network time alone, which interval has just closed. The rule for gaps: a record is
made only for an interval whose register at the start is known, so

- the first interval after commissioning, after a jump of the clock into another interval and after
  the meter was dead over a boundary is not closed: the first record is of the first whole one;
- an interval in which the meter lost power, but was alive at both boundaries, is closed whole, as
  the element counted on: `register = previous register + advance` holds, and a status bit tells;
- over a gap the register goes on (it includes what flowed meanwhile), the advance covers its own
  interval only, and the missing interval starts say that there is a gap.

No interval is closed twice: one that starts before the end of the newest closed one is left out,
whatever the clock does. And a boundary is latched once: where one record ended, another begins only
with the same registers. A clock that is corrected by no more than an interval may err in length
(1 %) passes its boundaries as if nothing had happened; if that takes it back behind one that has
passed, time stands until it is there again. Leaves registers, sequences and signatures to `app`.
"""

MS_PER_LENGTH_S = 10  # 1 % of an interval, in ms: what it may err in length (PTB-A 50.8).


class Intervals:
    """The interval that is open now."""

    def __init__(self, length_s, open_start_s=None, closed_until_s=0):
        """Go on from a saved state: `open_start_s` when the register at that start was latched."""
        self._length_s = length_s
        self.open_start_s = open_start_s
        self.closed_until_s = closed_until_s
        self._current_s = open_start_s  # The interval in which time was last looked at.

    def boundary(self, now_ms, awake):
        """The boundary (Unix s) at which to latch the registers now, or None. Call it often.

        `awake` is False at the first look after a boot: a boundary that passed before was slept
        through. After latching, `close` says which interval ended.
        """
        current_s = self._start_of(now_ms)
        if current_s == self._current_s or self._is_just_before(now_ms):
            return None
        follows = self._current_s is not None and current_s == self._current_s + self._length_s
        self._current_s = current_s
        if awake and follows:
            return current_s
        self.open_start_s = None
        return None

    def moved(self, before_ms, after_ms):
        """The clock was moved while it ran: what that took it out of is not whole any more."""
        if abs(after_ms - before_ms) <= self._length_s * MS_PER_LENGTH_S:
            return
        current_s = self._start_of(after_ms)
        if current_s != self._current_s:
            self._current_s = current_s
            self.open_start_s = None

    def close(self, boundary_s):
        """Begin the next interval; return the start of the one that ended, or None if not whole.

        `open_start_s` is None afterwards when a record ends here already, with other registers.
        """
        start_s = self.open_start_s
        if start_s is not None and start_s >= self.closed_until_s:
            self.open_start_s = self.closed_until_s = boundary_s
            return start_s
        self.open_start_s = boundary_s if boundary_s > self.closed_until_s else None
        return None

    def _start_of(self, now_ms):
        return now_ms // 1000 // self._length_s * self._length_s

    def _is_just_before(self, now_ms):
        """True when a correction has taken time back behind a boundary that has passed."""
        if self._current_s is None:
            return False
        return 0 < self._current_s * 1000 - now_ms <= self._length_s * MS_PER_LENGTH_S
