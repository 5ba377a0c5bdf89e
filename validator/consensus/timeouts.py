"""How long a round may take: doubling, clamped before the shift, capped.

Integers of real milliseconds. The shift is clamped so that no number of rounds overflows, and the
cap bounds how long a healed network waits. When a round's time begins is the machine's to decide.
"""

from dataclasses import dataclass

LARGEST_SHIFT = 6


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
