"""Whom to ask for the final blocks that one has missed, how much at once, and for how long to wait.

Decides from what peers claim and what came of asking them: who failed least is asked, each once,
then of equals the one whose last answer brought most blocks a second. A liar costs one short wait,
then everyone else is asked before it; who delivers drop by drop is soon left for others. No clock
and no socket: every call says what time it is. Who executes it is `catching_up`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

FIRST_BYTES, LEAST_BYTES, MOST_BYTES = 256 * 1024, 64 * 1024, 2 * 1024 * 1024
"""Asked for at once: doubled with each answer in time, halved with each that is late."""

PATIENCE_S, LONGEST_PATIENCE_S = 1.0, 16.0
"""An answer may take so long: doubled when everyone who could be asked was late."""

PAUSE_S, LONGEST_PAUSE_S = 0.25, 60.0
"""Between questions to one who failed: doubled with each failure."""

FORGIVEN_S = 300.0
"""After so long one failure counts no more."""

GRACE_S = 0.25
"""Who is one block behind is about to commit it, as a rule, and asks a little later."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask whom."""

    peer: str
    """Validator id."""

    first: int
    """Height of the first block wanted."""

    most_bytes: int
    """How much is wanted."""

    patience_s: float
    """How long to wait for the answer."""


@dataclass(slots=True)
class _Source:
    claimed: int = 0
    failures: int = 0
    failed_s: float = 0.0
    blocks_per_s: float = 0.0
    asked: bool = False
    _forgiven_s: float = field(default=0.0)

    def failed(self, now_s: float) -> None:
        self.failures += 1
        self.failed_s = self._forgiven_s = now_s

    def forgive(self, now_s: float) -> None:
        if self.failures and now_s - self._forgiven_s > FORGIVEN_S:
            self.failures, self._forgiven_s = self.failures - 1, now_s

    def may_be_asked_s(self) -> float:
        if not self.failures:
            return 0.0
        return self.failed_s + min(LONGEST_PAUSE_S, PAUSE_S * 2.0**self.failures)


class Pursuit:
    """What is known of those who are ahead."""

    def __init__(self, faulty: int) -> None:
        """Start level.

        Args:
            faulty: so many validators may lie.
        """
        self.faulty = faulty
        """So many validators may lie."""
        self._sources: dict[str, _Source] = {}
        self._most_bytes = FIRST_BYTES
        self._patience_s = PATIENCE_S
        self._behind_since_s: float | None = None

    def claim(self, peer: str, height: int) -> None:
        """A peer tells its height."""
        self._sources.setdefault(peer, _Source()).claimed = height

    def target(self, tip: int) -> int:
        """The height that at least one honest validator tells, as far as that is known."""
        claims = sorted((source.claimed for source in self._sources.values()), reverse=True)
        return max(tip, claims[min(self.faulty, len(claims) - 1)]) if claims else tip

    def is_behind(self, tip: int, connected: Collection[str]) -> bool:
        """Whether a peer that can be asked claims more."""
        return any(self._sources[name].claimed > tip for name in connected if name in self._sources)

    def next(self, tip: int, connected: Collection[str], now_s: float) -> Question | None:
        """What to ask now; None when there is nothing to ask, or it is not yet time.

        Args:
            tip: height of one's own newest block.
            connected: peers that can be asked.
            now_s: now.
        """
        ahead = {
            name: source
            for name, source in self._sources.items()
            if source.claimed > tip and name in connected
        }
        if not ahead:
            self._behind_since_s = None
            return None
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        gap = max(source.claimed for source in ahead.values()) - tip
        if gap == 1 and now_s - self._behind_since_s < GRACE_S:
            return None
        for source in ahead.values():
            source.forgive(now_s)
        peer = min(ahead, key=lambda name: self._order(name, ahead[name]))
        if ahead[peer].may_be_asked_s() > now_s:
            return None
        return Question(peer, tip + 1, self._most_bytes, self._patience_s)

    @staticmethod
    def _order(name: str, source: _Source) -> tuple[int, bool, float, float, str]:
        return source.failures, source.asked, -source.blocks_per_s, source.failed_s, name

    def delivered(self, peer: str, blocks: int, waited_s: float) -> None:
        """A peer's blocks were final, and came after so long."""
        source = self._sources.setdefault(peer, _Source())
        source.asked, source.blocks_per_s = True, blocks / max(waited_s, 0.001)
        self._most_bytes = min(MOST_BYTES, self._most_bytes * 2)
        self._patience_s = max(PATIENCE_S, self._patience_s / 2)
        self._behind_since_s = None

    def failed(self, peer: str, now_s: float, *, late: bool) -> None:
        """A peer that claimed more gave nothing that is final, or nothing in time."""
        source = self._sources.setdefault(peer, _Source())
        source.failed(now_s)
        source.asked, source.blocks_per_s = True, 0.0
        if late:
            self._most_bytes = max(LEAST_BYTES, self._most_bytes // 2)
            others = [each for each in self._sources.values() if each.claimed >= source.claimed]
            if all(each.failures for each in others):
                self._patience_s = min(LONGEST_PATIENCE_S, self._patience_s * 2)
