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
from pathlib import Path
from typing import Any

from hsm.durable import sync_folder
from validator.app.application import AcceptedRow, Execution
from validator.app.paging import PAGED
from validator.app.records import READING, claim_of
from validator.consensus.evidence import Offence
from validator.consensus.messages import Proposal, encode_message
from validator.node.stored import (
    StoredBlock,
    StoredReading,
    StoredResult,
    StoredSeal,
    header_of,
)
from validator.node.tables import TABLES
from wire import cbor
from wire.block import Block, Commit, Header
from wire.errors import Refused, Unavailable
from wire.results import TxResult, ZoneSeal
from wire.witness import Batch

JUSTIFIED_BLOCKS = 50_000
"""As long as evidence counts, so long is kept what may become evidence."""

_ROOM = 64 * 1024
"""Bytes that a disk must take before a validator goes on."""


_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    # A full block changes some 10 MB of pages: they are copied from the log into the file once in
    # a few blocks, and found in memory when the next block changes them again.
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
        self._database = sqlite3.connect(path, isolation_level=None)
        try:
            for pragma in _PRAGMAS:
                self._database.execute(f"PRAGMA {pragma}")
            self._database.executescript(TABLES)
        except sqlite3.DatabaseError as reason:
            self._database.close()
            raise DamagedLedger(
                f"{path} cannot be used ({reason}). If it is damaged, move it aside and start"
                " again: the blocks come from the other validators. Leave the sign-state there"
            ) from None
        sync_folder(path.parent)

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
        height = block.content.height
        with self._transaction():
            insert = self._database.execute
            insert(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)",
                (height, block.digest, block.encoded, commit.encoded),
            )
            by_id = {batch.batch_id: batch for batch in batches}
            for position, tx_result in enumerate(execution.tx_results):
                name = TxResult.decode(tx_result).tx_id
                results = execution.reading_results[position]
                insert(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?)",
                    (name, height, position, tx_result, cbor.encode(list(results))),
                )
                batch = by_id.get(name)
                if batch is not None:
                    insert("INSERT OR IGNORE INTO batches VALUES (?, ?)", (name, batch.encoded))
            self._append_readings(execution.accepted)
            self._append_seals(height, execution)
            self._write_state(execution)
            insert("DELETE FROM proposed WHERE height <= ?", (height,))
            insert("DELETE FROM justifications WHERE height < ?", (height - JUSTIFIED_BLOCKS,))

    def _append_readings(self, accepted: Sequence[AcceptedRow]) -> None:
        rows = (
            (
                reading.meter,
                reading.sequence,
                reading.interval_start_s,
                zone,
                batch_id,
                position,
                reading.status,
                reading.import_wh,
                reading.export_wh,
                reading.import_advance_wh,
                reading.export_advance_wh,
            )
            for batch_id, position, zone, reading in accepted
        )
        self._database.executemany(
            f"INSERT OR IGNORE INTO readings VALUES ({', '.join('?' * 11)})", rows
        )

    def _append_seals(self, height: int, execution: Execution) -> None:
        for position, encoded in enumerate(execution.seals):
            seal = ZoneSeal.decode(encoded)
            inputs = b"".join(execution.seal_inputs[position])
            self._database.execute(
                "INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(seal.zone, seal.start_s, seal.revision, seal.end_s),
                    *(height, position, encoded, inputs),
                ),
            )

    def _write_state(self, execution: Execution) -> None:
        gone = [(name, row) for name, row, value in execution.writes if value is None]
        kept = [write for write in execution.writes if write[2] is not None]
        self._database.executemany("DELETE FROM state WHERE name = ? AND key = ?", gone)
        self._database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", kept)
        claims = (claim_of(row, value) for name, row, value in kept if name == READING and value)
        self._database.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?, ?)", claims)

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

    def state_rows(self) -> list[tuple[str, bytes, bytes]]:
        """The application's rows."""
        return self._database.execute("SELECT name, key, value FROM state").fetchall()

    def state_rows_in_memory(self) -> list[tuple[str, bytes, bytes]]:
        """Those of tables that are not paged: found without walking over those that are."""
        found: list[tuple[str, bytes, bytes]] = []
        name = ""
        while True:
            row = self._row("SELECT min(name) FROM state WHERE name > ?", name)
            if row is None or row[0] is None:
                return found
            name = row[0]
            if name not in PAGED:
                query = "SELECT name, key, value FROM state WHERE name = ?"
                found += self._database.execute(query, (name,)).fetchall()

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
        row = self._row("SELECT * FROM readings WHERE meter = ? AND sequence = ?", meter, sequence)
        return None if row is None else StoredReading(*row)

    def readings(self, meter: str, after: int, most: int) -> list[StoredReading]:
        """Accepted readings of a meter with a sequence above `after`, ascending."""
        rows = self._database.execute(
            "SELECT * FROM readings WHERE meter = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (meter, after, most),
        )
        return [StoredReading(*row) for row in rows]

    def reading_count(self) -> int:
        """Accepted readings on the ledger."""
        row = self._row("SELECT count(*) FROM readings")
        return 0 if row is None else int(row[0])

    def seal_over(self, zone: str, start_s: int) -> StoredSeal | None:
        """The newest seal of the window that has this time in it."""
        row = self._row(
            "SELECT height, position, seal, inputs FROM seals"
            " WHERE zone = ? AND start_s <= ? AND end_s > ?"
            " ORDER BY height DESC, revision DESC LIMIT 1",
            *(zone, start_s, start_s),
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
        for query in (
            "SELECT height, block FROM blocks ORDER BY height",
            "SELECT name || '/' || hex(key), value FROM state ORDER BY name, key",
        ):
            for name, content in self._database.execute(query):
                digest.update(cbor.encode([name, content]))
        return digest.digest()

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
