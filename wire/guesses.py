"""What a changed field may have said before: guesses, from likely to far-fetched.

Decides which values are worth trying, in which order. `implied` are those that the neighbours, the
registry and the record's own other fields suggest; `nearby` are those from which a forger, or a
fault of the storage, would get to the value that was found: other digits, a flipped bit, another
byte. Nothing here is evidence: `wire.forensics` tries each against a signature or a hash.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any, Final

from wire import cbor
from wire.errors import Malformed

ABSENT: Final = object()
"""Stands for a key that is not there."""

Content = Mapping[Any, Any]
"""A payload, decoded."""

_COUNTED_S = 301
_BOTH = (1, -1)
_TEXT_BYTES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_ARRAYS = (14, 20, 21, 22)


@dataclass(frozen=True)
class Around:
    """What is known about a record from elsewhere."""

    before: Content = field(default_factory=dict)
    """The record before it, when it stands."""

    after: Content = field(default_factory=dict)
    """The record after it."""

    registered: Content = field(default_factory=dict)
    """Values that must be, by field."""

    known: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    """Further values to try, by field (all registered nodes, for instance)."""

    previous_hash: bytes | None = None
    """SHA-256 of the signed bytes of the record before."""

    accused: tuple[int, ...] = ()
    """Fields that contradict something: they are tried first."""


def content_of(payload: bytes) -> Content | None:
    """A payload as a map of at most 255 keys; None when it is none."""
    try:
        content = cbor.decode(payload)
    except Malformed:
        return None
    return content if isinstance(content, dict) and len(content) < 256 else None


def implied(number: int, found: Content, around: Around) -> Iterator[Any]:
    """What everything else suggests for a field, without what was found; likely ones first."""
    seen = {repr(found.get(number, ABSENT))}
    for value in _suggested(number, found, around):
        if repr(value) not in seen and not (isinstance(value, int) and value < 0):
            seen.add(repr(value))
            yield value


def _suggested(number: int, found: Content, around: Around) -> Iterator[Any]:
    before, after = around.before, around.after
    if number == 1:
        yield 1
    if number in around.registered:
        yield around.registered[number]
    yield from around.known.get(number, ())
    if number == 15:
        if around.previous_hash is not None:
            yield around.previous_hash
        yield bytes(32)
    elif number in (6, 7, 8, 9):
        yield from _energy(number, found, before, after)
    elif number in (4, 10, 12):
        yield from _running(number, found, before, after)
    else:
        yield from (record[number] for record in (before, after) if number in record)
        yield from _others(number, found, before, after)


def _energy(number: int, found: Content, before: Content, after: Content) -> Iterator[int]:
    """Registers from advances, advances from registers."""
    register, advance = (number, number + 2) if number < 8 else (number - 2, number)
    start = before.get(register)
    end = after[register] - after[advance] if register in after else None
    if number == register:
        if start is not None and _whole(found.get(advance)):
            yield start + found[advance]
        if end is not None:
            yield end
    elif start is not None:
        if _whole(found.get(register)):
            yield found[register] - start
        if end is not None:
            yield end - start


def _running(number: int, found: Content, before: Content, after: Content) -> Iterator[int]:
    """What grows by a known step from record to record."""
    length_s = found.get(5)
    step = 1 if number == 10 else length_s if _whole(length_s) and length_s else 900
    now = [found[number]] if _whole(found.get(number)) else []
    up = [before[number]] if number in before else []
    down = [after[number]] if number in after else []
    yield from (value + step for value in up)
    yield from (value - step for value in down)
    if number == 4:
        yield from (value + count * step for count in range(2, 97) for value in up)
        yield from (value - count * step for count in range(2, 97) for value in down)
        yield from (value // step * step + n * step for n in range(-96, 97) for value in now)
    if number == 12:
        bases = [base + ran_s for base in up + now for ran_s in (step, 0)]
        yield from (
            base + sign * s for s in range(1, _COUNTED_S) for base in bases for sign in _BOTH
        )


def _others(number: int, found: Content, before: Content, after: Content) -> Iterator[Any]:
    if number in (11, 18) and number in before:
        most = min(after.get(number, before[number]), before[number] + 256)
        yield from range(before[number] + 1, most + 1)
        yield before[number] + 1
    if number == 13:
        bases = [content[13] for content in (found, before, after) if _whole(content.get(13))]
        yield from (base ^ 1 << bit for base in bases for bit in range(32))
    if number in _ARRAYS:
        yield from _arrays(number, found, before, after)
    if number >= 20:
        yield ABSENT


def _arrays(number: int, found: Content, before: Content, after: Content) -> Iterator[Any]:
    """One item exchanged for a neighbour's, or for what the registers say."""
    if number == 20:
        yield from _reactive(found.get(20), before.get(20), after.get(20))
    items = found.get(number)
    if isinstance(items, list):
        for other in (before.get(number), after.get(number)):
            if isinstance(other, list) and len(other) == len(items):
                for i in range(len(items)):
                    yield [*items[:i], other[i], *items[i + 1 :]]


