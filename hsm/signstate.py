"""What a key has signed, kept beside the key: never two different things for one slot.

A slot (a vote's height, round and kind; a witness key's batch sequence) is on the disk before its
signature is asked for. The same bytes again give the stored signature again; anything else is
refused, whatever the program above has forgotten. The signature itself is written with the next
slot: one that is lost in between is made again, of the same bytes. Old slots are forgotten, so that
the file stays small for ever, and what was forgotten is refused from then on.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from hsm.durable import sync_folder
from wire.errors import Refused, Unavailable
from wire.keys import PublicKey, Signer

KEPT_HEIGHTS = 8
"""Vote slots of older heights are forgotten; votes below the highest height are refused anyway."""

KEPT_STATEMENTS = 1024
"""Batches of a witness key that are known; one that is asked again is among the newest few."""

_WORTH_SHRINKING = 256
"""Pages of the file that are free, and more than are used: then it is written anew, smaller."""

_TABLES = """
CREATE TABLE IF NOT EXISTS votes (
    height INTEGER NOT NULL, round INTEGER NOT NULL, kind TEXT NOT NULL, message BLOB NOT NULL,
    attachment BLOB NOT NULL, signature BLOB, PRIMARY KEY (height, round, kind));
CREATE TABLE IF NOT EXISTS statements (
    sequence INTEGER PRIMARY KEY, message BLOB NOT NULL, signature BLOB);
