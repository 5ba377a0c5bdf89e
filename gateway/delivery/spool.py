"""The spool: every reading from the moment it is closed until its receipt is verified.

One SQLite file, WAL, synchronous=FULL: what a method has returned from survives a power cut. A
reading goes closed (bytes settled, not signed) → queued → witnessed → published → final | refused.
What is final is forgotten and only counted; its receipt is the validators' to keep. What is refused
for good is kept with its reason until a person removes it (`delivery.kept`). On a full disk new
readings wait and nothing is dropped (`delivery.room`). This module keeps meters and readings;
`delivery.outbox` keeps batches in the same file, and `delivery.salvage` repairs the file before it
is opened.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from gateway.delivery import spool_file
from gateway.delivery.intervals import Chain, ClosedReading, Sample
from gateway.delivery.room import AGAIN_S, Room
from gateway.meters.decode import Registers
from wire.reading import SignedReading

STATES = ("closed", "queued", "witnessed", "published", "final", "refused")
NEVER = -1
_NO_HASH = bytes(32)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MeterState:
    """What the spool knows of one meter."""

    next_sequence: int
    """First record of a signing meter that is not in the spool; -1: its oldest one."""

    done_s: int
    """Newest boundary that was dealt with, Unix seconds; -1 none."""

    sample: Sample | None
    """Newest boundary read of a meter that cannot sign."""

    chain: Chain
    """What its next reading continues."""


@dataclass(frozen=True, slots=True)
class ReaderLife:
    """How often the reader was started, and how long it has worked before."""

    boots: int
    """Starts, this one included."""

    operating_s: int
    """Operating seconds at this start."""


class _Full(Exception):
    """The disk did not take a transaction; nothing of it was done."""


class Spool:
    """One open spool file. Calls may come from several tasks; transactions are serial."""

    def __init__(
        self, path: Path, room: Room, database: spool_file.Database, lock: IO[bytes]
    ) -> None:
        """Use `open`."""
        self.path = path
        self.room = room
        self._database = database
        self._owned = lock

    @classmethod
    async def open(cls, path: Path, room: Room | None = None) -> Self:
        """Open, after moving a damaged file aside and rebuilding what is whole.

        Args:
            path: the file; made when there is none.
            room: watches its disk; when None it is watched without a reserve.

        Raises Unavailable when another process has it open: one spool, one gateway.
        """
        lock = spool_file.own(path)
        watched = Room(path, reserve_bytes=0) if room is None else room
        watched.keep_reserve()
        database = spool_file.Database(lambda: spool_file.open_file(path), 64)
        await database
        return cls(path, watched, database, lock)

    async def close(self) -> None:
        """Close the file, after what was begun is done."""
        await self._database.close()
        self._owned.close()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction: all or nothing, and on the disk when this returns.

        When the disk is full it is done again, after the reserve was given up, until there is room:
        what is on its way to a receipt is never given up, and only a receipt makes room.
        """
        while True:
            with contextlib.suppress(_Full):
                return await self._once(work)
            await asyncio.sleep(AGAIN_S)

    async def add(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` that brings new readings, when there is room for them; as `write`."""
        while True:
            await self.room.wait()
            with contextlib.suppress(_Full):
                return await self._once(work)
            await asyncio.sleep(AGAIN_S)

    async def _once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            done: T = await self._database.call(spool_file.transaction, work)
        except sqlite3.OperationalError as reason:
            if reason.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            self.room.refused()
            await self._database.call(spool_file.empty_log)
            raise _Full from None
        self.room.taken()
        return done

    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a query, never from the middle of a transaction."""
        found: list[Any] = await self._database.call(spool_file.rows, query, values)
        return found

    async def begin_life(self, operating_s: int) -> ReaderLife:
        """Count a start of the reader.

        Args:
            operating_s: operating seconds to begin with when this spool is new.
        """

        def count(tx: sqlite3.Connection) -> None:
            tx.execute("INSERT OR IGNORE INTO life VALUES ('boots', 0)")
            tx.execute("INSERT OR IGNORE INTO life VALUES ('operating_s', ?)", (operating_s,))
            tx.execute("UPDATE life SET value = value + 1 WHERE name = 'boots'")

        await self.write(count)
        life = dict(await self.rows("SELECT name, value FROM life"))
        return ReaderLife(life["boots"], life["operating_s"])

    async def meter(self, meter: str) -> MeterState:
        """What is known of a meter."""
        found = await self.rows(
            "SELECT next_sequence, done_s, previous, events, boundary_s, import_wh, export_wh,"
            " words, offset_ms FROM meter WHERE id = ?",
            (meter,),
        )
        if not found:
            return MeterState(NEVER, NEVER, None, Chain(_NO_HASH, 0))
        next_sequence, done_s, previous, events, boundary_s, import_wh, export_wh, words, ms = (
            found[0]
        )
        sample = (
            None
            if boundary_s is None
            else Sample(boundary_s, Registers(import_wh, export_wh), words, ms)
        )
        return MeterState(next_sequence, done_s, sample, Chain(previous, events))

    async def keep_sample(
        self, meter: str, sample: Sample, closed: ClosedReading | None, chain: Chain, life_s: int
    ) -> bool:
        """Keep a boundary read and the reading that it closed, in one step.

        Returns whether the reading's place was free; else it is kept apart, and not in the chain.

        Args:
            meter: meter id.
            sample: the read.
            closed: the reading of the interval that ended, when there is one.
            chain: what the meter's next reading continues.
            life_s: the reader's operating seconds.
        """
        registers = sample.registers

        def keep(tx: sqlite3.Connection) -> bool:
            kept = closed is None or _place(tx, closed, sample.boundary_s * 1000)
            goes_on = chain if kept else _chain_before(tx, meter)
            tx.execute(
                "INSERT OR REPLACE INTO meter VALUES (?, -1, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(
                        meter,
                        sample.boundary_s,
                        goes_on.previous,
                        goes_on.events,
                        sample.boundary_s,
                    ),
                    *(registers.import_wh, registers.export_wh, sample.words, sample.offset_ms),
                ),
            )
            tx.execute(
                "UPDATE life SET value = max(value, ?) WHERE name = 'operating_s'", (life_s,)
            )
            return kept

        return await self.add(keep)

    async def keep_records(
        self, meter: str, records: Iterable[SignedReading], next_sequence: int, now_ms: int
    ) -> None:
        """Keep verified records of a signing meter, and where to go on."""
        found = list(records)

        def keep(tx: sqlite3.Connection) -> None:
            for record in found:
                reading = record.reading
                tx.execute(
                    "INSERT OR IGNORE INTO reading"
                    " (meter, sequence, interval_start_s, state, encoded, queued_ms)"
                    " VALUES (?, ?, ?, 'queued', ?, ?)",
                    (
                        *(meter, reading.sequence, reading.interval_start_s),
                        *(record.encoded, now_ms),
                    ),
                )
                _advance(tx, meter, reading.interval_start_s + reading.interval_s)
            _move_on(tx, meter, next_sequence)

        await self.add(keep)

    async def keep_apart(
        self, meter: str, sequence: int, content: bytes, reason: str, now_ms: int
    ) -> None:
        """Keep a record that will not be witnessed, with its bytes and the reason.

        Unproven bytes never say where to go on: only `keep_records` does.
        """

        def keep(tx: sqlite3.Connection) -> None:
            tx.execute(
                "INSERT OR IGNORE INTO apart VALUES (?, ?, ?, ?, ?)",
                (meter, sequence, content, reason, now_ms),
            )

        await self.add(keep)

    async def unsigned(self, limit: int) -> list[ClosedReading]:
        """Closed readings that the reader key has not signed yet, oldest first."""
        found = await self.rows(
            "SELECT meter, sequence, interval_start_s, protected, payload FROM reading"
            " WHERE state = 'closed' ORDER BY interval_start_s, meter LIMIT ?",
            (limit,),
        )
        return [ClosedReading(*row) for row in found]

    async def queue(self, signed: Iterable[tuple[ClosedReading, bytes]], now_ms: int) -> None:
        """Keep the signatures of closed readings: from now on they may be witnessed."""
        values = [(encoded, now_ms, each.meter, each.sequence) for each, encoded in signed]

        def keep(tx: sqlite3.Connection) -> None:
            tx.executemany(
                "UPDATE reading SET state = 'queued', encoded = ?, queued_ms = ?,"
                " protected = NULL, payload = NULL"
                " WHERE meter = ? AND sequence = ? AND state = 'closed'",
                values,
            )

        await self.write(keep)

    async def counts(self) -> dict[str, int]:
        """Readings by state, and what was counted besides, all at one moment: duplicates, apart."""
        found: dict[str, int] = await self._database.call(_counts)
        return found


def _counts(database: sqlite3.Connection) -> dict[str, int]:
    found = dict.fromkeys(STATES, 0) | {"duplicates": 0}
    found |= dict(database.execute("SELECT state, count FROM tally"))
    batches = dict(
        database.execute(
            "SELECT state, SUM(count) FROM batch WHERE state IN ('witnessed', 'published')"
            " GROUP BY state"
        )
    )
    found |= batches
    found["queued"] -= sum(batches.values())
    found |= dict(
        database.execute("SELECT name, value FROM life WHERE name IN ('final', 'duplicates')")
    )
    ((found["apart"],),) = database.execute("SELECT COUNT(*) FROM apart")
    return found


def _place(tx: sqlite3.Connection, closed: ClosedReading, now_ms: int) -> bool:
    """Keep a closed reading; apart, when another one has its place. Whether it has its place."""
    place = (closed.meter, closed.sequence)
    done = tx.execute(
        "INSERT OR IGNORE INTO reading"
        " (meter, sequence, interval_start_s, state, protected, payload)"
        " VALUES (?, ?, ?, 'closed', ?, ?)",
        (*place, closed.interval_start_s, closed.protected, closed.payload),
    )
    if done.rowcount == 1:
        return True
    payload, encoded = tx.execute(
        "SELECT payload, encoded FROM reading WHERE meter = ? AND sequence = ?", place
    ).fetchone()
    if closed.payload == payload or closed.payload in (encoded or b""):
        return True
    reason = "another reading of this interval was kept before: the clock was set"
    tx.execute(
        "INSERT OR IGNORE INTO apart VALUES (?, ?, ?, ?, ?)",
        (*place, closed.payload, reason, now_ms),
    )
    return False


def _chain_before(tx: sqlite3.Connection, meter: str) -> Chain:
    """The chain without the reading that was kept apart, which is an event."""
    found = tx.execute("SELECT previous, events FROM meter WHERE id = ?", (meter,)).fetchone()
    previous, events = found or (_NO_HASH, 0)
    return Chain(previous, events + 1)


def _advance(tx: sqlite3.Connection, meter: str, boundary_s: int) -> None:
    tx.execute(
        "INSERT INTO meter (id, next_sequence, done_s, previous, events) VALUES (?, -1, ?, ?, 0)"
        " ON CONFLICT (id) DO UPDATE SET done_s = max(done_s, excluded.done_s)",
        (meter, boundary_s, _NO_HASH),
    )


def _move_on(tx: sqlite3.Connection, meter: str, next_sequence: int) -> None:
    tx.execute(
        "INSERT INTO meter (id, next_sequence, done_s, previous, events) VALUES (?, ?, -1, ?, 0)"
        " ON CONFLICT (id) DO UPDATE SET next_sequence = excluded.next_sequence",
        (meter, next_sequence, _NO_HASH),
    )
