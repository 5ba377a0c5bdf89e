"""What validators answer, judged: which answer settles a batch, and how.

Decides that only a receipt sealed by a quorum, or refusals signed by f+1 validators, change
anything; and which code means final, again, or never. Anything else is counted and forgotten.
"""

from collections import Counter

import structlog

from gateway.delivery.outbox import Outbox, Outcome
from gateway.timing import NetworkClock
from wire.answer import BatchReceipt, Refusal, open_answer
from wire.errors import Refused
from wire.genesis import Genesis
from wire.light import LightClient
from wire.results import ALREADY_ACCEPTED, ON_LEDGER, REASONS

_log = structlog.get_logger()

_MOST_REFUSED_BATCHES = 1_000


def fate_of(code: int) -> str:
    """Whether a result code means that a reading is `final`, to be sent again, or `refused`."""
    if code in ON_LEDGER:
        return "final"
    reason = REASONS.get(code)
    return "retry" if reason is not None and reason.retry else "refused"


def outcome_of(code: int) -> Outcome:
    """What becomes of a reading with this result code."""
    reason = REASONS.get(code)
    words = f"code {code}" if reason is None else f"{reason.name}: {reason.words}"
    return Outcome(code, words, fate_of(code))


class Receipts:
    """Judges answers for one gateway."""

    def __init__(self, outbox: Outbox, genesis: Genesis, clock: NetworkClock) -> None:
        self._outbox = outbox
        self._client = LightClient.of(genesis)
        self._clock = clock
        self._refusals: dict[bytes, dict[str, Refusal]] = {}
        self.counts: Counter[str] = Counter()
        """Answers by what they were worth: `settled`, `repeated`, `worthless`, `refusals`."""

    @property
    def known_set(self) -> int:
        """From which height on the newest set seals that is known: no answer need tell it again."""
        return self._client.known

    async def take(self, message: bytes) -> int | None:
        """Judge one answer; return the sequence of the batch that it settles, else None."""
        try:
            answer = open_answer(message, self._client)
            sequence = await self._outbox.find(answer.batch_id)
            if sequence is None:
                self.counts["repeated"] += 1
                return None
            if isinstance(answer, BatchReceipt):
                return await self._receipt(answer, sequence)
            return await self._refusal(answer, sequence)
        except Refused as reason:
            self.counts["worthless"] += 1
            _log.warning("an answer that proves nothing", reason=str(reason))
            return None

    async def _receipt(self, receipt: BatchReceipt, sequence: int) -> int | None:
        batch = await self._outbox.batch(sequence)
        if batch is None:
            return None
        results = receipt.verify(self._client, batch.witness, batch.readings)
        outcomes = [outcome_of(result.code) for result in results]
        duplicates = sum(result.code == ALREADY_ACCEPTED for result in results)
        return await self._settle(sequence, receipt.batch_id, outcomes, duplicates)

    async def _refusal(self, refusal: Refusal, sequence: int) -> int | None:
        """Refusals count when f+1 validators have signed one: then an honest one is among them."""
        self.counts["refusals"] += 1
        if len(self._refusals) >= _MOST_REFUSED_BATCHES:
            self._refusals.clear()
        said = self._refusals.setdefault(refusal.batch_id, {})
        said[refusal.validator] = refusal
        members = self._client.newest
        if sum(members.index(name) is not None for name in said) <= members.faulty:
            return None
        batch = await self._outbox.batch(sequence)
        if batch is None:
            return None
        judged = [outcome_of(each.code) for each in said.values()]
        worst = next((each for each in judged if each.fate == "retry"), judged[0])
        fate = "refused" if worst.fate == "final" else worst.fate
        _log.error("batch refused", sequence=sequence, reason=refusal.words, fate=fate)
        outcome = Outcome(worst.code, refusal.words or worst.words, fate)
        return await self._settle(sequence, refusal.batch_id, [outcome] * len(batch.readings), 0)

    async def _settle(
        self, sequence: int, batch_id: bytes, outcomes: list[Outcome], duplicates: int
    ) -> int | None:
        self._refusals.pop(batch_id, None)
        if not await self._outbox.settle(sequence, outcomes, duplicates, self._clock.now_ms()):
            return None
        self.counts["settled"] += 1
        others = Counter((each.fate, each.words) for each in outcomes if each.fate != "final")
        for (fate, words), count in others.items():
            _log.warning("readings not accepted", fate=fate, reason=words, count=count)
        return sequence
