"""Readings of batches, decoded once.

Decides nothing: a block is executed by its proposer, then checked, and batches wait to be picked;
what was decoded for one is kept for the next, up to a bound. May be asked from several threads.
"""

from collections import OrderedDict
from threading import Lock

from validator.app.admission import open_reading
from wire.reading import SignedReading
from wire.witness import Batch

_KEPT_READINGS = 10_000
_KEPT_AGES = 100_000
_NEVER_S = 2**64


class OpenedReadings:
    """Decoded readings of the batches used last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._batches: OrderedDict[bytes, tuple[SignedReading | None, ...]] = OrderedDict()
        self._count = 0
        self._ages: OrderedDict[bytes, int] = OrderedDict()

    def of(self, batch: Batch) -> tuple[SignedReading | None, ...]:
        """The batch's readings in order; None stands for a malformed one."""
        with self._lock:
            found = self._batches.get(batch.batch_id)
            if found is not None:
                self._batches.move_to_end(batch.batch_id)
                return found
        opened = tuple(open_reading(reading) for reading in batch.readings)
        with self._lock:
            if batch.batch_id not in self._batches:
                self._batches[batch.batch_id] = opened
                self._count += len(opened)
            while self._count > _KEPT_READINGS and len(self._batches) > 1:
                self._count -= len(self._batches.popitem(last=False)[1])
        return opened

    def oldest_start_s(self, batch: Batch) -> int:
        """Start of the oldest interval in the batch; far in the future when none is readable."""
        with self._lock:
            known = self._ages.get(batch.batch_id)
        if known is not None:
            return known
        starts = (each.reading.interval_start_s for each in self.of(batch) if each is not None)
        oldest_s = min(starts, default=_NEVER_S)
        with self._lock:
            self._ages[batch.batch_id] = oldest_s
            if len(self._ages) > _KEPT_AGES:
                self._ages.popitem(last=False)
        return oldest_s
