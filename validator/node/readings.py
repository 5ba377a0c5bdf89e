"""Where accepted readings are on the disk, and how they are found again.

Their table is in order of time, then lane, so a meter and an interval lead straight to them. By
sequence they are found through runs: readings of one lane whose sequences and interval starts go up
in step with nothing missing between them, all of them late or none. Only the first of a run is
noted: from it follows where the others are, if they are. Runs end where a sequence can be divided
by LONGEST, so that whoever looks for the end of one looks at few rows.

Decides nothing. In a lane no later sequence has an earlier interval (rule T).
"""

from collections.abc import Iterator
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from validator.app.records import AcceptedReading, key
from validator.node.names import Ask, Names, name_of
from validator.node.stored import Span, StoredReading

LONGEST = 64
"""Readings of a run at most."""

_LARGEST = 2**63 - 1

_RUN = """SELECT sequence, start_s, step_s, (SELECT min(later.sequence) FROM runs AS later
    WHERE later.lane = ?1 AND later.sequence > runs.sequence) FROM runs WHERE lane = ?1"""

# From the run on that has the sequence after ?2, and the last one that begins before the time ?3:
# two readings may tell of one interval.
_RUNS = f"""{_RUN} AND late = 0 AND start_s < ?4 AND sequence >= max(
    coalesce((SELECT max(sequence) FROM runs WHERE lane = ?1 AND sequence <= ?2), 0),
    coalesce((SELECT max(sequence) FROM runs WHERE lane = ?1 AND start_s < ?3), 0))
    ORDER BY sequence LIMIT ?5"""

_RECORD = """SELECT record FROM readings WHERE lane = ?1 AND sequence = ?2 AND start_s = (
    SELECT start_s + (?2 - sequence) * step_s FROM runs
    WHERE lane = ?1 AND sequence <= ?2 ORDER BY sequence DESC LIMIT 1)"""

_LAST = """WITH RECURSIVE place (n) AS (SELECT ?5 UNION ALL SELECT n - 1 FROM place WHERE n > 0)
    SELECT sequence FROM place CROSS JOIN readings
    ON lane = ?1 AND start_s = ?3 + n * ?4 AND sequence = ?2 + n LIMIT 1"""

_PAGE = """WITH RECURSIVE
    place (n) AS (SELECT ?5 UNION ALL SELECT n + 1 FROM place WHERE n < ?6)
    SELECT sequence, batch, readings.position, start_s, name, batch_id, status, record
    FROM place CROSS JOIN readings ON lane = ?1 AND start_s = ?3 + n * ?4 AND sequence = ?2 + n
    JOIN names ON names.number = zone JOIN results ON results.number = batch"""

_CLAIMS = """SELECT name, sequence FROM names CROSS JOIN readings ON lane = number
    WHERE name >= ? AND name < ? AND start_s = ? AND late = ?"""


class Run(NamedTuple):
    """The first reading of a run, from which the places of the others follow."""

    lane: int
    """Number of the lane."""

    sequence: int
    """Its sequence."""

    start_s: int
    """Start of its interval, Unix seconds."""

    step_s: int
    """From one interval's start to the next, seconds."""

    next: int | None
    """Sequence that begins the lane's next run."""

    @property
    def longest(self) -> int:
        """Readings that the run may have."""
        most = LONGEST - self.sequence % LONGEST
        return most if self.next is None else min(most, self.next - self.sequence)


class ReadingRows:
    """Accepted readings in a ledger file."""

    def __init__(self, ask: Ask, names: Names) -> None:
        """Take what answers queries."""
        self._ask = ask
        self._names = names

    # What the state asks for.

    def record(self, lane: bytes, sequence: int) -> bytes | None:
        """The state's row of a reading, None when there is none."""
        found = self._ask(_RECORD, self._names.number(lane), sequence)
        return bytes(found[0][0]) if found else None

    def newest(self, lane: bytes) -> int | None:
        """The highest sequence of a lane."""
        return self._upto(lane, _LARGEST)

    def before(self, lane: bytes, sequence: int) -> int | None:
        """The highest sequence of a lane below."""
        return self._upto(lane, sequence - 1)

    def _upto(self, lane: bytes, sequence: int) -> int | None:
        number = self._names.number(lane)
        query = f"{_RUN} AND sequence <= ?2 ORDER BY sequence DESC LIMIT 1"
        found = self._ask(query, number, sequence)
        if number is None or not found:
            return None
        return self._last(Run(number, *found[0]), sequence)

    def _last(self, run: Run, upto: int = _LARGEST) -> int:
        """The highest sequence of a run that is not above."""
        most = min(upto - run.sequence, run.longest - 1)
        last: int = self._ask(_LAST, *run[:4], most)[0][0]
        return last

    def after(self, lane: bytes, sequence: int) -> int | None:
        """The lowest sequence of a lane above."""
        if self.record(lane, sequence + 1) is not None:
            return sequence + 1
        query = f"{_RUN} AND sequence > ?2 ORDER BY sequence LIMIT 1"
        found = self._ask(query, self._names.number(lane), sequence)
        return int(found[0][0]) if found else None

    def claims(self, meter: bytes, start_s: int, late: bool) -> tuple[bytes, ...]:
        """Keys of a meter's readings of an interval, late ones or the others, in order."""
        found = self._ask(_CLAIMS, meter, meter[:-1] + b"\1", start_s, late)
        return tuple(sorted(key(lane, sequence) for lane, sequence in found))

    def newest_claim_s(self, meter: bytes) -> int:
        """The latest interval start that a meter has a reading for that is not late, or 0."""
        newest_s = 0
        for lane, _ in self._names.lanes(meter):
            query = f"{_RUN} AND late = 0 ORDER BY sequence DESC LIMIT 1"
            for found in self._ask(query, lane):
                run = Run(lane, *found)
                steps = self._last(run) - run.sequence
                newest_s = max(newest_s, run.start_s + steps * run.step_s)
        return newest_s

    # What people ask for.

    def page(self, meter: str, span: Span) -> list[StoredReading]:
        """Accepted readings of a meter that are not late, ascending by sequence.

        Of several readers' readings with one sequence it has the first on the ledger.
        """
        lanes = self._names.lanes(name_of(meter))
        found = merge(*(self._walk(lane, span) for lane, _ in lanes))
        firsts = (next(same) for _, same in groupby(found, itemgetter(0)))
        return [_stored(meter, row) for row in islice(firsts, span.most)]

    def _walk(self, lane: int, span: Span) -> Iterator[tuple[Any, ...]]:
        """Rows of a lane that begin with their sequence, batch and position."""
        for found in self._ask(_RUNS, lane, span.after, span.from_s, span.until_s, span.most + 1):
            run = Run(lane, *found)
            skipped_s, most_s = span.from_s - run.start_s, span.until_s - run.start_s
            first = max(0, span.after + 1 - run.sequence, -(-skipped_s // run.step_s))
            beyond = min(run.longest, first + span.most, -(-most_s // run.step_s))
            if first < beyond:
                yield from self._ask(_PAGE, *run[:4], first, beyond - 1)


def _stored(meter: str, row: tuple[Any, ...]) -> StoredReading:
    sequence, _, position, start_s, zone, batch_id, status, record = row
    read = AcceptedReading.of(record)
    return StoredReading(
        *(meter, sequence, start_s, zone[:-1].decode(), batch_id, position, status),
        *(read.import_wh, read.export_wh, read.import_advance_wh, read.export_advance_wh),
    )
