"""The record window of a meter that signs: fetch by sequence, verify before anything is kept.

Decides how records are read out of a meter's holding registers, and that a record counts only when
it is this meter's, of the sequence that was asked for, signed by its registered key. A second
master at the window can cost a fetch, never mix up a record, because the record names itself.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.lines.frames import READ_HOLDING, WRITE_MULTIPLE, Garbled, Request
from gateway.polling.schedule import INTERVAL_S
from gateway.registered import SigningMeter
from wire.errors import Malformed, Refused
from wire.reading import ORIGIN_OWN_ELEMENT, SignedReading

BASE = 0xF000
MAGIC = 0x4557
LAYOUT = 1
HEADER_WORDS = 11
_FENCE_WORDS = range(13, 29)
"""Lengths that no other read of the window has."""

_WANTED, _NOW = BASE + 6, BASE + 8
_NOW_WORDS = 3
_IDENTITY, _ID_WORDS, _KEY_WORDS = BASE + 16, 40, 32
_RECORD = BASE + 128
_MOST_RECORD = 256
_MOST_WORDS = 120
_NONE = 0xFFFFFFFF
_MOST_START_S = 2**32

Ask = Callable[[Request], Awaitable[tuple[int, ...]]]


class WrongMeter(Refused):
    """What answers is not the registered meter: another id, another key, or no window at all."""

    code = "wrong-meter"


class NotThere(Garbled):
    """The window does not show the record that was asked for: another master may have asked too."""

    code = "not-in-window"


class BadRecord(Refused):
    """A record that will not be witnessed, with its bytes."""

    code = "bad-record"

    def __init__(self, content: bytes, reason: str) -> None:
        super().__init__(reason)
        self.content = content
        """The record as it was read."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a meter keeps."""

    records: int
    """How many records it has ever made: the sequence of the next one."""

    tail: int
    """Sequence of the oldest that it keeps."""


def fences(unit: int) -> list[Request]:
    """Reads of other lengths than every other read of the window."""
    return [Request(unit, READ_HOLDING, BASE, words) for words in _FENCE_WORDS]


async def identity(ask: Ask, unit: int) -> tuple[str, bytes]:
    """The meter id and the public key that a unit shows, whoever it is."""
    octets = _octets(await ask(Request(unit, READ_HOLDING, _IDENTITY, _ID_WORDS + _KEY_WORDS)))
    name = octets[: 2 * _ID_WORDS].partition(b"\0")[0].decode("ascii", "replace")
    return name, octets[2 * _ID_WORDS :]


async def check_identity(ask: Ask, meter: SigningMeter) -> None:
    """See that the meter with this id and key answers; raises WrongMeter."""
    name, key = await identity(ask, meter.unit)
    if name != meter.id:
        raise WrongMeter(f"unit {meter.unit} says it is {name!r}, not {meter.id}")
    if key != meter.key.raw:
        raise WrongMeter(f"meter {meter.id} shows another key than the registered one")


async def look(ask: Ask, meter: SigningMeter) -> Window:
    """Read which records there are; raises WrongMeter when there is no window."""
    words = await ask(Request(meter.unit, READ_HOLDING, BASE, HEADER_WORDS))
    if words[:2] != (MAGIC, LAYOUT):
        raise WrongMeter(f"unit {meter.unit} has no record window of layout {LAYOUT}")
    return Window(_long(words[2:4]), _long(words[4:6]))


async def fetch(ask: Ask, meter: SigningMeter, sequence: int) -> SignedReading:
    """Read one record and verify it; raises NotThere, BadRecord."""
    wanted = (sequence >> 16, sequence & 0xFFFF)
    what_is_there = Request(meter.unit, READ_HOLDING, _NOW, _NOW_WORDS)
    await ask(Request(meter.unit, WRITE_MULTIPLE, _WANTED, 2, wanted))
    now = await ask(what_is_there)
    if _long(now[:2]) != sequence or not 0 < now[2] <= _MOST_RECORD:
        raise NotThere(f"record {sequence} is not in the window of {meter.id}")
    words: tuple[int, ...] = ()
    total = (now[2] + 1) // 2
    while len(words) < total:
        count = min(total - len(words), _MOST_WORDS)
        words += await ask(Request(meter.unit, READ_HOLDING, _RECORD + len(words), count))
    try:
        return verified(_octets(words)[: now[2]], meter, sequence)
    except BadRecord:
        if await ask(what_is_there) != now:
            raise NotThere(f"another master took record {sequence} from the window") from None
        raise


def verified(content: bytes, meter: SigningMeter, sequence: int) -> SignedReading:
    """Open a record and check that it is the meter's own; raises BadRecord."""
    try:
        record = SignedReading.open(content)
        reading = record.reading
        if reading.meter != meter.id or reading.origin != ORIGIN_OWN_ELEMENT:
            raise Malformed(f"it is a reading of {reading.meter}, origin {reading.origin}")
        if reading.sequence != sequence:
            raise Malformed(f"it has sequence {reading.sequence}, not {sequence}")
        if not 0 <= reading.interval_start_s < _MOST_START_S or reading.interval_s != INTERVAL_S:
            raise Malformed(f"interval of {reading.interval_s} s at {reading.interval_start_s} s")
        record.verify(meter.key)
    except Refused as reason:
        raise BadRecord(content, f"{meter.id}, record {sequence}: {reason}") from None
    return record


def _long(words: tuple[int, ...]) -> int:
    return words[0] << 16 | words[1]


def _octets(words: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(2, "big") for word in words)
