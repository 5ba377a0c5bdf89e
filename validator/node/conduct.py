"""How one validator behaves towards this one, and what it may cost.

Rates are token buckets by real time. What exceeds them is left unread; it lowers a score that
recovers with time. Two things are punished differently, so that nobody honest becomes deaf:

- Too much, unasked-for answers, wrong answers and heights that it has no block for. An honest
  validator that is overloaded or out of date may look like that. When its score is gone, only its
  votes, its height and its answers to our own questions are read for a while, and its questions
  stay unanswered: what agreement needs still passes.
- Nonsense: what no honest validator sends. The connection ends; the first time it may come back at
  once, then after growing pauses.

Scores are kept for the validator on the other end of the connection alone, whose certificate it
showed; nobody can spoil another's. No clock here: every call says what time it is.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from validator.node.frames import RATES, Kind, Rate

FULL = 100.0
"""The best score."""

RECOVERY_PER_S = 1.0
AFTER_PAUSE = 50.0
"""The score with which a pause ends."""

EXCESS, UNASKED, LIE, WRONG = 1.0, 5.0, 10.0, 25.0
"""What it costs: a frame beyond the rates, an answer nobody asked for, a height without a block, an
answer that is not what was asked for."""

QUIET_S, LONGEST_QUIET_S = 10.0, 320.0
"""For so long only votes are read; twice as long each further time."""

SHUT_S, LONGEST_SHUT_S = 1.0, 60.0
"""For so long no connection is taken after the second nonsense; twice as long each further time."""

FORGIVEN_S = 600.0
"""After so long one earlier punishment counts no more."""

FRAMES = Rate(2_000, 5_000)
"""Frames of any kind, read or not; whoever sends more waits."""

BYTES = Rate(8 * 2**20, 32 * 2**20)
"""Bytes of any kind, in; and of answers, out."""

LOOK_UP_BYTES = 8 * 1024
"""A final block that is looked up counts as so many bytes of answer: small blocks are work too."""

CONNECTIONS = Rate(0.5, 20)
"""Connections taken; each new one is greeted with all that waits."""

ANSWER_VALID_S = 60.0
MOST_ASKED = 256


class Bucket:
    """Tokens that refill with time."""

    def __init__(self, rate: Rate) -> None:
        """Start full."""
        self._rate = rate
        self._left = rate.at_once
        self._at_s = 0.0

    def _refill(self, now_s: float) -> None:
        gained = max(0.0, now_s - self._at_s) * self._rate.per_s
        self._left = min(self._rate.at_once, self._left + gained)
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Take tokens, all or none."""
        self._refill(now_s)
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def spend(self, amount: float, now_s: float) -> float:
        """Take tokens, into debt if need be; returns after how many seconds it is paid."""
        self._refill(now_s)
        self._left -= amount
        return max(0.0, -self._left / self._rate.per_s)

    def owes(self, now_s: float) -> bool:
        """Whether there is debt."""
        self._refill(now_s)
        return self._left < 0


@dataclass(slots=True)
class Pauses:
    """Punishments that grow, and are forgiven one by one."""

    first_s: float
    """The shortest."""

    longest_s: float
    """The longest."""

    until_s: float = 0.0
    """When the present one ends."""

    _times: int = 0
    _since_s: float = 0.0

    def add(self, now_s: float, free: int = 0) -> None:
        """Begin one.

        Args:
            now_s: now.
            free: so many cost nothing.
        """
        self._times = max(0, self._times - int((now_s - self._since_s) / FORGIVEN_S)) + 1
        self._since_s = now_s
        if self._times > free:
            pause_s = self.first_s * 2 ** min(self._times - free - 1, 16)
            self.until_s = now_s + min(self.longest_s, pause_s)

    def left_s(self, now_s: float) -> float:
        """Seconds until it ends; 0 when there is none."""
        return max(0.0, self.until_s - now_s)


@dataclass(slots=True)
class Traffic:
    """What has gone over the link, by kind."""

    received: Counter[str] = field(default_factory=Counter)
    """Bytes that were read."""

    sent: Counter[str] = field(default_factory=Counter)
    """Bytes that were queued to be sent."""

    left: Counter[str] = field(default_factory=Counter)
    """Frames that were left unread."""


