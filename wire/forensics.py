"""Which field of a forged record was changed: found by trying, shown by proof.

A signature that fails says only that something was changed. But a signature, the hash that the next
record carries, or the hash that the authorities decided about can tell the true value of a field
among guesses: when one is put in and the proof holds, that field was changed, and this is what it
said. Decides nothing by likelihood. Each guess costs one check, and their number is bounded.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from typing import Any

from wire import cbor
from wire.cose import HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID, Sign1
from wire.errors import BadSignature, Malformed
from wire.guesses import (
    ABSENT,
    Around,
    Content,
    content_of,
    digit_pairs,
    fields_of,
    flips,
    implied,
    near_neighbours,
    nearby,
)
from wire.keys import PublicKey, normalise_s
from wire.reading import CONTENT_TYPE, SignedReading

Proof = Callable[[Sign1], bool]
"""Whether a message is the true one."""

MOST_BY_SIGNATURE = 40_000
"""Guesses for one record when each costs a signature check: about two seconds."""

MOST_BY_HASH = 400_000
"""Guesses for one record when each costs a hash: about two seconds."""

QUICK = 1_000
"""Guesses that every record is given, however many were spent on others."""

_ENERGY = (6, 7, 8, 9)
_LIKELY = 12
_FIRST_STEPS = 60
_NEAR_BY_SIGNATURE = 200
_NEAR_BY_HASH = 4_000
_PAIRS_OF_EACH = 3


def signature_of(key: PublicKey) -> Proof:
    """The message's signature holds under the key."""

    def holds(message: Sign1) -> bool:
        try:
            key.verify(message.sig_structure, message.signature)
        except BadSignature:
            return False
        return True

    return holds


def hash_in_next(sig_hash: bytes) -> Proof:
    """It is the record whose hash the next one carries."""
    return lambda message: message.sig_hash == sig_hash


def hash_of_whole(digest: bytes) -> Proof:
    """It is the message, signature included, with this SHA-256."""
    return lambda message: hashlib.sha256(message.encoded).digest() == digest


@dataclass(frozen=True, slots=True)
class Change:
    """One part of a record that was changed."""

    part: str
    """`payload`, `header` or `signature`."""

    key: Any
    """Number of the field or of the header; 0 for a signature. Foreign keys may be text."""

    found: Any
    """What stands there, `ABSENT` when nothing does."""

    true: Any
    """What stood there, `ABSENT` when nothing did."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A record as it was signed."""

    message: Sign1
    """The true message."""

    changes: tuple[Change, ...]
    """How the found one differs."""


class Search:
    """Guesses that are left for a whole file, so that a hostile one ends too."""

    def __init__(self, left: int = 5 * MOST_BY_SIGNATURE) -> None:
        self.left = left
        """Guesses, in the price of a signature check."""

    def by_signature(
        self, message: Sign1, key: PublicKey, around: Around, most: int = MOST_BY_SIGNATURE
    ) -> Restored | None:
        """Find the message that the key signed, within `most` guesses."""
        guesses = _guesses(message, key, around, _NEAR_BY_SIGNATURE)
        most = max(QUICK, min(most, self.left))
        return self._first(message, guesses, signature_of(key), most, 1)

    def by_hash(
        self, message: Sign1, key: PublicKey, around: Around, proof: Proof
    ) -> Restored | None:
        """Find the message that has a known hash."""
        guesses = _guesses(message, key, around, _NEAR_BY_HASH)
        most = max(QUICK, min(MOST_BY_HASH, self.left * 10))
        return self._first(message, guesses, proof, most, 10)

    def _first(
        self, message: Sign1, guesses: Iterator[Sign1], proof: Proof, most: int, per_price: int
    ) -> Restored | None:
        tried = 0
        for guess in islice(guesses, most):
            tried += 1
            if proof(guess) and _is_reading(guess):
                self.left -= tried // per_price
                return Restored(guess, changes_of(message, guess))
        self.left -= tried // per_price
        return None


def _is_reading(message: Sign1) -> bool:
    try:
        SignedReading.open(message.encoded)
    except Malformed:
        return False
    return True


def loosely(encoded: bytes) -> tuple[Sign1 | None, bool]:
    """A record's parts, when they are there; and whether its unprotected header is filled."""
    try:
        value = cbor.decode(encoded)
    except Malformed:
        return None, False
    match value:
        case cbor.Tag(value=[bytes(protected), dict(filled), bytes(payload), bytes(signature)]):
            return Sign1(protected, payload, signature), bool(filled)
    return None, False


