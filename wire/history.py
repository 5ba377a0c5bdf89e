"""A meter's records as a file (`.gwr`): a CBOR sequence that anyone can cut, join and check.

Decides the format: optionally the commissioning record (COSE_Sign, tag 98), then signed readings
(COSE_Sign1, tag 18) in order of sequence, one after the other (RFC 8742), nothing else. Reading is
strict and bounded: an item is measured before it is decoded, and whatever is no item of these two
kinds ends the file with its offset. Whether the records are true is decided by `wire.series`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from wire.commissioning import MOST_BYTES
from wire.errors import Malformed
from wire.reading import MAX_ENCODED, SignedReading

SUFFIX = ".gwr"
MAX_FILE = 64 * 1024 * 1024
"""Bytes of one file: more than eight years of plain records."""

MIN_RECORD = 128
"""Bytes that the hash, the signature and the other fields of a reading need at the least."""

_TAG_SIGN1 = b"\xd2"
_TAG_SIGN = b"\xd8\x62"
HEADS = (_TAG_SIGN1, _TAG_SIGN)
"""What a file begins with: tag 18 or tag 98."""

_MAX_DEPTH = 16
_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(2, 8)


class BrokenFile(Malformed):
    """Bytes that are no record where a record should begin."""

    code = "broken-file"

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset = offset
        """Where the item begins that could not be read."""
        self.reason = reason
        """Why it could not be read."""


@dataclass(frozen=True)
class Entry:
    """One item of the file that is framed as a record; it may still not be a reading."""

    offset: int
    """Where it stands in the file."""

    encoded: bytes
    """Its bytes, as they are."""

    @cached_property
    def opened(self) -> SignedReading | Malformed:
        """The reading, or why it is none. The signature is not checked here."""
        try:
            return SignedReading.open(self.encoded)
        except Malformed as reason:
            return reason


@dataclass(frozen=True)
class History:
    """A meter's records, as a file has them."""

    commissioning: bytes | None
    """The commissioning record (COSE_Sign), when the file begins with one."""

    records: bytes
    """The encoded records, one after the other."""

    @classmethod
    def of(cls, records: Iterable[bytes], commissioning: bytes | None = None) -> Self:
        """Make a history of signed readings; raises Malformed unless one meter's, in order."""
        parts: list[bytes] = []
        meter, newest = None, -1
        for encoded in records:
            reading = SignedReading.open(encoded).reading
            if meter is not None and reading.meter != meter:
                raise Malformed(f"a record of meter {reading.meter} among those of {meter}")
            if reading.sequence <= newest:
                raise Malformed(f"record {reading.sequence} after record {newest}")
            meter, newest = reading.meter, reading.sequence
            parts.append(encoded)
        if commissioning is not None and item_end(commissioning, 0, MOST_BYTES) != len(
            commissioning
        ):
            raise Malformed("the commissioning record is not one CBOR item")
        return cls.decode((commissioning or b"") + b"".join(parts))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a file's bytes; raises Malformed when it cannot be one.

        The records are framed by `entries`, one at a time.
        """
        if len(data) > MAX_FILE:
            raise Malformed(f"a file of {len(data)} bytes; at most {MAX_FILE}")
        if not data:
            raise Malformed("an empty file")
        end = 0
        if data.startswith(_TAG_SIGN):
            end = item_end(data, 0, MOST_BYTES)
        elif not data.startswith(_TAG_SIGN1):
            raise BrokenFile(0, "neither a signed record nor a commissioning record")
        return cls(data[:end] or None, data[end:])

    @property
    def encoded(self) -> bytes:
        """The file."""
        return (self.commissioning or b"") + self.records

    def entries(self) -> Iterator[Entry]:
        """The records in order; raises BrokenFile where the bytes are none."""
        ahead, place = len(self.commissioning or b""), 0
        while place < len(self.records):
            if self.records[place : place + 1] != _TAG_SIGN1:
                raise BrokenFile(ahead + place, "not a signed record (COSE_Sign1, tag 18)")
            try:
                end = item_end(self.records, place)
            except BrokenFile as broken:
                raise BrokenFile(ahead + place, broken.reason) from None
            if end - place < MIN_RECORD:
                raise BrokenFile(ahead + place, f"an item of {end - place} bytes is no record")
            yield Entry(ahead + place, self.records[place:end])
            place = end


def item_end(data: bytes, offset: int, most: int = MAX_ENCODED) -> int:
    """Return where the CBOR item at `offset` ends; raises BrokenFile.

    Only lengths are looked at, never more than `most` bytes are walked, and nothing is built, so
    that a claimed length or depth costs nothing (RFC 8949 appendix C, made iterative).
    """
    limit = min(len(data), offset + most)
    place = offset
    left = [1]  # Items still to come, at each depth.
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        major, value, place = _head(data, place, limit, offset, most)
        if major in (_BYTES, _TEXT):
            place += value
        elif major in (_ARRAY, _MAP, _TAG):
            left.append(1 if major == _TAG else value * (1 + (major == _MAP)))
        if len(left) > _MAX_DEPTH:
            raise BrokenFile(offset, "an item nested too deeply")
        if place + left[-1] > limit:
            raise _short(data, offset, most)
    return place


def _head(data: bytes, place: int, limit: int, offset: int, most: int) -> tuple[int, int, int]:
    """Major type, argument, and where the head ends."""
    if place >= limit:
        raise _short(data, offset, most)
    major, low = data[place] >> 5, data[place] & 31
    if low < 24:
        return major, low, place + 1
    if low > 27 or major == _SIMPLE:
        raise BrokenFile(offset, "an item of indefinite length, or a float")
    end = place + 1 + (1 << (low - 24))
    if end > limit:
        raise _short(data, offset, most)
    return major, int.from_bytes(data[place + 1 : end], "big"), end


def _short(data: bytes, offset: int, most: int) -> BrokenFile:
    rest = len(data) - offset
    if rest < most:
        return BrokenFile(offset, f"the file ends within a record ({rest} bytes of it are left)")
    return BrokenFile(offset, f"an item of more than {most} bytes")
