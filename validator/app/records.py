"""What stands in the state's tables: keys and values, byte by byte.

Decides encodings only. Values are packed to fixed sizes because a block reads and writes thousands;
nothing but the validators' own state uses them.
"""

import struct
from typing import NamedTuple, Self

READING = "reading"
"""Accepted readings: lane, sequence -> AcceptedReading."""

CONFLICT = "conflict"
"""The first other content under an accepted (lane, sequence) -> Conflict."""

BATCH = "batch"
"""Batches on the ledger: gateway, batch sequence -> batch id."""

CURSOR = "cursor"
"""Zone -> Cursor."""

BRIDGE = "bridge"
"""Windows to be tried again as part of a merged one: zone, start -> when, Unix seconds, 8 bytes."""

TALLY = "tally"
"""Zone -> Tally."""

SEALED = "sealed"
"""Intervals that have a seal: zone, start -> Sealed."""

CREDIT = "credit"
"""Settled energy: meter, window start -> Credit."""

CASE = "case"
"""Windows that authorities have to resolve: zone, start -> `validator.app.cases.Case`."""

RESOLUTION = "resolution"
"""Transactions that resolved a case: transaction id -> height of its block, 8 bytes."""

REGISTRY = "registry"
"""Accepted registry transactions: transaction id -> `validator.app.registries.Change`."""

RULING = "ruling"
"""What authorities have decided: kind, first height -> `validator.app.ruling`."""

GOVERNANCE = "governance"
"""Their transactions: transaction id -> height of its block, 8 bytes."""

OFFENCE = "offence"
"""Proved contradictions: validator and kind, height -> height of the block that tells, 8 bytes."""

ROOT = "root"
"""One row, with an empty key -> height, 8 bytes, and the state root, 32 bytes."""

MOST_SKEW_MS = 2**32 - 1
STATUS_BITS = 2**32 - 1
"""Status bits that are remembered."""


def key(name: str | bytes, number: int) -> bytes:
    """Key of an id (or a lane) and a number.

    Ids have no NUL, so no two pairs share a key.
    """
    first = name if isinstance(name, bytes) else name.encode() + b"\0"
    return first + number.to_bytes(8, "big")


def lane(meter: str, reader_thumbprint: bytes) -> bytes:
    """Within a lane sequences are unique: one per meter, and one per reader key and meter.

    Args:
        meter: meter id.
        reader_thumbprint: of the reader key that signed, 32 bytes; empty when the meter signed.
    """
    return meter.encode() + b"\0" + reader_thumbprint


class AcceptedReading(NamedTuple):
    """What later rules need of an accepted reading."""

    start_s: int
    """Interval start, Unix seconds."""

    import_wh: int
    """Import register at the interval's end."""

    export_wh: int
    """Export register at the interval's end."""

    import_advance_wh: int
    """Import within the interval."""

    export_advance_wh: int
    """Export within the interval."""

    boots: int
    """Boot counter."""

    operating_s: int
    """Operating seconds."""

    skew_ms: int
    """How badly the interval's ends are known: clock error and largest read offset."""

    origin: int
    """0 the meter signed; 1 to 3 its reader did."""

    late: int
    """1 when it came after the acceptance window: it is on the ledger and settles nothing."""

    secondary: int
    """1 when a reader signed it that is not the meter's first."""

    status: int
    """Status bits 0 to 31."""

    tells_reactive: int
    """1 when it has reactive registers."""

    import_varh: int
    """Reactive import within the interval."""

    export_varh: int
    """Reactive export within the interval."""

    sig_hash: bytes
    """SHA-256 of what was signed, 32 bytes."""

    previous: bytes
    """The hash that it carries of its predecessor, 32 bytes."""

    reading_hash: bytes
    """SHA-256 of the signed reading's bytes, 32 bytes."""

    def packed(self) -> bytes:
        """As stored."""
        return _ACCEPTED.pack(*self)

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_ACCEPTED.unpack(value))


_ACCEPTED = struct.Struct(">7QI3BIB2Q32s32s32s")
_TIME = struct.Struct(">Q53xB")


def time_of(value: bytes) -> tuple[int, bool]:
    """Of an accepted reading's row: its interval's start, Unix seconds, and whether it is late.

    The rest stays packed: every reading of a block is asked for these two, twice.
    """
    start_s, late = _TIME.unpack_from(value)
    return start_s, bool(late)


class Conflict(NamedTuple):
    """Another content that the same key signed under a sequence: evidence of equivocation."""

    sig_hash: bytes
    """SHA-256 of what was signed, 32 bytes."""

    reading_hash: bytes
    """SHA-256 of the signed reading's bytes, 32 bytes."""

    def packed(self) -> bytes:
        """As stored."""
        return self.sig_hash + self.reading_hash

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls(value[:32], value[32:])


class Sealed(NamedTuple):
    """The newest seal over an interval."""

    revision: int
    """Its revision, from 0."""

    verdict: int
    """Its verdict."""

    settled: int
    """How its energy was settled: 0 not yet, SETTLED_BY_BALANCE, SETTLED_BY_CASE."""

    offset: int
    """How many intervals before this one its window began."""

    merged: int
    """Intervals of a merged window; 0 for an ordinary one, which has one."""

    inputs_root: bytes
    """Of the readings that it used, 32 bytes: the same inputs make no new revision."""

    def packed(self) -> bytes:
        """As stored."""
        return _SEALED.pack(*self)

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_SEALED.unpack(value))


_SEALED = struct.Struct(">IBBII32s")
SETTLED_BY_BALANCE, SETTLED_BY_CASE = 1, 2


class Credit(NamedTuple):
    """Energy settled for one meter and window."""

    import_wh: int
    """Taken from the grid, Wh."""

    export_wh: int
    """Given to it, Wh."""

    intervals: int
    """Length of the window."""

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_CREDIT.unpack(value))


_CREDIT = struct.Struct(">QQI")
packed_credit = _CREDIT.pack
"""The three numbers of a Credit as stored: a block settles thousands, without making one."""


class Cursor(NamedTuple):
    """How far a zone's windows have come; both move with header time."""

    deadline_s: int
    """Start of the oldest window whose deadline has not passed."""

    window_s: int
    """Start of the oldest window whose acceptance window has not ended."""

    def packed(self) -> bytes:
        """As stored."""
        return _CURSOR.pack(*self)

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_CURSOR.unpack(value))


_CURSOR = struct.Struct(">QQ")


class Tally(NamedTuple):
    """A zone's record: how many seals said what, revisions included, and its cases."""

    balanced: int
    suspect: int
    impossible: int
    inconclusive: int
    unreferenced: int

    opened: int
    """Cases that were opened, reopened ones included."""

    closed: int
    """Cases that were resolved, or that a later revision cleared."""

    def packed(self) -> bytes:
        """As stored."""
        return _TALLY.pack(*self)

    @classmethod
    def of(cls, value: bytes | None) -> Self:
        """As stored, read back; all 0 for none."""
        return cls(*[0] * 7) if value is None else cls._make(_TALLY.unpack(value))


_TALLY = struct.Struct(">7Q")