class Conduct:
    """One validator's budgets and score."""

    def __init__(self) -> None:
        """Start trusted."""
        self.traffic = Traffic()
        self.why = ""
        """What it was last punished for, in words."""
        self._rates = {name: Bucket(rate) for name, rate in RATES.items()}
        self._frames, self._bytes, self._answers = Bucket(FRAMES), Bucket(BYTES), Bucket(BYTES)
        self._connections = Bucket(CONNECTIONS)
        self._asked: dict[str, deque[float]] = {}
        self._score = FULL
        self._scored_s = 0.0
        self._quiet = Pauses(QUIET_S, LONGEST_QUIET_S)
        self._shut = Pauses(SHUT_S, LONGEST_SHUT_S)

    # Arriving.

    def may_connect(self, now_s: float) -> bool:
        """Whether to take a connection from it."""
        return not self.shut_s(now_s) and self._connections.take(1, now_s)

    def pace(self, size: int, now_s: float) -> float:
        """A frame of that size has been announced; returns how long to wait before reading it."""
        return max(self._frames.spend(1, now_s), self._bytes.spend(size, now_s))

    def admits(self, kind: Kind, now_s: float) -> bool:
        """Whether to read a frame of this kind now; what is left unread is held against it."""
        if not kind.rate:
            fine = self._was_asked(kind.name, now_s)
            if not fine:
                self.blame(UNASKED, f"{kind.name} that nobody asked for", now_s)
        elif self.quiet_s(now_s) and kind.rate in ("news", "questions"):
            fine = False
        else:
            fine = self._rates[kind.rate].take(kind.cost, now_s)
            # Bursts of news may be honest: a district is enrolled, and everyone forwards it.
            if not fine and kind.rate != "news":
                self.blame(EXCESS, f"too many {kind.name}", now_s)
        if not fine:
            self.traffic.left[kind.name] += 1
        return fine

    def _was_asked(self, kind: str, now_s: float) -> bool:
        asked = self._asked.get(kind, deque())
        while asked and asked[0] < now_s - ANSWER_VALID_S:
            asked.popleft()
        if not asked:
            return False
        asked.popleft()
        return True

    # Leaving.

    def sends(self, kind: Kind, size: int, now_s: float) -> None:
        """A frame is sent to it: a question of ours may be answered, an answer costs its budget."""
        self.traffic.sent[kind.name] += size
        if kind.answer:
            self._asked.setdefault(kind.answer, deque(maxlen=MOST_ASKED)).append(now_s)
        elif not kind.rate:
            self._answers.spend(size, now_s)

    def looks_up(self, blocks: int, now_s: float) -> None:
        """A question of its cost so many look-ups into the ledger, whatever they found."""
        self._answers.spend(blocks * LOOK_UP_BYTES, now_s)

    def may_be_answered(self, now_s: float) -> bool:
        """Whether its questions are worth a look into the ledger now."""
        return not self._answers.owes(now_s)

    # Score.

    def score(self, now_s: float) -> float:
        """From 0 to 100."""
        gained = max(0.0, now_s - self._scored_s) * RECOVERY_PER_S
        self._score, self._scored_s = min(FULL, self._score + gained), now_s
        return self._score

    def blame(self, cost: float, words: str, now_s: float) -> bool:
        """It did what honest validators seldom do; returns whether that begins a pause."""
        if self.quiet_s(now_s):
            return False
        self._score = self.score(now_s) - cost
        if self._score > 0:
            return False
        self._score, self.why = AFTER_PAUSE, words
        self._quiet.add(now_s)
        return True

    def nonsense(self, words: str, now_s: float) -> None:
        """It said what no honest validator says; the connection is at its end."""
        self.why = words
        self._shut.add(now_s, free=1)

    def quiet_s(self, now_s: float) -> float:
        """For so long only votes, heights and answers are read."""
        return self._quiet.left_s(now_s)

    def shut_s(self, now_s: float) -> float:
        """For so long no connection is taken."""
        return self._shut.left_s(now_s)
