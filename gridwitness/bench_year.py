"""A year without the broker, written into a gateway's spool as the gateway would have left it.

Fifty meters that sign for themselves, each interval's readings witnessed in a batch of its own.
Every reading and every statement is signed; only the commits are made in bulk.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wire.keys import ES256, SoftSigner
from wire.reading import ClockEvidence, Reading, SignedReading, sign_reading
from wire.witness import (
    SignedWitness,
    WitnessPosition,
    WitnessStatement,
    readings_root,
    sign_statement,
)

METERS = 50
INTERVAL_S = 900
YEAR = METERS * 365 * 96
_AT_ONCE = 100


@dataclass(slots=True)
class _Meter:
    """A meter that signs, and where its chain stands."""

    id: str
    """Meter id."""

    signer: SoftSigner
    """Its key."""

    previous: bytes = bytes(32)
    """Hash of its last record."""

    sequence: int = 0
    """Its next record."""

    def close(self, start_s: int) -> bytes:
        """The signed reading of one interval."""
        reading = Reading(
            meter=self.id,
            node="node-1",
            interval_start_s=start_s,
            interval_s=INTERVAL_S,
            import_wh=250 * (self.sequence + 1),
            export_wh=0,
            import_advance_wh=250,
            export_advance_wh=0,
            sequence=self.sequence,
            boots=1,
            operating_s=INTERVAL_S * (self.sequence + 1),
            status=0,
            clock=ClockEvidence(2, 1, 0, 1),
            previous=self.previous,
            software_id=bytes(4),
            configuration_id=bytes(8),
            events=0,
            origin=0,
        )
        encoded = sign_reading(reading, self.signer)
        self.previous = SignedReading.open(encoded).sig_hash
        self.sequence += 1
        return encoded


def write_outage(
    spool: Path,
    network: str,
    readings: int,
    end_s: int,
    report: Callable[[int], None],
    names: str = "customer",
) -> None:
    """Add witnessed, unpublished readings of the intervals before `end_s` to a spool at rest.

    Args:
        spool: a spool that no gateway has open.
        network: the network's topic name.
        readings: how many; whole intervals are written.
        end_s: end of the newest interval, Unix seconds.
        report: told how many readings are written so far.
        names: what the meters' ids begin with.
    """
    meters = [
        _Meter(f"{names}-{number:02}", SoftSigner.generate(ES256)) for number in range(METERS)
    ]
    gateway = SoftSigner.generate(ES256)
    intervals = -(-readings // METERS)
    with closing(sqlite3.connect(spool, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        (first,) = database.execute("SELECT COALESCE(MAX(sequence), -1) + 1 FROM batch").fetchone()
        for number in range(intervals):
            if number % _AT_ONCE == 0:
                database.execute("BEGIN")
            start_s = end_s - (intervals - number) * INTERVAL_S
            signed = [each.close(start_s) for each in meters]
            statement = _statement(network, first + number, start_s, signed)
            _store(database, statement, sign_statement(statement, gateway), meters, signed)
            if number % _AT_ONCE == _AT_ONCE - 1 or number == intervals - 1:
                database.execute("COMMIT")
                report((number + 1) * METERS)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _statement(network: str, sequence: int, start_s: int, signed: list[bytes]) -> WitnessStatement:
    return WitnessStatement(
        gateway="gw-bench",
        network=network,
        witnessed_at_s=start_s + INTERVAL_S,
        sequence=sequence,
        tree_size=len(signed),
        previous=bytes(32),
        position=WitnessPosition(0, 0, 0, 0, 0),
        clock_quality=2,
        clock_error_ms=10,
        root=readings_root(signed),
    )


def _store(
    database: sqlite3.Connection,
    statement: WitnessStatement,
    witness: bytes,
    meters: list[_Meter],
    signed: list[bytes],
) -> None:
    start_s = statement.witnessed_at_s - INTERVAL_S
    database.executemany(
        "INSERT INTO reading (meter, sequence, interval_start_s, state, encoded, queued_ms, batch)"
        " VALUES (?, ?, ?, 'queued', ?, ?, ?)",
        _rows(meters, signed, start_s, statement.sequence),
    )
    database.execute(
        "INSERT INTO batch (sequence, batch_id, state, count, oldest_start_s, newest_start_s,"
        " protected, root, witness) VALUES (?, ?, 'witnessed', ?, ?, ?, x'', x'', ?)",
        (
            *(statement.sequence, SignedWitness.open(witness).batch_id, len(signed)),
            *(start_s, start_s, witness),
        ),
    )


def _rows(
    meters: list[_Meter], signed: list[bytes], start_s: int, batch: int
) -> Iterator[tuple[object, ...]]:
    for meter, encoded in zip(meters, signed, strict=True):
        queued_ms = (start_s + INTERVAL_S) * 1000
        yield meter.id, meter.sequence - 1, start_s, encoded, queued_ms, batch
