"""Batches in the spool: opened, witnessed, published, settled.

A batch is a settled thing from its first transaction on: its sequence, its Sig_structure and its
readings never change, so that after a crash the same bytes are signed and sent again. What is
settled for good is forgotten; only the newest batch's sequence and id stay, which the next
statement's chain needs. No question takes longer because more readings wait.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from gateway.delivery import salvage
from gateway.delivery.spool import Spool
from gateway.polling.schedule import INTERVAL_S
from wire.cose import sig_structure
from wire.errors import Refused
from wire.witness import MAX_BATCH, MAX_READINGS, Batch, SignedWitness

_log = structlog.get_logger()

_ROOM = MAX_BATCH - 2_048
"""Bytes for readings: the statement and the array heads need less than what is left."""

_READING_HEAD = 3
"""Bytes that CBOR puts before a reading of up to 64 KiB."""

LIVE_INTERVALS = 3
"""A reading is live when its interval began at most so many intervals ago; else it is backlog."""

_WAITS = "state = 'queued' AND batch IS NULL AND retry_ms = 0"

_NEWEST_FINAL = (
    "INSERT INTO life VALUES ('newest_final_s', ?)"
    " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
)

_FORGET = (
    "DELETE FROM batch WHERE state IN ('final', 'refused', 'abandoned') AND sequence <"
    " (SELECT MAX(sequence) FROM batch WHERE state <> 'abandoned')"
)
"""The newest batch that stands is kept: the next statement names it."""

FIRST_RETRY_MS = 900_000
MOST_RETRY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Readings of one lane that no batch has yet: the oldest ones, as many as were asked for."""

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

    interval_start_s: int
    """Unix seconds."""


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
class Outcome:
    """What became of one reading of a batch."""

    code: int
    """Reason code; 0 accepted."""

    words: str
    """The reason in words."""

    fate: str
    """`final`, `retry` or `refused`."""


def live_from_s(now_ms: int) -> int:
    """Start of the oldest interval that is live at a network time, Unix seconds."""
    return now_ms // 1000 - LIVE_INTERVALS * INTERVAL_S


