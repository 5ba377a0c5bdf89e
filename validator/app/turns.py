"""Whose batches a crowded block takes: gateways take turns, whatever each of them has waiting.

Decides the order in which a proposer tries waiting batches: the gateway that has the fewest
readings in the block so far comes next; among equals the one whose last block is longest ago, so
that who found no room goes first in the next. A gateway's own batches go oldest first. Known from
committed blocks only, and forgotten at a restart: it is a preference, and no part of the state.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from validator.app.records import BATCH
from validator.app.state import Write
from wire.witness import Batch


class Turns:
    """When each gateway was last in a block."""

    def __init__(self) -> None:
        """Nobody has had a turn."""
        self._last: dict[str, int] = {}

    def had(self, writes: Iterable[Write], height: int) -> None:
        """Take in what a committed block wrote."""
        for table, row, _ in writes:
            if table == BATCH:
                self._last[row[:-9].decode()] = height

    def order(self, batches: Sequence[Batch]) -> Iterator[int]:
        """Places of batches in the order in which to try them.

        Args:
            batches: what waits, the oldest first.
        """
        queues: dict[str, list[int]] = {}
        for place, batch in enumerate(batches):
            queues.setdefault(batch.witness.statement.gateway, []).append(place)
        waiting = [
            (0, self._last.get(gateway, 0), places[0], 0, gateway)
            for gateway, places in queues.items()
        ]
        heapq.heapify(waiting)
        while waiting:
            readings, last, first, number, gateway = heapq.heappop(waiting)
            place = queues[gateway][number]
            yield place
            if number + 1 < len(queues[gateway]):
                readings += len(batches[place].readings)
                heapq.heappush(waiting, (readings, last, first, number + 1, gateway))