CREATE TABLE IF NOT EXISTS forgotten (one INTEGER PRIMARY KEY, sequence INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS guard (
    one INTEGER PRIMARY KEY, why TEXT NOT NULL, fenced INTEGER NOT NULL, above INTEGER);
"""


class DoubleSign(Refused):
    """The key has signed something else for this slot, or a later height."""

    code = "double-sign"


class Guarded(DoubleSign):
    """The key may have signed what this file does not know."""

    code = "guarded"


class DamagedState(Refused):
    """The file is no sign-state. Without it nobody knows what the key has signed."""

    code = "damaged-sign-state"


@dataclass(frozen=True, slots=True)
class Slot:
    """One vote that was signed, or was about to be."""

    height: int
    """Block height."""

    round: int
    """Round at that height."""

    kind: str
    """Which message: proposal, prepare, commit, round-change."""

    message: bytes
    """The signed bytes."""

    attachment: bytes
    """What must not be forgotten with it (the prepared certificate)."""

    signature: bytes
    """Raw signature; empty when the program ended before it was made."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What keeps a key from voting that may have voted where this file does not know it."""

    why: str
    """How that is known, in words."""

    fenced: bool
    """Whether the operator has given the word that no other instance of the key runs, or will."""

    above: int | None
    """The key votes above this height; None while nobody knows which, and it does not vote."""


class SignState:
    """The file of slots. SQLite with synchronous=FULL: what `claim` returns from is on the disk."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises DamagedState, or Unavailable when that cannot be now."""
        self._lock = Lock()
        self._made: list[tuple[str, tuple[object, ...]]] = []
        with _in_words(path):
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            try:
                self._database.execute("PRAGMA synchronous = FULL")
                _check_whole(self._database)
                self._database.executescript(_TABLES)
            except sqlite3.DatabaseError:
                self._database.close()
                raise
            path.chmod(0o600)
            sync_folder(path.parent)
        self._path = path
        with self._writing() as database:
            _forget_statements(database)
        self._shrink()

    def _shrink(self) -> None:
        """Give a file's free pages back, when it holds little else."""
        with self._lock, _in_words(self._path):
            (free,), (pages,) = (
                self._database.execute(f"PRAGMA {name}").fetchone()
                for name in ("freelist_count", "page_count")
            )
            if free > _WORTH_SHRINKING and free > pages // 2:
                with suppress(sqlite3.OperationalError):  # No room for a copy: it stays as it is.
                    self._database.execute("VACUUM")

    def close(self) -> None:
        """Close the file."""
        if self._made:
            with suppress(Unavailable), self._writing():
                pass  # The newest signature goes with it.
            self._made.clear()
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole on the disk when it ends, with no other writer in between."""
        with self._lock, _in_words(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for update, values in self._made:
                    self._database.execute(update, values)
                yield self._database
                self._database.execute("COMMIT")
                self._made.clear()
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    def claim_vote(self, slot: Slot) -> bytes:
        """Make the slot durable; return its signature when the same bytes were signed before.

        Raises:
            DoubleSign: other bytes were claimed for it, or a higher height was voted in.
            Guarded: the key may have signed something else there.
            Unavailable: the disk does not take it now.
        """
        key = (slot.height, slot.round, slot.kind)
        with self._writing() as database:
            _check_guard(_guard(database), slot.height)
            highest = database.execute("SELECT max(height) FROM votes").fetchone()[0]
            if highest is not None and slot.height < highest:
                raise DoubleSign(f"height {slot.height}: this key has voted at {highest} already")
            known = database.execute(
                "SELECT message, signature FROM votes WHERE height = ? AND round = ? AND kind = ?",
                key,
            ).fetchone()
            if known is not None:
                return _same(known, slot.message, f"{slot.kind} at {slot.height}/{slot.round}")
            database.execute(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?, NULL)",
                (*key, slot.message, slot.attachment),
            )
            database.execute("DELETE FROM votes WHERE height < ?", (slot.height - KEPT_HEIGHTS,))
        return b""

    def keep_vote(self, slot: Slot, signature: bytes) -> None:
        """Store the signature beside its slot, with the next one or at the end."""
        update = "UPDATE votes SET signature = ? WHERE height = ? AND round = ? AND kind = ?"
        with self._lock:
            self._made.append((update, (signature, slot.height, slot.round, slot.kind)))

    def votes(self, height: int) -> list[Slot]:
        """All slots of one height, by round."""
        with self._lock:
            rows = self._database.execute(
                "SELECT height, round, kind, message, attachment, signature FROM votes"
                " WHERE height = ? ORDER BY round, rowid",
                (height,),
            ).fetchall()
        return [_slot(row) for row in rows]

    def last_vote(self) -> Slot | None:
        """The newest slot."""
        with self._lock:
            row = self._database.execute(
                "SELECT height, round, kind, message, attachment, signature FROM votes"
                " ORDER BY rowid DESC LIMIT 1"
            ).fetchone()
        return None if row is None else _slot(row)

    def highest_vote(self) -> int:
        """The highest height of a vote; 0 when there is none."""
        with self._lock:
            (highest,) = self._database.execute("SELECT max(height) FROM votes").fetchone()
        return int(highest or 0)

    def guard(self) -> Guard | None:
        """What keeps the key from voting; None when nothing ever did."""
        with self._lock:
            return _guard(self._database)

    def set_guard(self, guard: Guard) -> None:
        """Make a guard durable, in place of the one before."""
        with self._writing() as database:
            row = (guard.why, guard.fenced, guard.above)
            database.execute("REPLACE INTO guard VALUES (1, ?, ?, ?)", row)

    def claim_statement(self, sequence: int, message: bytes) -> bytes:
        """As `claim_vote`, for a witness key's batch sequence."""
        with self._writing() as database:
            known = database.execute(
                "SELECT message, signature FROM statements WHERE sequence = ?", (sequence,)
            ).fetchone()
            if known is not None:
                return _same(known, message, f"batch {sequence}")
            (forgotten,) = database.execute("SELECT max(sequence) FROM forgotten").fetchone()
            if forgotten is not None and sequence <= forgotten:
                raise DoubleSign(
                    f"batch {sequence}: what this key signed up to {forgotten} is forgotten"
                )
            database.execute("INSERT INTO statements VALUES (?, ?, NULL)", (sequence, message))
            _forget_statements(database)
        return b""

    def keep_statement(self, sequence: int, signature: bytes) -> None:
        """As `keep_vote`, for a witness key's batch sequence."""
        update = "UPDATE statements SET signature = ? WHERE sequence = ?"
        with self._lock:
            self._made.append((update, (signature, sequence)))


def inspect(path: Path) -> str:
    """Say what a sign-state holds, changing nothing; raises DamagedState or Unavailable."""
    with (
        _in_words(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file,
    ):
        _check_whole(file)
        highest = file.execute("SELECT max(height) FROM votes").fetchone()[0]
        newest = file.execute("SELECT max(sequence) FROM statements").fetchone()[0]
    said = [
        f"{what} up to {number}"
        for what, number in (("votes at heights", highest), ("batches", newest))
        if number is not None
    ]
    return "; ".join(said) or "nothing signed yet"


def _guard(database: sqlite3.Connection) -> Guard | None:
    row = database.execute("SELECT why, fenced, above FROM guard").fetchone()
    return None if row is None else Guard(row[0], bool(row[1]), row[2])


def _check_guard(guard: Guard | None, height: int) -> None:
    if guard is None or (guard.above is not None and height > guard.above):
        return
    if guard.above is not None:
        raise Guarded(f"{guard.why}: this key votes above height {guard.above}")
    if guard.fenced:
        raise Guarded(f"{guard.why}: this key votes when a quorum of others has told its heights")
    raise Guarded(f"{guard.why}: this key does not vote without the operator's word")


def _forget_statements(database: sqlite3.Connection) -> None:
    """Keep the newest batches, and how far the others went."""
    newest_forgotten = database.execute(
        "SELECT sequence FROM statements ORDER BY sequence DESC LIMIT 1 OFFSET ?",
        (KEPT_STATEMENTS,),
    ).fetchone()
    if newest_forgotten is not None:
        database.execute("REPLACE INTO forgotten VALUES (1, ?)", newest_forgotten)
        database.execute("DELETE FROM statements WHERE sequence <= ?", newest_forgotten)


def _check_whole(database: sqlite3.Connection) -> None:
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as reason:
        raise Unavailable(f"the sign-state {path}: {reason}") from None
    except OSError as reason:
        raise Unavailable(f"the sign-state {path}: {reason.strerror}") from None
    except sqlite3.DatabaseError as reason:
        if type(reason) is not sqlite3.DatabaseError:
            raise  # Misuse of ours, not the file's state.
        raise DamagedState(
            f"the sign-state {path} is damaged ({reason}): a key must not sign without it;"
            " restore the file, or take a new key"
        ) from None


def _slot(row: tuple[int, int, str, bytes, bytes, bytes | None]) -> Slot:
    height, round_number, kind, message, attachment, signature = row
    return Slot(height, round_number, kind, message, attachment, signature or b"")


def _same(known: tuple[bytes, bytes | None], message: bytes, what: str) -> bytes:
    if known[0] != message:
        raise DoubleSign(f"{what}: this key has signed other content for it")
    return known[1] or b""


class VoteSigner:
    """Signs votes, each slot once."""

    def __init__(self, signer: Signer, state: SignState) -> None:
        """Guard `signer` by `state`."""
        self._signer = signer
        self._state = state

    @property
    def public(self) -> PublicKey:
        """The key."""
        return self._signer.public

    def sign(
        self, height: int, round_number: int, kind: str, message: bytes, attachment: bytes = b""
    ) -> bytes:
        """Sign a vote after its slot is durable.

        Raises:
            DoubleSign: the slot was used for other bytes, or is below the highest height.
            Unavailable: the key cannot sign now; the slot stays claimed for these bytes.
        """
        slot = Slot(height, round_number, kind, message, attachment, b"")
        signature = self._state.claim_vote(slot)
        if not signature:
            signature = self._signer.sign(message)
            self._state.keep_vote(slot, signature)
        return signature

    def last(self) -> Slot | None:
        """The newest slot."""
        return self._state.last_vote()

    def slots(self, height: int) -> list[Slot]:
        """All slots of one height, for the restart of a round."""
        return self._state.votes(height)


class WitnessSigner:
    """Signs witness statements, each batch sequence once."""

    def __init__(self, signer: Signer, state: SignState) -> None:
        """Guard `signer` by `state`."""
        self._signer = signer
        self._state = state

    @property
    def public(self) -> PublicKey:
        """The key."""
        return self._signer.public

    def sign(self, sequence: int, message: bytes) -> bytes:
        """Sign a statement after its sequence is durable.

        Raises:
            DoubleSign: the sequence was used for other bytes.
            Unavailable: the key cannot sign now; the sequence stays claimed for these bytes.
        """
        signature = self._state.claim_statement(sequence, message)
        if not signature:
            signature = self._signer.sign(message)
            self._state.keep_statement(sequence, signature)
        return signature