class Outbox:
    """The batches of one spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def waiting(
        self, now_ms: int, live_from_s: int, most: int = MAX_READINGS
    ) -> tuple[Waiting, Waiting]:
        """What waits in the live lane and in the backlog; of each lane at most `most` are seen."""
        await self._wake(now_ms)
        return (
            await self._lane(f"interval_start_s >= {live_from_s:d}", most),
            await self._lane(f"interval_start_s < {live_from_s:d}", most),
        )

    async def _lane(self, side: str, most: int) -> Waiting:
        found = await self._spool.rows(
            "SELECT COUNT(*), MIN(queued_ms), MAX(interval_start_s) FROM"
            f" (SELECT queued_ms, interval_start_s FROM reading WHERE {_WAITS} AND {side}"
            " ORDER BY interval_start_s LIMIT ?)",
            (most,),
        )
        return Waiting(*found[0]) if found[0][0] else NOTHING

    async def _wake(self, now_ms: int) -> None:
        """Readings that were to be tried again by now wait like any other.

        So do those whose time is further away than any pause: a wrong clock has set it.
        """
        due = (
            f"SELECT rowid FROM reading WHERE retry_ms > 0 AND retry_ms <= {now_ms:d}"
            " UNION ALL SELECT rowid FROM reading"
            f" WHERE retry_ms > 0 AND retry_ms > {now_ms + MOST_RETRY_MS:d} LIMIT {MAX_READINGS}"
        )
        if not await self._spool.rows(due):
            return

        def wake(tx: sqlite3.Connection) -> None:
            tx.execute(f"UPDATE reading SET retry_ms = 0 WHERE rowid IN ({due})")

        await self._spool.write(wake)

    async def any_closed(self) -> bool:
        """Whether a closed reading still waits for the reader's signature."""
        return bool(await self._spool.rows("SELECT 1 FROM reading WHERE state = 'closed' LIMIT 1"))

    async def pick(self, live_from_s: int, live: bool, most: int) -> list[Queued]:
        """Readings for one batch, in batch order: meter id, then sequence."""
        side = ">=" if live else "<"
        found = await self._spool.rows(
            f"SELECT meter, sequence, encoded, interval_start_s FROM reading WHERE {_WAITS}"
            f" AND interval_start_s {side} ? ORDER BY interval_start_s, meter, sequence LIMIT ?",
            (live_from_s, most),
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

    async def open_batch(self, batch: OpenBatch, readings: Sequence[Queued]) -> None:
        """Settle a batch: its statement and its readings belong together from now on."""
        starts = [each.interval_start_s for each in readings]

        def settle(tx: sqlite3.Connection) -> None:
            tx.execute(
                "INSERT INTO batch (sequence, batch_id, state, count, oldest_start_s,"
                " newest_start_s, protected, root) VALUES (?, ?, 'open', ?, ?, ?, ?, ?)",
                (
                    *(batch.sequence, hashlib.sha256(batch.message).digest(), len(readings)),
                    *(min(starts), max(starts), batch.protected, batch.root),
                ),
            )
            tx.executemany(
                "UPDATE reading SET batch = ? WHERE meter = ? AND sequence = ?"
                " AND state = 'queued' AND batch IS NULL",
                [(batch.sequence, each.meter, each.sequence) for each in readings],
            )

        await self._spool.write(settle)

    async def unsigned(self) -> OpenBatch | None:
        """The oldest batch whose statement is not signed yet."""
        found = await self._spool.rows(
            "SELECT sequence, protected, root FROM batch WHERE state = 'open'"
            " ORDER BY sequence LIMIT 1"
        )
        return OpenBatch(*found[0]) if found else None

    async def keep_witness(self, sequence: int, witness: bytes) -> None:
        """Keep a signed statement; the batch may be published."""

        def keep(tx: sqlite3.Connection) -> None:
            tx.execute(
                "UPDATE batch SET state = 'witnessed', witness = ?, protected = x'', root = x''"
                " WHERE sequence = ? AND state = 'open'",
                (witness, sequence),
            )

        await self._spool.write(keep)

    async def abandon(self, sequence: int) -> None:
        """Take an open batch apart, because its sequence belongs to another; keep it used."""

        def give_up(tx: sqlite3.Connection) -> None:
            tx.execute(
                "UPDATE batch SET state = 'abandoned' WHERE sequence = ? AND state = 'open'",
                (sequence,),
            )
            tx.execute(
                "UPDATE reading SET batch = NULL WHERE batch = ? AND state = 'queued'", (sequence,)
            )

        await self._spool.write(give_up)

    async def sendable(
        self, live_from_s: int, live: bool, skip: Sequence[int], most: int
    ) -> list[int]:
        """Batches without a verified receipt: live ones newest first, the backlog oldest first.

        Args:
            live_from_s: start of the oldest interval that is live; a batch is as live as its newest
                reading, so that what was witnessed while the broker was away is backlog.
            live: which lane.
            skip: sequences to leave out.
            most: how many at most.
        """
        side, order = (">=", "DESC") if live else ("<", "ASC")
        marks = ", ".join("?" * len(skip))
        found = await self._spool.rows(
            "SELECT sequence FROM batch WHERE state IN ('witnessed', 'published')"
            f" AND newest_start_s {side} ? AND sequence NOT IN ({marks})"
            f" ORDER BY newest_start_s {order}, sequence {order} LIMIT ?",
            (live_from_s, *skip, most),
        )
        return [sequence for (sequence,) in found]

    async def published(self, sequences: Iterable[int]) -> None:
        """The broker has them. That is no receipt: nothing is forgotten."""
        values = [(each,) for each in sequences]

        def note(tx: sqlite3.Connection) -> None:
            tx.executemany(
                "UPDATE batch SET state = 'published' WHERE sequence = ? AND state = 'witnessed'",
                values,
            )

        await self._spool.write(note)

    async def find(self, batch_id: bytes) -> int | None:
        """Sequence of a batch that is not settled yet; None when there is none of that id."""
        found = await self._spool.rows(
            "SELECT sequence FROM batch WHERE batch_id = ? AND state IN ('witnessed', 'published')",
            (batch_id,),
        )
        return int(found[0][0]) if found else None

    async def batch(self, sequence: int) -> Batch | None:
        """A witnessed batch as it is published; None when it is settled, or was torn apart."""
        found = await self._spool.rows(
            "SELECT batch.witness, reading.encoded FROM batch JOIN reading"
            " ON reading.batch = batch.sequence WHERE batch.sequence = ?"
            " AND batch.state IN ('witnessed', 'published')"
            " ORDER BY reading.meter, reading.sequence",
            (sequence,),
        )
        if not found:
            return None
        try:
            witness = SignedWitness.open(found[0][0])
            return Batch.join(witness, tuple(encoded for _, encoded in found))
        except (Refused, TypeError) as reason:
            _log.error("a torn batch is taken apart", sequence=sequence, reason=str(reason))
        await self._spool.write(lambda tx: salvage.take_apart(tx, sequence))
        return None

    async def settle(
        self, sequence: int, outcomes: Sequence[Outcome], duplicates: int, now_ms: int
    ) -> bool:
        """Act on what a verified answer says of each reading, in batch order.

        Returns False, and changes nothing, when the batch was settled before.
        """
        fates = {each.fate for each in outcomes}
        state = "final" if "final" in fates else "refused"

        def act(tx: sqlite3.Connection) -> bool:
            done = tx.execute(
                "UPDATE batch SET state = ?, witness = NULL"
                " WHERE sequence = ? AND state IN ('witnessed', 'published')",
                (state, sequence),
            )
            if done.rowcount == 0:
                return False
            rows = tx.execute(
                "SELECT rowid, attempts, interval_start_s FROM reading WHERE batch = ?"
                " ORDER BY meter, sequence",
                (sequence,),
            )
            ends = [
                (rowid, attempts, start_s, outcome)
                for (rowid, attempts, start_s), outcome in zip(rows, outcomes, strict=True)
            ]
            final = [(rowid,) for rowid, _, _, outcome in ends if outcome.fate == "final"]
            tx.executemany("DELETE FROM reading WHERE rowid = ?", final)
            for rowid, attempts, _, outcome in ends:
                if outcome.fate != "final":
                    tx.execute(*_staying(rowid, attempts, outcome, now_ms))
            if final:
                starts = [start_s for _, _, start_s, outcome in ends if outcome.fate == "final"]
                tx.execute(_NEWEST_FINAL, (max(starts),))
            for name, count in (("final", len(final)), ("duplicates", duplicates)):
                tx.execute(
                    "INSERT INTO life VALUES (?, ?) ON CONFLICT (name)"
                    " DO UPDATE SET value = value + excluded.value",
                    (name, count),
                )
            tx.execute(_FORGET)
            return True

        return await self._spool.write(act)


def _staying(
    rowid: int, attempts: int, outcome: Outcome, now_ms: int
) -> tuple[str, tuple[object, ...]]:
    if outcome.fate == "refused":
        return (
            "UPDATE reading SET state = 'refused', batch = NULL, code = ?, words = ?"
            " WHERE rowid = ?",
            (outcome.code, outcome.words, rowid),
        )
    retry_ms = now_ms + min(FIRST_RETRY_MS << min(attempts, 10), MOST_RETRY_MS)
    return (
        "UPDATE reading SET batch = NULL, retry_ms = ?, attempts = attempts + 1,"
        " code = ?, words = ? WHERE rowid = ?",
        (retry_ms, outcome.code, outcome.words, rowid),
    )
