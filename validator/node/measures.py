"""What is counted of the agreement, for Prometheus: rounds, delays, blocks, votes that came late.

Counts only; which number is worth an alarm is said in docs/OPERATIONS.md. Everything here is of
this process and bounded: what belongs to one height is forgotten with it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

from validator.consensus.messages import COMMIT, Message, Prepare, Proposal
from wire.block import NO_COMMIT, Block, Commit, ValidatorSet

ROUND_S = (0.1, 0.27, 0.72, 1.9, 5.2, 14.0, 37.0, 100.0)
INTERVAL_S = (0.1, 0.5, 1.0, 2.0, 4.0, 5.0, 8.0, 15.0, 30.0, 60.0, 120.0)
"""Upper bounds of buckets; CometBFT's for rounds."""


class Histogram:
    """Observations in buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with none."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Take one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Measures:
    """Counters of one validator's agreement."""

    def __init__(self, me: str, members: Callable[[int], ValidatorSet]) -> None:
        """Take who counts, and who votes at a height."""
        self.me = me
        self.round_s = Histogram(ROUND_S)
        self.interval_s = Histogram(INTERVAL_S)
        self.delay_s: dict[str, float] = {}
        """From the proposal's arrival to a quorum, or all, of PREPAREs (prevotes) and COMMITs
        (precommits), as of the newest round that had them."""
        self.proposals: Counter[str] = Counter()
        """Made here, and received: accepted, rejected."""
        self.late: Counter[str] = Counter()
        """Messages of heights that were over, by kind."""
        self.missing = self.validators = self.transactions = self.block_bytes = 0
        """Of the newest block: validators whose seal its parent lacks, validators in all,
        transactions, encoded size."""
        self.total_transactions = 0
        self.last_signed = self.missed = 0
        """The newest height with this validator's seal in the ledger, and heights without since
        the start."""
        self._members = members
        self._height = self._round = 0
        self._round_since_s = 0.0
        self._proposed_s: float | None = None
        self._voters: dict[tuple[str, bytes], set[str]] = {}
        self._block_ms = 0

    def begin(self, height: int) -> None:
        """A height begins; its first round when somebody begins it."""
        self._height, self._round, self._round_since_s = height, -1, 0.0
        self._forget_round()

    def _forget_round(self) -> None:
        self._proposed_s = None
        self._voters.clear()

    def round_begun(self, round_number: int, now_s: float) -> None:
        """A round of the height begins, or goes on."""
        if round_number > self._round:
            self._end_round(now_s)
            self._round, self._round_since_s = round_number, now_s
            self._forget_round()

    def _end_round(self, now_s: float) -> None:
        if self._round >= 0:
            self.round_s.observe(now_s - self._round_since_s)

    def heard(self, message: Message, now_s: float) -> None:
        """A validator, or oneself, has said something."""
        if message.height < self._height:
            self.late[message.kind] += 1
        if message.height != self._height or message.round != self._round:
            return
        if isinstance(message, Proposal):
            self.proposals["created" if message.sender == self.me else "accepted"] += 1
            if self._proposed_s is None:
                self._proposed_s = now_s
        elif isinstance(message, Prepare):  # Or a COMMIT, which is one too.
            self._count(message, now_s)

    def _count(self, message: Prepare, now_s: float) -> None:
        members = self._members(self._height)
        voters = self._voters.setdefault((message.kind, message.digest), set())
        if message.sender in voters or self._proposed_s is None:
            return
        voters.add(message.sender)
        delay_s = now_s - self._proposed_s
        vote = "precommit" if message.kind == COMMIT else "prevote"
        if len(voters) == members.quorum:
            self.delay_s[f"quorum_{vote}"] = delay_s
        if len(voters) == len(members):
            self.delay_s[f"full_{vote}"] = delay_s

    def refused(self) -> None:
        """A proposal turned out not to be valid here."""
        self.proposals["accepted"] -= 1
        self.proposals["rejected"] += 1

    def final(self, block: Block, now_s: float) -> None:
        """A block is final."""
        header = block.content
        self._end_round(now_s)
        self._round = -1
        if self._block_ms:
            self.interval_s.observe((header.time_ms - self._block_ms) / 1000)
        self._block_ms = header.time_ms
        self.validators = len(self._members(header.height))
        self.transactions = len(block.transactions)
        self.total_transactions += len(block.transactions)
        self.block_bytes = len(block.encoded)
        if block.parent_commit != NO_COMMIT:
            self._look_at(Commit.decode(block.parent_commit), header.height - 1)

    def _look_at(self, commit: Commit, height: int) -> None:
        members = self._members(height)
        sealed = {index for index, _ in commit.seals}
        self.missing = len(members) - len(sealed)
        place = members.index(self.me)
        if place in sealed:
            self.last_signed = height
        elif place is not None:
            self.missed += 1
