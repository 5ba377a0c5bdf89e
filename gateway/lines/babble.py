"""Who talks on a line without being asked: pure, with real time as an argument.

Late replies are not meant: who was asked may answer. Decides from how many octets on a line counts
as babbling, for how long that is held against it, and which units have named themselves, by whole
frames with a right check sum. What it costs the others is bounded by `lines.line`.
"""

from collections import Counter, deque

WINDOW_S = 1_200.0
"""Longer than an interval: between boundaries nobody listens."""

_MOST_KEPT = 256
_OCTETS = 100
_FRAMES = 3


class Babble:
    """What was said unasked in the last twenty minutes."""

    def __init__(self) -> None:
        self._heard: deque[tuple[float, int, int | None]] = deque(maxlen=_MOST_KEPT)

    def heard(self, now_s: float, octets: int, unit: int | None) -> None:
        """Octets came that nobody asked for; from that unit, when they are a sound frame."""
        self._heard.append((now_s, octets, unit))

    def is_on(self, now_s: float) -> bool:
        """Whether the line babbles."""
        self._forget(now_s)
        return sum(octets for _, octets, _ in self._heard) >= _OCTETS

    def units(self, now_s: float) -> tuple[int, ...]:
        """Which units have been heard to babble; empty when none can be told."""
        self._forget(now_s)
        frames = Counter(unit for _, _, unit in self._heard if unit is not None)
        return tuple(sorted(unit for unit, count in frames.items() if count >= _FRAMES))

    def _forget(self, now_s: float) -> None:
        while self._heard and self._heard[0][0] < now_s - WINDOW_S:
            self._heard.popleft()