def _guesses(message: Sign1, key: PublicKey, around: Around, reach: int) -> Iterator[Sign1]:
    """Messages that this one may have been, the likely ones first."""
    headers = {HEADER_ALG: key.alg, HEADER_CONTENT_TYPE: CONTENT_TYPE, HEADER_KID: key.kid}
    message = replace(message, protected=cbor.encode(headers))
    yield message
    yield replace(message, signature=_low_s(message.signature))
    content = content_of(message.payload)
    if content is None:
        yield from _with_payloads(message, flips(message.payload))
        return
    numbers = fields_of(content, around)
    first = {number: list(implied(number, content, around)) for number in numbers}
    build = Rebuild(content)
    ones = ({n: value} for n in numbers for value in first[n][:_LIKELY])
    others = ({n: value} for n in numbers for value in first[n][_LIKELY:])
    stray = ({number: ABSENT} for number in content if number not in range(1, 23))
    yield from _with_payloads(message, map(build, chain(stray, ones)))
    yield from _with_payloads(message, flips(message.payload))
    yield from _with_payloads(message, map(build, chain(others, _pairs(first))))
    yield from (replace(message, signature=changed) for changed in flips(message.signature))
    yield from _with_payloads(message, map(build, _far_fetched(numbers, content, around, reach)))


def _low_s(signature: bytes) -> bytes:
    try:
        return normalise_s(signature)
    except OverflowError:
        return signature  # Larger than the group's order: no form of any signature.


def _far_fetched(
    numbers: list[int], content: Content, around: Around, reach: int
) -> Iterator[Mapping[int, Any]]:
    """One field near what it says or near what a neighbour says; small steps first."""
    present = [number for number in numbers if number in content]
    whole = [number for number in present if type(content[number]) is int]
    others = [number for number in present if number not in whole]
    for steps in (_FIRST_STEPS, reach):
        for n in whole:
            further = 5 * steps if n in _ENERGY else steps
            yield from ({n: value} for value in nearby(content[n], further))
        for n in others:
            yield from ({n: value} for value in near_neighbours(n, content, around, steps // 2))
            yield from ({n: value} for value in nearby(content[n], steps))
        yield from ({n: value} for n in _ENERGY for value in digit_pairs(content.get(n)))


def _pairs(first: Mapping[int, list[Any]]) -> Iterator[Mapping[int, Any]]:
    """Two fields at once: a register with its advance, a register with its start."""
    for one, other in combinations(first, 2):
        for value in first[one][:_PAIRS_OF_EACH]:
            for second in first[other][:_PAIRS_OF_EACH]:
                yield {one: value, other: second}


def _with_payloads(message: Sign1, payloads: Iterable[bytes | None]) -> Iterator[Sign1]:
    return (
        Sign1(message.protected, payload, message.signature)
        for payload in payloads
        if payload is not None
    )


class Rebuild:
    """Makes payloads that differ from one in given fields, without encoding the others again."""

    def __init__(self, content: Content) -> None:
        self._parts = {key: self._item(key, value) for key, value in content.items()}

    @staticmethod
    def _item(key: Any, value: Any) -> bytes:
        return cbor.encode(key) + cbor.encode(value)

    def __call__(self, changes: Mapping[int, Any]) -> bytes | None:
        """The payload with these fields instead; None when a value cannot be encoded."""
        parts = dict(self._parts)
        try:
            for key, value in changes.items():
                if value is ABSENT:
                    parts.pop(key, None)
                else:
                    parts[key] = self._item(key, value)
        except Malformed:
            return None
        head = [0xA0 | len(parts)] if len(parts) < 24 else [0xB8, len(parts)]
        return bytes(head) + b"".join(sorted(parts.values()))


def changes_of(found: Sign1, true: Sign1) -> tuple[Change, ...]:
    """What differs between a message as found and as it was signed."""
    changes = [
        *_differences("header", found.protected, true.protected),
        *_differences("payload", found.payload, true.payload),
    ]
    if found.signature != true.signature:
        changes.append(Change("signature", 0, found.signature, true.signature))
    return tuple(changes)


def _differences(part: str, found: bytes, true: bytes) -> Iterator[Change]:
    before, after = content_of(found), content_of(true)
    assert after is not None, "a guess that was proved is a reading"
    if before is None:
        yield from _differences_in_bytes(part, found, true, after)
        return
    for key in sorted(before.keys() | after.keys(), key=cbor.encode):
        one, other = before.get(key, ABSENT), after.get(key, ABSENT)
        if one != other or type(one) is not type(other):
            yield Change(part, key, one, other)


def _differences_in_bytes(part: str, found: bytes, true: bytes, after: Content) -> Iterator[Change]:
    """Bytes that are no map any more: the field in whose bytes the first difference lies."""
    place = next((i for i, (a, b) in enumerate(zip(found, true, strict=False)) if a != b), 0)
    end = 1
    for key, value in after.items():
        end += len(cbor.encode(key) + cbor.encode(value))
        if place < end or key == max(after):
            yield Change(part, key, f"byte {found[place]:02x} at {place}, no map any more", value)
            return
