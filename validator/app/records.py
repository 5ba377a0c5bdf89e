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
"""Zone -> start of the oldest window whose deadline has not passed, 8 bytes."""

SEALED = "sealed"
"""Windows that have a seal: zone, start -> Sealed."""

CREDIT = "credit"
"""Settled energy: meter, interval start -> Credit."""

CASE = "case"
"""Windows that authorities have to resolve: zone, start -> the revision that opened it, 4 bytes."""

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


_ACCEPTED = struct.Struct(">7QIBB32s32s32s")


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
    """The newest seal of a window."""

    revision: int
    """Its revision, from 0."""

    verdict: int
    """Its verdict."""

    ever_balanced: int
    """1 once any revision was BALANCED."""

    inputs_root: bytes
    """Of the readings that it used, 32 bytes: the same inputs make no new revision."""

    def packed(self) -> bytes:
        """As stored."""
        return _SEALED.pack(*self)

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_SEALED.unpack(value))


_SEALED = struct.Struct(">IBB32s")


class Credit(NamedTuple):
    """Energy settled for one meter and interval."""

    import_wh: int
    """Taken from the grid, Wh."""

    export_wh: int
    """Given to it, Wh."""

    def packed(self) -> bytes:
        """As stored."""
        return _CREDIT.pack(*self)

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_CREDIT.unpack(value))


_CREDIT = struct.Struct(">QQ")
