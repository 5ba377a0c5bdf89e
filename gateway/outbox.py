"""Batches in the spool: opened, witnessed, published, settled.

A batch is a settled thing from its first transaction on: its sequence, its Sig_structure and its
readings never change, so that after a crash the same bytes are signed and sent again. What is
settled for good is forgotten but for its sequence and id, which the next statement's chain needs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.spool import Spool
from wire.cose import sig_structure
from wire.witness import MAX_BATCH, Batch, SignedWitness

_ROOM = MAX_BATCH - 2_048
"""Bytes for readings: the statement and the array heads need less than what is left."""

_READING_HEAD = 3
"""Bytes that CBOR puts before a reading of up to 64 KiB."""

FIRST_RETRY_MS = 900_000
MOST_RETRY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Readings of one lane that no batch has yet."""

    count: int
    """How many."""

    oldest_ms: int
    """When the first of them was queued, network time."""

    newest_start_s: int
    """Start of the newest interval among them, Unix seconds."""


NOTHING = Waiting(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Queued:
    """A signed reading that waits for a witness."""

    meter: str
    """Meter id."""

    sequence: int
    """Sequence."""

    encoded: bytes
    """The signed bytes."""


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose statement is settled and not signed yet."""

    sequence: int
    """Batch sequence."""

    protected: bytes
    """The statement's protected header."""

    root: bytes
    """The root over its readings."""

    @property
    def message(self) -> bytes:
        """The Sig_structure to sign."""
        return sig_structure(self.protected, self.root)


@dataclass(frozen=True, slots=True)
class Sendable:
    """A witnessed batch that has no verified receipt."""

    sequence: int
    """Batch sequence."""

    live: bool
    """Whether it belongs to the live lane."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reading of a batch."""

    code: int
    """Reason code; 0 accepted."""

    words: str
    """The reason in words."""

    fate: str
    """`final`, `retry` or `refused`."""


class Outbox:
    """The batches of one spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def waiting(self, now_ms: int, live_from_s: int) -> tuple[Waiting, Waiting]:
        """What waits in the live lane and in the backlog."""
        found = await self._spool.rows(
            "SELECT interval_start_s >= ?, COUNT(*), MIN(queued_ms), MAX(interval_start_s)"
            " FROM reading"
            " WHERE state = 'queued' AND batch IS NULL AND retry_ms <= ? GROUP BY 1",
            (live_from_s, now_ms),
        )
        lanes = {bool(live): Waiting(*rest) for live, *rest in found}
        return lanes.get(True, NOTHING), lanes.get(False, NOTHING)

    async def any_closed(self) -> bool:
        """Whether a closed reading still waits for the reader's signature."""
        return bool(await self._spool.rows("SELECT 1 FROM reading WHERE state = 'closed' LIMIT 1"))

    async def pick(self, now_ms: int, live_from_s: int, live: bool, most: int) -> list[Queued]:
        """Readings for one batch, in batch order: meter id, then sequence."""
        side = ">=" if live else "<"
        found = await self._spool.rows(
            "SELECT meter, sequence, encoded FROM reading WHERE state = 'queued'"
            f" AND batch IS NULL AND retry_ms <= ? AND interval_start_s {side} ?"
            " ORDER BY interval_start_s, meter, sequence LIMIT ?",
            (now_ms, live_from_s, most),
        )
        picked: list[Queued] = []
        room = _ROOM
        for queued in (Queued(*row) for row in found):
            room -= len(queued.encoded) + _READING_HEAD
            if room < 0:
                break
            picked.append(queued)
        return sorted(picked, key=lambda each: (each.meter, each.sequence))

    async def last(self) -> tuple[int, bytes] | None:
        """Newest sequence, and the id of the newest batch that stands; None when there is none.

        The id is zeros when no batch stands.
        """
        found = await self._spool.rows(
            "SELECT MAX(sequence), (SELECT batch_id FROM batch WHERE state <> 'abandoned'"
            " ORDER BY sequence DESC LIMIT 1) FROM batch"
        )
        sequence, batch_id = found[0]
        return None if sequence is None else (sequence, batch_id or bytes(32))

    async def open_batch(self, batch: OpenBatch, readings: Sequence[Queued], live: bool) -> None:
        """Settle a batch: its statement and its readings belong together from now on."""
        async with self._spool.transaction() as tx:
            await tx.execute(
                "INSERT INTO batch (sequence, batch_id, state, live, count, protected, root)"
                " VALUES (?, ?, 'open', ?, ?, ?, ?)",
                (
                    *(batch.sequence, hashlib.sha256(batch.message).digest(), live),
                    *(len(readings), batch.protected, batch.root),
                ),
            )
            await tx.executemany(
                "UPDATE reading SET batch = ? WHERE meter = ? AND sequence = ?"
                " AND state = 'queued' AND batch IS NULL",
                [(batch.sequence, each.meter, each.sequence) for each in readings],
            )

    async def unsigned(self) -> OpenBatch | None:
        """The oldest batch whose statement is not signed yet."""
        found = await self._spool.rows(
            "SELECT sequence, protected, root FROM batch WHERE state = 'open'"
            " ORDER BY sequence LIMIT 1"
        )
        return OpenBatch(*found[0]) if found else None

    async def keep_witness(self, sequence: int, witness: bytes) -> None:
        """Keep a signed statement; the batch may be published."""
        async with self._spool.transaction() as tx:
            await tx.execute(
                "UPDATE batch SET state = 'witnessed', witness = ?"
                " WHERE sequence = ? AND state = 'open'",
                (witness, sequence),
            )
            await tx.execute("UPDATE reading SET state = 'witnessed' WHERE batch = ?", (sequence,))

    async def abandon(self, sequence: int) -> None:
        """Take an open batch apart, because its sequence belongs to another; keep it used."""
        async with self._spool.transaction() as tx:
            await tx.execute(
                "UPDATE batch SET state = 'abandoned' WHERE sequence = ? AND state = 'open'",
                (sequence,),
            )
            await tx.execute(
                "UPDATE reading SET batch = NULL WHERE batch = ? AND state = 'queued'", (sequence,)
            )

    async def sendable(self, live: bool, skip: Sequence[int], most: int) -> list[Sendable]:
        """Batches without a verified receipt: live ones newest first, the backlog oldest first."""
        order = "DESC" if live else "ASC"
        marks = ", ".join("?" * len(skip))
        found = await self._spool.rows(
            "SELECT sequence, live FROM batch WHERE state IN ('witnessed', 'published')"
            f" AND live = ? AND sequence NOT IN ({marks}) ORDER BY sequence {order} LIMIT ?",
            (live, *skip, most),
        )
        return [Sendable(sequence, bool(lane)) for sequence, lane in found]

    async def published(self, sequence: int) -> None:
        """The broker has it. That is no receipt: nothing is forgotten."""
        async with self._spool.transaction() as tx:
            await tx.execute(
                "UPDATE batch SET state = 'published' WHERE sequence = ? AND state = 'witnessed'",
                (sequence,),
            )
            await tx.execute(
                "UPDATE reading SET state = 'published' WHERE batch = ? AND state = 'witnessed'",
                (sequence,),
            )

    async def find(self, batch_id: bytes) -> int | None:
        """Sequence of a batch that is not settled yet; None when there is none of that id."""
        found = await self._spool.rows(
            "SELECT sequence FROM batch WHERE batch_id = ? AND state IN ('witnessed', 'published')",
            (batch_id,),
        )
        return int(found[0][0]) if found else None

    async def batch(self, sequence: int) -> Batch | None:
        """A witnessed batch as it is published; None when it is settled already."""
        found = await self._spool.rows(
            "SELECT batch.witness, reading.encoded FROM batch JOIN reading"
            " ON reading.batch = batch.sequence WHERE batch.sequence = ?"
            " AND batch.state IN ('witnessed', 'published')"
            " ORDER BY reading.meter, reading.sequence",
            (sequence,),
        )
        if not found:
            return None
        witness = SignedWitness.open(found[0][0])
        return Batch.join(witness, tuple(encoded for _, encoded in found))

    async def settle(
        self, sequence: int, outcomes: Sequence[Outcome], duplicates: int, now_ms: int
    ) -> bool:
        """Act on what a verified answer says of each reading, in batch order.

        Returns False, and changes nothing, when the batch was settled before.
        """
        async with self._spool.transaction() as tx:
            done = await tx.execute(
                "UPDATE batch SET state = ?, witness = NULL, protected = x'', root = x''"
                " WHERE sequence = ? AND state IN ('witnessed', 'published')",
                (
                    "final" if any(each.fate == "final" for each in outcomes) else "refused",
                    sequence,
                ),
            )
            if done.rowcount == 0:
                return False
            rows = list(
                await tx.execute_fetchall(
                    "SELECT rowid, attempts FROM reading WHERE batch = ? ORDER BY meter, sequence",
                    (sequence,),
                )
            )
            for (rowid, attempts), outcome in zip(rows, outcomes, strict=True):
                await tx.execute(*_settling(rowid, attempts, outcome, now_ms))
            final = sum(each.fate == "final" for each in outcomes)
            for name, count in (("final", final), ("duplicates", duplicates)):
                await tx.execute(
                    "INSERT INTO life VALUES (?, ?) ON CONFLICT (name)"
                    " DO UPDATE SET value = value + excluded.value",
                    (name, count),
                )
        return True


def _settling(
    rowid: int, attempts: int, outcome: Outcome, now_ms: int
) -> tuple[str, tuple[object, ...]]:
    if outcome.fate == "final":
        return "DELETE FROM reading WHERE rowid = ?", (rowid,)
    if outcome.fate == "refused":
        return (
            "UPDATE reading SET state = 'refused', code = ?, words = ? WHERE rowid = ?",
            (outcome.code, outcome.words, rowid),
        )
    retry_ms = now_ms + min(FIRST_RETRY_MS << min(attempts, 10), MOST_RETRY_MS)
    return (
        "UPDATE reading SET state = 'queued', batch = NULL, retry_ms = ?, attempts = attempts + 1,"
        " code = ?, words = ? WHERE rowid = ?",
        (retry_ms, outcome.code, outcome.words, rowid),
    )
