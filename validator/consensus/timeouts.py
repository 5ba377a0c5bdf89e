"""How long a round may take: doubling, clamped before the shift, capped; and a base that adapts.

Integers of real milliseconds. The shift is clamped so that no number of rounds overflows, and the
cap bounds how long a healed network waits. The base of a height follows the round trips that this
validator measures itself: a local matter, which changes when a round is given up and never what may
be decided. When a round's time begins is the machine's to decide.
"""

from collections.abc import Collection
from dataclasses import dataclass

LARGEST_SHIFT = 6

LAST_ROUND = 2**32 - 1
"""What a message has room for: whoever is lied into it stays, and the next height begins anew."""

ROUND_TRIPS = 4
"""A base lasts at least so many round trips. Agreeing takes one and a half (proposal, PREPARE,
COMMIT), asking for a batch one more; with a base of 2 s this begins to matter at 500 ms."""

RISE, FALL = 2, 8
"""A peer's smoothed round trip takes half of what is above it, an eighth of what is below it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Durations of rounds."""

    base_ms: int = 2_000
    """Round 0."""

    cap_ms: int = 30_000
    """No round is longer."""

    def round_ms(self, round_number: int) -> int:
        """Duration of a round."""
        return min(self.cap_ms, self.base_ms << min(round_number, LARGEST_SHIFT))

    def resend_ms(self, round_number: int) -> int:
        """How often one's own messages of a round are sent again."""
        return max(1, self.round_ms(round_number) // 2)


def next_base_ms(base_ms: int, round_trip_ms: int, configured: Timeouts) -> int:
    """The base of the next height: it grows at once, and shrinks by an eighth at a time.

    Between three quarters of the base and the base nothing changes, so that a round trip that sways
    does not move it.

    Args:
        base_ms: of the height before.
        round_trip_ms: of the slowest peer among the nearest quorum.
        configured: the base is never below this one's, nor above its cap.
    """
    wanted_ms = min(configured.cap_ms, max(configured.base_ms, ROUND_TRIPS * round_trip_ms))
    if wanted_ms >= base_ms:
        return wanted_ms
    if wanted_ms > base_ms * 3 // 4 and wanted_ms > configured.base_ms:
        return base_ms
    return max(wanted_ms, base_ms - (base_ms + 7) // 8)


class Pace:
    """Measured round trips of all peers, and the timeouts that follow from them."""

    def __init__(self) -> None:
        """Start without a measurement: the first height's timeouts are as configured."""
        self.base_ms = 0
        """Of the present height; 0 before the first."""
        self.round_trip_ms = 0
        """Of the slowest peer among the nearest quorum, as of the present height; 0 while nothing
        is measured."""
        self._smoothed: dict[str, int] = {}

    def measured(self, peer: str, round_trip_ms: int) -> None:
        """A peer has answered after that long."""
        known_ms = self._smoothed.get(peer, round_trip_ms)
        change_ms = round_trip_ms - known_ms
        share = RISE if change_ms > 0 else FALL
        # Towards the new value by one at least, or small steps would never arrive.
        step_ms = (abs(change_ms) + share - 1) // share
        self._smoothed[peer] = known_ms + (step_ms if change_ms > 0 else -step_ms)

    def keep_only(self, connected: Collection[str]) -> None:
        """Forget peers that no link leads to: what they once took says nothing now."""
        for peer in self._smoothed.keys() - set(connected):
            del self._smoothed[peer]

    def begin_height(self, configured: Timeouts, quorum: int) -> Timeouts:
        """Settle the timeouts of a new height.

        At most f peers lie, and q - 1 peers make a quorum with oneself: the slowest of the nearest
        q - 1 is no slower than the slowest honest one, so that liars who answer late cannot stretch
        the rounds.

        Args:
            configured: the shortest base, and the cap.
            quorum: validators that must agree, oneself among them.
        """
        nearest = sorted(self._smoothed.values())[: max(1, quorum - 1)]
        self.round_trip_ms = nearest[-1] if nearest else 0
        before_ms = self.base_ms or configured.base_ms
        self.base_ms = next_base_ms(before_ms, self.round_trip_ms, configured)
        return Timeouts(self.base_ms, configured.cap_ms)
