"""Batches that wait for a block: bounded, a fair share for each gateway.

Holds batches whose witness stands. Which of them a block takes, and in which order, the application
decides.
"""

from wire.witness import Batch

MOST_READINGS = 100_000
MOST_OF_A_GATEWAY = 25_000
"""Readings of one gateway; a flood of one leaves room for the others."""


class Mempool:
    """Waiting batches by id."""

    def __init__(self) -> None:
        """Start empty."""
        self._batches: dict[bytes, Batch] = {}
        self._readings: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def __contains__(self, batch_id: bytes) -> bool:
        return batch_id in self._batches

    def add(self, batch: Batch) -> bool:
        """Keep a batch; False when there is no room, and its gateway will send it again."""
        gateway, count = batch.witness.statement.gateway, len(batch.readings)
        share = self._readings.get(gateway, 0) + count
        if batch.batch_id in self._batches:
            return True
        if share > MOST_OF_A_GATEWAY or sum(self._readings.values()) + count > MOST_READINGS:
            return False
        self._batches[batch.batch_id] = batch
        self._readings[gateway] = share
        return True

    def get(self, batch_id: bytes) -> Batch | None:
        """A waiting batch."""
        return self._batches.get(batch_id)

    def waiting(self) -> list[Batch]:
        """All batches, in order of arrival."""
        return list(self._batches.values())

    def remove(self, batch_id: bytes) -> None:
        """Forget a batch that is on the ledger; nothing happens when it is not here."""
        batch = self._batches.pop(batch_id, None)
        if batch is not None:
            self._readings[batch.witness.statement.gateway] -= len(batch.readings)
