"""What waits for a block, by kind: batches, registry changes, and evidence against validators.

Holds batches whose witness stands, and registry transactions and evidence that were fit for a block
when they came; each kind has a bound of its own, and each gateway a fair share. Which of them a
block takes, and in which order, the application decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

from validator.consensus.evidence import Evidence, Offence
from wire.governance import ChangeAuthorities, ChangeParameters, ChangeValidators
from wire.transaction import Transaction
from wire.witness import Batch

MOST_READINGS = 100_000
MOST_OF_A_GATEWAY = 25_000
"""Readings of one gateway. When all room is taken each gets an equal share of it: who has less
takes the place of the newest of who has most, and that one is sent again by its gateway."""
MOST_CHANGES = 500
"""Registry transactions; each is signed by an operator."""
MOST_DECISIONS = 32
"""Beside them, transactions that q authorities have signed: no operator leaves them without room,
which they may need to be rid of it."""
MOST_OF_A_VALIDATOR = 16
"""Pieces of evidence against one validator: one that offends without end fills nothing."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a block may be made of, each kind in order of arrival."""

    batches: tuple[Batch, ...] = ()
    """Batches."""

    changes: tuple[Transaction, ...] = ()
    """Registry transactions."""

    evidence: tuple[Evidence, ...] = ()
    """Evidence."""


class Mempool:
    """Waiting batches and registry transactions by id, evidence by offence."""

    def __init__(self) -> None:
        """Start empty."""
        self._batches: dict[bytes, Batch] = {}
        self._readings: dict[str, int] = {}
        self._ids: dict[str, dict[bytes, None]] = {}
        self._changes: dict[bytes, Transaction] = {}
        self._evidence: dict[Offence, Evidence] = {}

    def __len__(self) -> int:
        return len(self._batches) + len(self._changes) + len(self._evidence)

    @property
    def readings(self) -> int:
        """Readings of the batches that wait."""
        return sum(self._readings.values())

    def __contains__(self, batch_id: bytes) -> bool:
        return batch_id in self._batches

    def add(self, batch: Batch) -> bool:
        """Keep a batch; False when there is no room, and its gateway will send it again."""
        gateway, count = batch.witness.statement.gateway, len(batch.readings)
        share = self._readings.get(gateway, 0) + count
        if batch.batch_id in self._batches:
            return True
        if share > MOST_OF_A_GATEWAY or not self._has_room(gateway, count):
            return False
        self._batches[batch.batch_id] = batch
        self._readings[gateway] = share
        self._ids.setdefault(gateway, {})[batch.batch_id] = None
        return True

    def _has_room(self, gateway: str, count: int) -> bool:
        """Whether there is room, made at the cost of who has more than an equal share."""
        if self.readings + count <= MOST_READINGS:
            return True
        fair = MOST_READINGS // len({*self._ids, gateway})
        if self._readings.get(gateway, 0) + count > fair:
            return False
        while self.readings + count > MOST_READINGS:
            largest = max(self._ids, key=lambda each: (self._readings[each], each))
            self.remove(next(reversed(self._ids[largest])))
        return True

    def get(self, batch_id: bytes) -> Batch | None:
        """A waiting batch."""
        return self._batches.get(batch_id)

    def all(self) -> Waiting:
        """Everything."""
        return Waiting(
            tuple(self._batches.values()),
            tuple(self._changes.values()),
            tuple(self._evidence.values()),
        )

    def waiting(self) -> list[Batch]:
        """All batches, in order of arrival."""
        return list(self._batches.values())

    def remove(self, batch_id: bytes) -> None:
        """Forget a batch that is on the ledger; nothing happens when it is not here."""
        batch = self._batches.pop(batch_id, None)
        if batch is None:
            return
        gateway = batch.witness.statement.gateway
        self._readings[gateway] -= len(batch.readings)
        del self._ids[gateway][batch_id]
        if not self._ids[gateway]:
            del self._ids[gateway], self._readings[gateway]

    def forget_taken(
        self,
        included: Callable[[str, int], bytes | None],
        may_stand: Callable[[Batch], bool] = lambda _: True,
    ) -> None:
        """Forget batches that no block will carry.

        Args:
            included: tells the batch on the ledger of a gateway and sequence: it, or another one.
            may_stand: tells whether the registry still lets a block have a batch.
        """
        for batch in self.waiting():
            statement = batch.witness.statement
            taken = included(statement.gateway, statement.sequence) is not None
            if taken or not may_stand(batch):
                self.remove(batch.batch_id)

    def add_change(self, transaction: Transaction) -> bool:
        """Keep a registry transaction; False when there is no room."""
        if transaction.id in self._changes:
            return True
        decides = _decides(transaction)
        waiting = sum(_decides(each) == decides for each in self._changes.values())
        if waiting >= (MOST_DECISIONS if decides else MOST_CHANGES):
            return False
        self._changes[transaction.id] = transaction
        return True

    def change(self, transaction_id: bytes) -> Transaction | None:
        """A waiting registry transaction."""
        return self._changes.get(transaction_id)

    def changes(self) -> list[Transaction]:
        """All registry transactions, in order of arrival."""
        return list(self._changes.values())

    def remove_change(self, transaction_id: bytes) -> None:
        """Forget a registry transaction; nothing happens when it is not here."""
        self._changes.pop(transaction_id, None)

    def add_evidence(self, evidence: Evidence) -> bool:
        """Keep evidence; False when it is known, or enough is known against that validator."""
        offence = evidence.offence
        against = sum(each.validator == offence.validator for each in self._evidence)
        if offence in self._evidence or against >= MOST_OF_A_VALIDATOR:
            return False
        self._evidence[offence] = evidence
        return True

    def evidence(self) -> list[Evidence]:
        """All evidence, in order of arrival."""
        return list(self._evidence.values())

    def remove_evidence(self, offence: Offence) -> None:
        """Forget evidence; nothing happens when it is not here."""
        self._evidence.pop(offence, None)


def _decides(transaction: Transaction) -> bool:
    return isinstance(transaction.body, ChangeValidators | ChangeAuthorities | ChangeParameters)
