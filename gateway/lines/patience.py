"""How long to wait for a device on a serial line: as its own answers have shown.

A device that answers in 30 ms and once says nothing need not hold up its neighbours for half a
second. Decides that the first question gets the whole time-out, further ones a multiple of the
slowest recent answer, and that after any failure the whole time-out holds again: a device that
became slow is waited for when the others have been asked.
"""

_LEAST_S = 0.2
_FACTOR = 5
_SHARE = 1 / 16
"""How fast a slow answer is forgotten: this share of the difference with each quicker one."""


class Patience:
    """What is known of the devices of one line."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._slowest_s: dict[int, float] = {}

    def of(self, unit: int) -> float:
        """Seconds from the end of a request until its reply must have begun."""
        slowest_s = self._slowest_s.get(unit)
        if slowest_s is None:
            return self._most_s
        return min(self._most_s, max(_LEAST_S, _FACTOR * slowest_s))

    def answered(self, unit: int, after_s: float) -> None:
        """A reply began that long after its request."""
        before_s = self._slowest_s.get(unit, 0.0)
        self._slowest_s[unit] = max(after_s, before_s - (before_s - after_s) * _SHARE)

    def failed(self, unit: int) -> None:
        """No reply came in time."""
        self._slowest_s.pop(unit, None)
