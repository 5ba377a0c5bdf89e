# mypy: ignore-errors
"""A meter on the bench, under CPython or MicroPython: its time, its element and its power in hand.

Decides nothing about meters; it plays the world around one. The signer is a fake that is as
deterministic as a real one with RFC 6979, and remembers what it was asked to sign.
"""

import hashlib

T = 1_751_328_000
"""2025-07-01 00:00 UTC, where an interval begins."""

WRAP = 1 << 30
"""Where `time.ticks_ms` of a board begins anew."""


class Ticks:
    """A board's millisecond counter, which wraps."""

    def __init__(self, now: int = WRAP - 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now % WRAP

    @staticmethod
    def diff(later: int, earlier: int) -> int:
        return (later - earlier + WRAP // 2) % WRAP - WRAP // 2


class Element:
    """Energy that flows evenly: 3 mWh in, 1 mWh out, every millisecond of true time."""

    def __init__(self, world, volatile=False):
        self._world, self.volatile = world, volatile
        self._from_ms = world.true_ms if volatile else 0

    def read(self, at_ms):
        passed = self._world.true_ms - self._from_ms
        return 3 * passed, passed

    def measure(self):
        return None


class FakeSigner:
    """Signs at once, with hashes; `asked` are the messages."""

    public = bytes(range(64))
    in_flash = True

    def __init__(self):
        self.asked = []

    def sign(self, message):
        self.asked.append(bytes(message))
        yield
        half = hashlib.sha256(message).digest()
        return half + half


def decode(data: bytes):
    """The CBOR item at the start of `data`; only what a meter writes."""
    return _item(data, 0)[0]


def _item(data, at):
    kind, number = data[at] >> 5, data[at] & 31
    at += 1
    if number >= 24:
        size = 1 << number - 24
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    if kind < 2:
        return (number if kind == 0 else -1 - number), at
    if kind < 4:
        text = bytes(data[at : at + number])
        return (text if kind == 2 else text.decode()), at + number
    items = []
    for _ in range(1 if kind == 6 else number * (kind - 3)):
        item, at = _item(data, at)
        items.append(item)
    if kind == 5:
        return {items[i]: items[i + 1] for i in range(0, len(items), 2)}, at
    return (items[0] if kind == 6 else items), at


def payload_of(signed: bytes) -> dict:
    """The fields of a signed record or event."""
    return decode(decode(signed)[2])
