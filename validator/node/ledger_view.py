"""The ledger file as readers see it: pages of blocks, readings and seals, beside its writer.

A second connection that cannot write, usable from one other thread; SQLite shows it whole blocks
only, because a block is one transaction. Decides how much is read at once and where a page begins:
every page has a key of its last row to go on from, so that blocks which come meanwhile move
nothing.
"""

import sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from validator.node.store import Store
from validator.node.stored import StoredSeal
from wire import cbor
from wire.block import Commit, Header
from wire.errors import Refused
from wire.witness import SignedWitness, WitnessStatement

_KEPT = 256


@dataclass(frozen=True, slots=True)
class Outline:
    """A final block without what its transactions say."""

    header: Header
    """Its header."""

    digest: bytes
    """Its name, 32 bytes."""

    commit: Commit
    """The seals that this validator saw."""

    parent_commit: Commit | None
    """The canonical seals of the block before; None in the first."""

    transactions: tuple[bytes, ...]
    """As they stand in the block."""

    evidence: tuple[bytes, ...]
    """As it stands in the block."""

    @property
    def statements(self) -> list[tuple[bytes, WitnessStatement]]:
        """Id and statement of each batch in the block."""
        found = []
        for each in self.transactions:
            try:
                witness = SignedWitness.open(each)
            except Refused:  # A registry transaction.
                continue
            found.append((witness.batch_id, witness.statement))
        return found


class LedgerView(Store):
    """A ledger file that somebody else writes."""

    def __init__(self, path: Path) -> None:
        """Open the file, which its writer has made already."""
        database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        self._use(database)
        self._outlines: OrderedDict[int, Outline] = OrderedDict()

    def outline(self, height: int) -> Outline | None:
        """A block's outline; the newest that were asked for are kept."""
        found = self._outlines.get(height)
        if found is None:
            row = self._row("SELECT digest, block, final FROM blocks WHERE height = ?", height)
            if row is None:
                return None
            found = self._outlines[height] = _outline(*row)
            if len(self._outlines) > _KEPT:
                self._outlines.popitem(last=False)
        return found

    def outlines(self, before: int, most: int) -> list[Outline]:
        """Blocks below a height, the newest first."""
        rows = self._database.execute(
            "SELECT digest, block, final FROM blocks WHERE height < ? ORDER BY height DESC LIMIT ?",
            (before, most),
        )
        return [_outline(*row) for row in rows]

    def outlines_from(self, first: int, most: int) -> list[Outline]:
        """Blocks from a height on, ascending."""
        rows = self._database.execute(
            "SELECT digest, block, final FROM blocks WHERE height >= ? ORDER BY height LIMIT ?",
            (first, most),
        )
        return [_outline(*row) for row in rows]

    def height_of(self, digest: bytes) -> int | None:
        """Height of a final block by its digest."""
        row = self._row("SELECT height FROM blocks WHERE digest = ?", digest)
        return None if row is None else int(row[0])

    def newest_seal(self, zone: str) -> StoredSeal | None:
        """The newest seal of a zone's newest sealed window."""
        row = self._row("SELECT max(start_s) FROM seals WHERE zone = ?", zone)
        return None if row is None or row[0] is None else self.seal_over(zone, int(row[0]))


def _outline(digest: bytes, block: bytes, final: bytes) -> Outline:
    """What was checked when the block came is not checked again."""
    header, transactions, parent_commit, evidence = cbor.decode(block)
    return Outline(
        Header.decode(header),
        bytes(digest),
        Commit.decode(final),
        Commit.decode(parent_commit) if parent_commit else None,
        tuple(transactions),
        tuple(evidence),
    )