def _reactive(items: Any, before: Any, after: Any) -> Iterator[list[int]]:
    """Field 20 from its neighbours alone, or one item of it from the three others."""
    if before is None:
        return
    if after is not None:
        ends = [after[i] - after[i + 2] for i in (0, 1)]
        yield [*ends, ends[0] - before[0], ends[1] - before[1]]
    if isinstance(items, list) and len(items) == 4 and all(map(_whole, items)):
        for i in (0, 1):
            for place, value in ((i, before[i] + items[i + 2]), (i + 2, items[i] - before[i])):
                yield [*items[:place], value, *items[place + 1 :]]


def near_neighbours(number: int, found: Content, around: Around, reach: int) -> Iterator[Any]:
    """One item of an array exchanged for what is near a neighbour's (a place, an age, a bound)."""
    items = found.get(number)
    for other in (around.before.get(number), around.after.get(number)):
        if isinstance(items, list) and isinstance(other, list) and len(items) == len(other):
            for place in range(len(items)):
                for value in nearby(other[place], reach):
                    yield [*items[:place], value, *items[place + 1 :]]


def nearby(value: Any, reach: int) -> Iterator[Any]:
    """Values from which a forger or a fault would get to this one; `reach` steps up and down."""
    if _whole(value):
        yield from _near_number(value, reach)
    elif isinstance(value, bytes):
        for place in range(len(value)):
            head, rest = value[:place], value[place + 1 :]
            yield from (head + bytes([byte]) + rest for byte in range(256))
    elif isinstance(value, str):
        yield from _near_text(value)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            for other in nearby(item, reach):
                yield [*value[:place], other, *value[place + 1 :]]


def _near_number(value: int, reach: int) -> Iterator[int]:
    digits = str(abs(value))
    if len(digits) <= 20:
        sign = -1 if value < 0 else 1
        for place in range(len(digits)):
            yield from (
                sign * int(digits[:place] + digit + digits[place + 1 :]) for digit in "0123456789"
            )
        yield from (value * 10 + digit for digit in range(10))
        yield from (value // 10, -value, value * 1000, value // 1000)
    yield from (value ^ 1 << bit for bit in range(48))
    for delta in range(1, reach + 1):
        yield value + delta
        yield value - delta


def digit_pairs(value: Any) -> Iterator[int]:
    """A number with two of its digits changed."""
    digits = str(value) if _whole(value) else ""
    for one, other in combinations(range(len(digits[:20])), 2):
        for pair in range(100):
            first, second = divmod(pair, 10)
            changed = f"{digits[:one]}{first}{digits[one + 1 : other]}{second}{digits[other + 1 :]}"
            yield int(changed)


def _near_text(value: str) -> Iterator[str]:
    for place in range(len(value)):
        yield from (value[:place] + letter + value[place + 1 :] for letter in _TEXT_BYTES)
        yield value[:place] + value[place + 1 :]
    for place in range(len(value) + 1):
        yield from (value[:place] + letter + value[place:] for letter in _TEXT_BYTES)


def flips(data: bytes) -> Iterator[bytes]:
    """Every one-bit change of some bytes."""
    for place in range(len(data)):
        head, rest = data[:place], data[place + 1 :]
        yield from (head + bytes([data[place] ^ 1 << bit]) + rest for bit in range(8))


def fields_of(found: Content, around: Around) -> list[int]:
    """Fields that are or may have been there, in the order in which they are tried."""
    keys = chain(range(1, 20), found, around.before, around.after)
    numbers = {key for key in keys if type(key) is int}
    return sorted(numbers, key=lambda key: (key not in around.accused, key))


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0
