"""What is wrong with a record, as a value: which record, which part of it, what it should say.

Decides how a fault is worded; whether there is one is decided by `wire.series`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wire.forensics import Change
from wire.guesses import ABSENT, content_of
from wire.reading import Reading
from wire.record_rules import NAMES, Clash, shown, status_words

_HEADERS = {1: "algorithm", 3: "content type", 4: "key id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing about one record that does not hold."""

    place: int
    """The record's place in the file, from 0."""

    sequence: int | None
    """Its sequence as found; None when it cannot be read."""

    part: str
    """`payload`, `header`, `signature`, `record` or `file`."""

    key: Any = None
    """Number of the field or header; None when it is neither."""

    found: str = ""
    """What it says."""

    expected: str = ""
    """What it should say; empty when nobody can tell."""

    proved: bool = False
    """True when a signature or a hash shows that this part was changed, and what it said."""

    words: str
    """For people, with the field's number and name."""

    @property
    def name(self) -> str:
        """The part in words: `field 6 (import register)`."""
        return part_name(self.part, self.key)


def part_name(part: str, key: Any) -> str:
    """A part of a record in words: `field 6 (import register)`."""
    if part == "payload":
        return f"field {shown(key)} ({NAMES.get(key, 'carried along')})"
    if part == "header" and key is not None:
        return f"header {shown(key)} ({_HEADERS.get(key, 'not of this format')})"
    return "unprotected header" if part == "header" else part


def changed(place: int, sequence: int | None, change: Change, proof: str) -> Fault:
    """A part was changed after signing, as a proof in words shows."""
    key = None if change.part == "signature" else change.key
    name = part_name(change.part, key)
    found, true = value_words(change.found), value_words(change.true)
    words = f"{name} was changed: it says {_told(key, found)}, and with {_told(key, true)} {proof}"
    if change.part != "payload":
        words = f"{name} was changed: it says {found}, and with {true} {proof}"
    if change.part == "signature":
        words = f"signature was changed: what it signs is untouched, and with {true} it holds"
    return Fault(
        place=place,
        sequence=sequence,
        part=change.part,
        key=key,
        found=found,
        expected=true,
        proved=True,
        words=words,
    )


def false(place: int, reading: Reading, clash: Clash, *, signed: bool) -> Fault:
    """A field contradicts something, whether or not the record's signature holds."""
    key, expected = clash.field, clash.expected
    found = value_words(field_of(reading, key))
    although = " although it is signed" if signed else ""
    words = f"{part_name('payload', key)} is false{although}: it says {_told(key, found)}"
    return Fault(
        place=place,
        sequence=reading.sequence,
        part="payload",
        key=key,
        found=found,
        expected=expected,
        words=f"{words}, expected {_told(key, expected)}: {clash.words}",
    )


def field_of(reading: Reading, number: int) -> Any:
    """A field's value as encoded, `ABSENT` when it is not there."""
    return (content_of(reading.payload()) or {}).get(number, ABSENT)


def value_words(value: Any) -> str:
    """A field's value as text, for scripts too."""
    return "nothing" if value is ABSENT else shown(value)


def when(seconds: int) -> str:
    """A moment for people."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s after 1970"


def _told(key: Any, value: str) -> str:
    """A value with what it means, where the number alone says little."""
    if not value.isdigit():
        return value
    if key == 4:
        return f"{value} ({when(int(value))})"
    if key == 13 and len(value) < 20:
        return f"{value} ({status_words(int(value))})"
    return value
