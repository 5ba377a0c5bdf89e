"""The ledger on disk: blocks, their batches and results, zone seals, and the application's rows.

One SQLite file, synchronous=FULL: a block and all that follows from it is one transaction, and a
batch is on the disk before a vote speaks for it. Decides nothing; what is stored was checked
before.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from hsm.durable import sync_folder
from validator.app.application import Execution
from validator.consensus.evidence import Offence
from validator.consensus.messages import Proposal, encode_message
from validator.node.names import Names
from validator.node.readings import ReadingRows
from validator.node.state_rows import StateWriter, all_rows, rows_in_memory
from validator.node.stored import (
    Span,
    StoredBlock,
    StoredReading,
    StoredResult,
    StoredSeal,
    header_of,
)
from validator.node.tables import FORMAT, TABLES
from wire import cbor
from wire.block import Block, Commit, Header
from wire.errors import Refused, Unavailable
from wire.results import TxResult
from wire.witness import Batch

JUSTIFIED_BLOCKS = 50_000
"""As long as evidence counts, so long is kept what may become evidence."""

_ROOM = 64 * 1024
"""Bytes that a disk must take before a validator goes on."""


_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    # A full block changes some 3 MB of pages: they are copied from the log into the file once in a
    # few blocks, and found in memory when the next block changes them again.
    "wal_autocheckpoint = 4000",
    "cache_size = -16384",
)


class DamagedLedger(Refused):
    """The ledger file cannot be read; the other validators have what was in it."""

    code = "damaged-ledger"


class DiskUnavailable(Unavailable):
    """The disk takes no writes now: it is full, or broken."""


class Store:
    """The ledger file of one validator. What writes raises DiskUnavailable."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises DamagedLedger when it is none."""
        database = sqlite3.connect(path, isolation_level=None)
        try:
            for pragma in _PRAGMAS:
                database.execute(f"PRAGMA {pragma}")
            _check_format(database)
            database.executescript(TABLES)
        except sqlite3.DatabaseError as reason:
            database.close()
            raise DamagedLedger(
                f"{path} cannot be used ({reason}). If it is damaged, move it aside and start"
                " again: the blocks come from the other validators. Leave the sign-state there"
            ) from None
        self._use(database)
        sync_folder(path.parent)

    def _use(self, database: sqlite3.Connection) -> None:
        self._database = database
        names = Names(self._ask)
        self._readings = ReadingRows(self._ask, names)
        self._state = StateWriter(database, names)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # Batches and blocks.

    def put_proposed(self, block: Block, batches: Iterable[Batch]) -> None:
        """Make a block and its batches durable, before a vote speaks for it.

        A quorum's votes then mean that the value itself outlives a power cut of everybody.
        """
        rows = [(batch.batch_id, batch.encoded) for batch in batches]
        with self._transaction():
            self._database.executemany("INSERT OR IGNORE INTO batches VALUES (?, ?)", rows)
            self._database.execute(
                "INSERT OR IGNORE INTO proposed VALUES (?, ?, ?)",
                (block.digest, block.content.height, block.encoded),
            )

    def proposed(self, digest: bytes) -> bytes | None:
        """A block that was voted for at a height that is not final yet, encoded."""
        row = self._row("SELECT block FROM proposed WHERE digest = ?", digest)
        return None if row is None else bytes(row[0])

    def encoded_block(self, digest: bytes) -> bytes | None:
        """A block that was voted for or is final, encoded."""
        row = self._row("SELECT block FROM blocks WHERE digest = ?", digest)
        return self.proposed(digest) if row is None else bytes(row[0])

    def batch(self, batch_id: bytes) -> Batch | None:
        """A durable batch."""
        found = self.encoded_batch(batch_id)
        return None if found is None else Batch.open(found)

    def encoded_batch(self, batch_id: bytes) -> bytes | None:
        """The same, encoded."""
        row = self._row("SELECT batch FROM batches WHERE batch_id = ?", batch_id)
        return None if row is None else bytes(row[0])

    def keep_justification(self, proposal: Proposal) -> None:
        """Make durable why a value was accepted in a later round, without the value."""
        encoded = encode_message(replace(proposal, block=b""))
        self._write(
            "INSERT OR IGNORE INTO justifications VALUES (?, ?, ?)",
            (proposal.height, proposal.round, encoded),
        )

    def justifications(self, height: int) -> list[bytes]:
        """Accepted proposals of later rounds, encoded, by round."""
        query = "SELECT proposal FROM justifications WHERE height = ? ORDER BY round"
        return [row[0] for row in self._database.execute(query, (height,))]

    def put_waiting(self, transaction_id: bytes, encoded: bytes) -> None:
        """Make a registry transaction durable that waits for a block."""
        self._write("INSERT OR REPLACE INTO waiting VALUES (?, ?)", (transaction_id, encoded))

    def remove_waiting(self, transaction_id: bytes) -> None:
        """It waits no longer."""
        self._write("DELETE FROM waiting WHERE id = ?", (transaction_id,))

    def waiting(self) -> list[bytes]:
        """Registry transactions that wait."""
        return [row[0] for row in self._database.execute("SELECT encoded FROM waiting")]

    def put_evidence(self, offence: Offence, encoded: bytes) -> None:
        """Make evidence durable that waits for a block."""
        self._write("INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?)", (*offence, encoded))

    def remove_evidence(self, offence: Offence) -> None:
        """It waits no longer."""
        self._write("DELETE FROM evidence WHERE validator = ? AND height = ? AND kind = ?", offence)

    def evidence(self) -> list[bytes]:
        """Evidence that waits."""
        return [row[0] for row in self._database.execute("SELECT encoded FROM evidence")]

    def append(
        self, block: Block, commit: Commit, execution: Execution, batches: Sequence[Batch]
    ) -> None:
        """Store a final block with everything that follows from it, in one transaction."""
        try:
            with self._transaction():
                self._append(block, commit, execution, batches)
        except BaseException:
            self._state.forget()
            raise

    def _append(
        self, block: Block, commit: Commit, execution: Execution, batches: Sequence[Batch]
    ) -> None:
        height, insert = block.content.height, self._database.execute
        readings = self.reading_count() + sum(not each.late for each in execution.accepted)
        insert(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?)",
            (height, block.digest, readings, block.encoded, commit.encoded),
        )
        numbers = self._append_results(height, execution)
        for batch in batches:
            if batch.batch_id in numbers:
                row = batch.batch_id, batch.encoded
                insert("INSERT OR IGNORE INTO batches VALUES (?, ?)", row)
        self._append_seals(height, execution)
        self._state.write(execution.writes, execution.accepted, numbers)
        insert("DELETE FROM proposed WHERE height <= ?", (height,))
        insert("DELETE FROM justifications WHERE height < ?", (height - JUSTIFIED_BLOCKS,))

    def _append_results(self, height: int, execution: Execution) -> dict[bytes, int]:
        """Give numbers to the results of a block, by id of their batch or transaction."""
        numbers = {}
        for position, tx_result in enumerate(execution.tx_results):
            name = TxResult.decode(tx_result).tx_id
            results = cbor.encode(list(execution.reading_results[position]))
            row = self._database.execute(
                "INSERT INTO results VALUES (NULL, ?, ?, ?, ?, ?)",
                (name, height, position, tx_result, results),
            )
            assert row.lastrowid is not None
            numbers[name] = row.lastrowid
        return numbers

    def _append_seals(self, height: int, execution: Execution) -> None:
        for position, encoded in enumerate(execution.seals):
            # Not `ZoneSeal.decode`: what a quorum has sealed is stored, and refused by nobody.
            zone, start_s, end_s, revision, *_ = cbor.decode(encoded)
            inputs = b"".join(execution.seal_inputs[position])
            self._database.execute(
                "INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (zone, start_s, revision, end_s, height, position, encoded, inputs),
            )

    @property
    def height(self) -> int:
        """Height of the newest block, 0 before the first."""
        row = self._row("SELECT max(height) FROM blocks")
        return 0 if row is None or row[0] is None else int(row[0])

    def block(self, height: int) -> StoredBlock | None:
        """The block of a height."""
        row = self._row("SELECT block, final FROM blocks WHERE height = ?", height)
        return None if row is None else StoredBlock(Block.decode(row[0]), Commit.decode(row[1]))

    def final(self, height: int) -> bytes | None:
        """A final block with its commit and batches, as another validator takes it, encoded."""
        row = self._row("SELECT block, final FROM blocks WHERE height = ?", height)
        return None if row is None else cbor.encode([*row, self.batches_at(height)])

    def headers(self, first: int, last: int) -> list[tuple[Header, Commit]]:
        """Headers of a range of heights, with the parent commit that each block carries."""
        rows = self._database.execute(
            "SELECT block FROM blocks WHERE height BETWEEN ? AND ? ORDER BY height", (first, last)
        )
        return [header_of(row[0]) for row in rows]

    def state_rows(self) -> Iterator[tuple[str, bytes, bytes]]:
        """The application's rows."""
        return all_rows(self._database)

    def state_rows_in_memory(self) -> list[tuple[str, bytes, bytes]]:
        """Those of tables that are not paged."""
        return list(rows_in_memory(self._ask))

    # Results, readings, seals.

    def result(self, batch_id: bytes) -> StoredResult | None:
        """What became of a batch or a registry transaction, by its id."""
        row = self._row(
            "SELECT height, position, tx_result, reading_results FROM results WHERE batch_id = ?",
            batch_id,
        )
        if row is None:
            return None
        height, position, tx_result, reading_results = row
        return StoredResult(height, position, tx_result, tuple(cbor.decode(reading_results)))

    def tx_results(self, height: int) -> list[bytes]:
        """Encoded TxResults of a block, in order."""
        rows = self._database.execute(
            "SELECT tx_result FROM results WHERE height = ? ORDER BY position", (height,)
        )
        return [row[0] for row in rows]

    def batches_at(self, height: int) -> list[bytes]:
        """A block's batches, encoded, in order."""
        rows = self._database.execute(
            "SELECT batch FROM results JOIN batches USING (batch_id)"
            " WHERE height = ? ORDER BY position",
            (height,),
        )
        return [row[0] for row in rows]

    def reading(self, meter: str, sequence: int) -> StoredReading | None:
        """Where an accepted reading is."""
        found = self.readings_of(meter, Span(after=sequence - 1, most=1))
        return found[0] if found and found[0].sequence == sequence else None

    def readings_of(self, meter: str, span: Span) -> list[StoredReading]:
        """Accepted readings of a meter that are not late, ascending by sequence."""
        return self._readings.page(meter, span)

    def reading_count(self) -> int:
        """Accepted readings on the ledger that are not late."""
        row = self._row("SELECT readings FROM blocks WHERE height = ?", self.height)
        return 0 if row is None else int(row[0])

    def seal_over(self, zone: str, start_s: int) -> StoredSeal | None:
        """The newest seal of the window that has this time in it."""
        row = self._row(
            "SELECT height, position, seal, inputs FROM seals"
            " WHERE zone = ?1 AND start_s <= ?2 AND end_s > ?2 AND start_s > ?2 -"
            " (SELECT max(end_s - start_s) FROM seals WHERE zone = ?1)"  # The longest window.
            " ORDER BY height DESC, revision DESC LIMIT 1",
            *(zone, start_s),
        )
        return None if row is None else StoredSeal.of(row)

    def seals(self, zone: str, after_s: int, most: int) -> list[StoredSeal]:
        """The newest seal of each window of a zone that starts after a time, ascending."""
        rows = self._database.execute(
            "SELECT height, position, seal, inputs, max(revision) FROM seals"
            " WHERE zone = ? AND start_s > ? GROUP BY start_s ORDER BY start_s LIMIT ?",
            (zone, after_s, most),
        )
        return [StoredSeal.of(row[:4]) for row in rows]

    def seals_at(self, height: int) -> list[bytes]:
        """Encoded ZoneSeals that a block derived, in order."""
        rows = self._database.execute(
            "SELECT seal FROM seals WHERE height = ? ORDER BY position", (height,)
        )
        return [row[0] for row in rows]

    def fingerprint(self) -> bytes:
        """SHA-256 over all blocks and the state: equal on validators that agree, 32 bytes."""
        digest = hashlib.sha256()
        blocks = self._database.execute("SELECT height, block FROM blocks ORDER BY height")
        for row in chain(blocks, all_rows(self._database)):
            digest.update(cbor.encode(list(row)))
        return digest.digest()

    def _ask(self, query: str, *values: object) -> list[Any]:
        return self._database.execute(query, values).fetchall()

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
        return found

    def try_disk(self) -> None:
        """Write something and take it back; raises DiskUnavailable."""
        with self._transaction():
            self._database.execute("INSERT INTO waiting VALUES (x'', zeroblob(?))", (_ROOM,))
            self._database.execute("DELETE FROM waiting WHERE id = x''")

    def _write(self, query: str, values: Sequence[Any]) -> None:
        with _disk_in_words():
            self._database.execute(query, values)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._database)


def _check_format(database: sqlite3.Connection) -> None:
    [[found]] = database.execute("PRAGMA user_version").fetchall()
    [[tables]] = database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    if tables and found != FORMAT:
        raise sqlite3.DatabaseError(f"its format is {found}, of this version it is {FORMAT}")


class _Transaction:
    """All or nothing; a disk that does not take it raises DiskUnavailable."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        with _disk_in_words():
            self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, reason: BaseException | None, _: object) -> None:
        with _disk_in_words():
            try:
                if kind is None:
                    self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            if isinstance(reason, sqlite3.OperationalError):
                raise reason


@contextlib.contextmanager
def _disk_in_words() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as reason:
        raise DiskUnavailable(f"the ledger's disk takes no writes: {reason}") from None
