"""What validators say to each other, by kind: how large it may be, how often, and what goes first.

Decides from a frame's first bytes what it is, so that most of what is too large, too often or
unasked for is never read, and how many CBOR items it may be made of, so that nothing expensive is
decoded. What the frames mean is decided in `exchange`, what follows from too many in `conduct`.
"""

from dataclasses import dataclass
from enum import IntEnum

from wire import cbor
from wire.errors import Malformed

MAX_FRAME = 8 * 1024 * 1024
"""No frame is larger."""

HEAD = 64
"""So many bytes of a frame tell what it is."""

MOST_FINAL = 2 * 1024 * 1024
"""Final blocks in one answer, bytes; a single larger one goes alone."""

KIB = 1024


class Priority(IntEnum):
    """What goes first to a peer."""

    VOTES = 0
    BLOCKS = 1
    BATCHES = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may come from one peer."""

    per_s: float
    """Sustained, units a second."""

    at_once: float
    """What may come at once after a silence."""


RATES = {
    "votes": Rate(400, 2_000),
    "heights": Rate(50, 200),
    "news": Rate(50, 2_000),
    "questions": Rate(200, 1_000),
}
"""Units: signatures to check, heights told, transactions and evidence, look-ups in the ledger."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of frame."""

    name: str
    """Its name; consensus messages by their own."""

    priority: Priority
    """What goes first."""

    most_bytes: int
    """No honest frame of the kind is larger."""

    most_items: int
    """CBOR items in it, byte strings counting as one."""

    rate: str = ""
    """Which of RATES holds; empty for an answer, which comes only when asked for."""

    cost: float = 1.0
    """Units of that rate."""

    answer: str = ""
    """The kind that answers it; empty when it is no question."""


_VOTE, _LOOK = "votes", "questions"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("status", Priority.VOTES, 64, 3, "heights"),
        Kind("ping", Priority.VOTES, 64, 3, "heights", answer="pong"),
        Kind("pong", Priority.VOTES, 64, 3),
        Kind("prepare", Priority.VOTES, 512, 3, _VOTE),
        Kind("commit", Priority.VOTES, 512, 3, _VOTE),
        Kind("round-change", Priority.VOTES, 32 * KIB, 3, _VOTE, 20),
        Kind("proposal", Priority.VOTES, 4 * KIB * KIB, 3, _VOTE, 20),
        Kind("evidence", Priority.BLOCKS, 8 * KIB, 3, "news", 2),
        Kind("transaction", Priority.BLOCKS, 65 * KIB, 3, "news"),
        Kind("get-block", Priority.VOTES, 64, 3, _LOOK, answer="block"),
        Kind("get-batch", Priority.VOTES, 64, 3, _LOOK, answer="batch"),
        Kind("get-final", Priority.VOTES, 64, 4, _LOOK, 5, answer="final"),
        Kind("block", Priority.BLOCKS, 4 * KIB * KIB, 4),
        Kind("final", Priority.BLOCKS, MAX_FRAME, 300),
        Kind("batch", Priority.BATCHES, 520 * KIB, 4),
    )
}


def kind_of(head: bytes) -> Kind:
    """Tell from a frame's first bytes what it is; raises Malformed.

    A frame is an array that begins with its name; in a consensus frame the message follows as a
    byte string, which is again an array that begins with its name.
    """
    try:
        name, rest = _name(head)
        if name == "consensus":
            name, _ = _name(head[_string(head, rest) :])
    except (IndexError, UnicodeDecodeError):
        raise Malformed("a frame is an array that begins with its name") from None
    kind = KINDS.get(name)
    if kind is None:
        raise Malformed(f"a frame of unknown name {name[:20]!r}")
    return kind


def _name(data: bytes) -> tuple[str, int]:
    """The short text that begins an array, and where it ends."""
    array = data[0]
    if not 0x81 <= array <= 0x97 and array not in (0x98, 0x99):
        raise Malformed("a frame is an array that begins with its name")
    at = 1 + {0x98: 1, 0x99: 2}.get(array, 0)
    text = data[at]
    if not 0x60 <= text <= 0x77 or at + 1 + (text - 0x60) > len(data):
        raise Malformed("a frame begins with its name")
    end = at + 1 + (text - 0x60)
    return data[at + 1 : end].decode(), end


def _string(data: bytes, at: int) -> int:
    """Where the content of the byte string begins whose head stands there."""
    if data[at] >> 5 != 2:
        raise Malformed("a consensus frame holds a byte string")
    following = {24: 1, 25: 2, 26: 4}
    return at + 1 + following.get(data[at] & 31, 0)


def check_size(data: bytes, most_items: int, longest: int = MAX_FRAME) -> None:
    """Count the CBOR items of a value before it is decoded; raises Malformed.

    Decoding a million small integers takes as long as checking two thousand signatures; nobody
    honest sends them.

    Args:
        data: one encoded value; what else is wrong with it the decoder says.
        most_items: items allowed, containers and what is in them.
        longest: bytes allowed in one string.
    """
    at, left, count = 0, 1, 0
    while left > 0 and at < len(data):
        major, argument = data[at] >> 5, data[at] & 31
        at += 1
        if argument > 23:
            size = 1 << (argument - 24)
            argument = int.from_bytes(data[at : at + size], "big")
            at += size
        left, count = left - 1, count + 1
        if major in (2, 3):
            at += argument
            if argument > longest:
                raise Malformed(f"a string of {argument} bytes; at most {longest}")
        else:
            left += {4: argument, 5: 2 * argument, 6: 1}.get(major, 0)
        if count + left > most_items:
            raise Malformed(f"more than {most_items} CBOR items")


def decode(data: bytes, kind: Kind) -> list[object]:
    """Decode a frame of a kind; raises Malformed."""
    check_size(data, kind.most_items)
    frame = cbor.decode(data)
    if not isinstance(frame, list) or not frame:
        raise Malformed("a frame is an array that begins with its name")
    return frame
