"""Frames in octets that were heard on a line, by somebody who asked nothing: pure.

Decides where one Modbus RTU frame ends and the next begins, by length and check sum, and what it
is: a request, a reply, an exception. What belongs to no frame is noise. Lengths alone tell a
request from a reply: the request for a read has eight octets, its reply never.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.lines.frames import READ_HOLDING, READ_INPUT, WRITE_MULTIPLE, check_sum
from gateway.meters.words import bytes_words

_READS = (READ_HOLDING, READ_INPUT)
_WRITES = (6, WRITE_MULTIPLE)
_REQUEST, _EXCEPTION = 8, 5
_READ_OVERHEAD, _WRITE_OVERHEAD = 5, 9
_LONGEST = 256
_SHORTEST = 4
_ERROR_BIT = 0x80


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame, or noise."""

    octets: bytes
    """As they were heard."""

    whole: bool
    """Whether it is a frame with a right check sum."""

    says: str
    """In words."""

    @property
    def unit(self) -> int:
        """The address in it; 0 for noise."""
        return self.octets[0] if self.whole else 0

    @property
    def function(self) -> int:
        """Its function code; 0 for noise."""
        return self.octets[1] if self.whole else 0


def frames_in(octets: bytes) -> list[Seen]:
    """Split what was heard between two silences into frames and noise, in order."""
    return list(_split(octets))


def _split(octets: bytes) -> Iterator[Seen]:
    at = noise = 0
    while at < len(octets):
        size = _frame_size(octets, at)
        if not size:
            at += 1
            continue
        if noise < at:
            yield Seen(octets[noise:at], False, f"{at - noise} octets that are no frame")
        frame = octets[at : at + size]
        yield Seen(frame, True, _words(frame))
        at += size
        noise = at
    if noise < at:
        yield Seen(octets[noise:], False, f"{at - noise} octets that are no frame")


def _frame_size(octets: bytes, at: int) -> int:
    """Length of the frame that begins there; 0 when none does."""
    for size in _sizes(octets, at):
        frame = octets[at : at + size]
        if _SHORTEST <= len(frame) == size <= _LONGEST and check_sum(frame[:-2]) == frame[-2:]:
            return size
    return 0


def _sizes(octets: bytes, at: int) -> Iterator[int]:
    if len(octets) < at + _SHORTEST:
        return
    function = octets[at + 1]
    if function & _ERROR_BIT:
        yield _EXCEPTION
        return
    yield _REQUEST
    if function in _READS:
        yield _READ_OVERHEAD + octets[at + 2]
    elif function == WRITE_MULTIPLE and len(octets) > at + 6:
        yield _WRITE_OVERHEAD + octets[at + 6]
    elif function not in _WRITES:
        # A function that we do not know: whatever length makes the check sum right.
        yield from range(_SHORTEST, min(len(octets) - at, _LONGEST) + 1)


def _words(frame: bytes) -> str:
    function, body = frame[1], frame[2:-2]
    if function & _ERROR_BIT:
        return f"refuses function {function & 0x7F}: exception {body[0]}"
    if function in _READS and len(frame) == _REQUEST:
        first, count = bytes_words(body)
        return f"asked by function {function}: {count} registers from 0x{first:04X}"
    if function in _READS:
        return f"answers function {function}: {body[1:].hex(' ', 2)}"
    if function in _WRITES:
        done = "written" if len(frame) == _REQUEST else "to be written"
        return f"function {function}: register 0x{bytes_words(body[:2])[0]:04X} {done}"
    return f"function {function}, which is not known here: {body.hex(' ')}"
