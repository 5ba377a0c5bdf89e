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
whatever the clock does. Leaves registers, sequences and signatures to `app`.
"""


class Intervals:
    """The interval that is open now."""

    def __init__(self, length_s, open_start_s=None, closed_until_s=0):
        """Go on from a saved state: `open_start_s` when the register at that start was latched."""
        self.length_s = length_s
        self.open_start_s = open_start_s
        self.closed_until_s = closed_until_s
        self._current_s = open_start_s  # The interval in which time was last looked at.

    def boundary(self, now_ms, awake):
        """The boundary (Unix s) at which to latch the registers now, or None. Call it often.

        `awake` is False at the first look after a boot: a boundary that passed before was slept
        through. After latching, `close` says which interval ended.
        """
        current_s = now_ms // 1000 // self.length_s * self.length_s
        if current_s == self._current_s:
            return None
        follows = self._current_s is not None and current_s == self._current_s + self.length_s
        self._current_s = current_s
        if awake and follows:
            return current_s
        self.open_start_s = None
        return None

    def close(self, boundary_s):
        """Begin the next interval; return the start of the one that ended, or None if not whole."""
        start_s = self.open_start_s
        self.open_start_s = boundary_s
        if start_s is None or start_s < self.closed_until_s:
            return None
        self.closed_until_s = boundary_s
        return start_s
