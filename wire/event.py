"""A meter's signed events: what happened to it besides measuring, in order, for ever.

A COSE_Sign1 a piece; the numbers 1 to 15 of the payload mean what they mean in a reading, 30 is the
kind, 31 the time, 32 the details. Events are a chain of their own: each carries its number and the
SHA-256 of the signed bytes of the one before. Decides an event's shape, its words and whether
events follow each other; what the status bits mean is decided by the rules for records.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from wire import cbor, fields
from wire.cose import HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID, Sign1, open_sign1, sign1
from wire.errors import Malformed
from wire.keys import PublicKey, Signer

FORMAT = 1
CONTENT_TYPE = "application/x-gridwitness-event"
MOST_BYTES = 1024
"""Bytes of one signed event. A plain one has about 230."""

NO_PREVIOUS = bytes(32)
_KEYS = frozenset({1, 2, 10, 11, 12, 13, 15, 30, 31, 32})
_MOST_DETAILS = 8
_MOST_TEXT = 200
_MOST_TIME_S = 2**40
_MOST_KIND = 255

POWER_UP, CLOCK_SET, CONFIGURATION, SOFTWARE, KEY = 1, 2, 3, 4, 5
COVER_OPEN, TERMINAL_COVER_OPEN, MAGNET = 6, 7, 8
ACKNOWLEDGED, SERVICE, CRASH, SIGNER_FAILED, ELEMENT_FAILED, SNAPSHOT = 9, 10, 11, 12, 13, 14

NAMES = {
    POWER_UP: "power up",
    CLOCK_SET: "clock set",
    CONFIGURATION: "configuration changed",
    SOFTWARE: "software changed",
    KEY: "key made",
    COVER_OPEN: "cover open",
    TERMINAL_COVER_OPEN: "terminal cover open",
    MAGNET: "magnetic field",
    ACKNOWLEDGED: "acknowledged",
    SERVICE: "service session",
    CRASH: "program stopped",
    SIGNER_FAILED: "signer failed",
    ELEMENT_FAILED: "measuring element failed",
    SNAPSHOT: "registers shown",
}
"""What each kind is called."""

Detail = int | str | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The content of one event; the numbers are the payload's keys."""

    meter: str
    """2: meter id, 1 to 20 characters."""

    number: int
    """10: number of the event, from 0, never reused."""

    boots: int
    """11: boot counter."""

    operating_s: int
    """12: operating seconds since manufacture."""

    status: int
    """13: status bits when it was made; what it sets or clears comes behind it."""

    previous: bytes
    """15: SHA-256 of the previous event's Sig_structure, 32 bytes; zeros at number 0."""

    kind: int
    """30: one of `NAMES`, or one that a later firmware knows."""

    time_s: int
    """31: Unix seconds; 0 when the meter did not know the time."""

    details: tuple[Detail, ...]
    """32: depends on the kind."""

    def payload(self) -> bytes:
        """The deterministic encoding that is signed."""
        return cbor.encode(
            {
                1: FORMAT,
                2: self.meter,
                10: self.number,
                11: self.boots,
                12: self.operating_s,
                13: self.status,
                15: self.previous,
                30: self.kind,
                31: self.time_s,
                32: list(self.details),
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Decode and check a payload; raises Malformed naming the field."""
        content = cbor.decode(payload)
        if not isinstance(content, dict) or content.get(1) != FORMAT:
            raise Malformed("not an event of format 1")
        if content.keys() != _KEYS:
            wrong = sorted(map(str, content.keys() ^ _KEYS))
            raise Malformed(f"an event with keys missing or unknown: {', '.join(wrong[:5])}")
        number = fields.uint(content[10], "number (10)")
        previous = fields.octets(content[15], "previous (15)", 32)
        if number == 0 and previous != NO_PREVIOUS:
            raise Malformed("previous (15): event 0 has none before it")
        return cls(
            meter=fields.identifier(content[2], "meter (2)", most=20),
            number=number,
            boots=fields.uint(content[11], "boots (11)"),
            operating_s=fields.uint(content[12], "operating_s (12)"),
            status=fields.uint(content[13], "status (13)"),
            previous=previous,
            kind=fields.uint(content[30], "kind (30)", _MOST_KIND),
            time_s=fields.uint(content[31], "time_s (31)", _MOST_TIME_S),
            details=_details(content[32]),
        )

    @property
    def words(self) -> str:
        """What happened, for people: `clock set from 12:00:00 to 12:00:07 …`."""
        name = NAMES.get(self.kind, f"event of kind {self.kind}")
        in_words = _WORDS.get(self.kind)
        try:
            told = _plain(self.details) if in_words is None else in_words(*self.details)
        except (TypeError, ValueError, OverflowError):  # Details of another shape than we know.
            told = _plain(self.details)
        return f"{name} {told}".rstrip()


def _details(value: Any) -> tuple[Detail, ...]:
    items = fields.items(value, "details (32)")
    if len(items) > _MOST_DETAILS:
        raise Malformed(f"details (32): more than {_MOST_DETAILS}")
    for item in items:
        if type(item) is int:
            continue
        if not isinstance(item, str | bytes) or len(item) > _MOST_TEXT:
            raise Malformed("details (32): not integers, texts or byte strings that are short")
    return tuple(items)


def time_words(time_s: int) -> str:
    """A Unix time for people: `2026-11-21 09:00:00 UTC`; "unknown" for 0."""
    if not time_s:
        return "unknown"
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time_s} s"


def _plain(details: Iterable[Detail]) -> str:
    return ", ".join(_one(detail) for detail in details)


def _one(detail: Detail) -> str:
    """One detail; whatever a terminal would obey is shown as an escape."""
    if isinstance(detail, bytes):
        return detail.hex()
    if isinstance(detail, str):
        return "".join(each if each.isprintable() else repr(each)[1:-1] for each in detail)
    return str(detail)


def _clock_set(old_s: int, new_s: int, error_s: int) -> str:
    return f"from {time_words(old_s)} to {time_words(new_s)}, ±{error_s} s"


def _changed(old: Detail, new: Detail) -> str:
    return f"from {_one(old) or 'none'} to {_one(new)}"


def _acknowledged(technician: Detail, bits: int) -> str:
    return f"by {_one(technician)}: status bits 0x{bits:x}"


def _snapshot(import_wh: int, export_wh: int) -> str:
    return f"import {import_wh} Wh, export {export_wh} Wh"


_WORDS: dict[int, Callable[..., str]] = {
    CLOCK_SET: _clock_set,
    CONFIGURATION: _changed,
    SOFTWARE: _changed,
    ACKNOWLEDGED: _acknowledged,
    SNAPSHOT: _snapshot,
}


def sign_event(event: Event, signer: Signer) -> bytes:
    """Sign an event as the meter does."""
    headers = {
        HEADER_ALG: signer.public.alg,
        HEADER_CONTENT_TYPE: CONTENT_TYPE,
        HEADER_KID: signer.public.kid,
    }
    return sign1(headers, event.payload(), signer)


@dataclass(frozen=True)
class SignedEvent:
    """An event with its envelope; the bytes stay as the meter made them."""

    encoded: bytes
    """The COSE_Sign1 as it travels."""

    cose: Sign1
    """The envelope."""

    event: Event
    """The content."""

    @classmethod
    def open(cls, encoded: bytes) -> Self:
        """Decode and check the shape; raises Malformed. The signature is checked by `verify`."""
        if len(encoded) > MOST_BYTES:
            raise Malformed(f"an event of {len(encoded)} bytes; at most {MOST_BYTES}")
        cose = open_sign1(encoded)
        if cose.headers.keys() != {HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID}:
            raise Malformed("an event's protected header has exactly the keys 1, 3 and 4")
        if cose.headers[HEADER_CONTENT_TYPE] != CONTENT_TYPE:
            raise Malformed("the protected header does not say that this is an event")
        return cls(encoded, cose, Event.from_payload(cose.payload))

    @cached_property
    def sig_hash(self) -> bytes:
        """SHA-256 of the signed bytes: field 15 of the meter's next event."""
        return self.cose.sig_hash

    def verify(self, public: PublicKey) -> None:
        """Check the signature; raises BadSignature."""
        self.cose.verify(public)

    def check_follows(self, before: "SignedEvent") -> None:
        """Check that nothing lies between two events of one meter; raises Malformed."""
        old, new = before.event, self.event
        if new.meter != old.meter:
            raise Malformed(f"event {new.number} is of meter {new.meter}, not {old.meter}")
        if new.number != old.number + 1:
            raise Malformed(f"event {new.number} stands after event {old.number}")
        if new.previous != before.sig_hash:
            raise Malformed(f"event {new.number} names another event {old.number} than this one")
        if new.boots < old.boots or new.operating_s < old.operating_s:
            raise Malformed(f"event {new.number} counts boots or operating seconds backwards")


def verify_chain(events: Iterable[SignedEvent], public: PublicKey) -> int:
    """Check signatures and order of a meter's events without a gap; returns how many there are.

    Raises:
        BadSignature: one is not by this key.
        Malformed: one does not follow the one before.
    """
    before, count = None, 0
    for signed in events:
        signed.verify(public)
        if before is not None:
            signed.check_follows(before)
        before, count = signed, count + 1
    return count
