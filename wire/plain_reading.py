"""The one encoding of a signed reading, as a regular expression: canonical or not in a microsecond.

A validator opens every reading of its network, and half of that time went into encoding it again
to see whether its bytes are the only ones possible. A reading is a fixed row of keys in a fixed
envelope, so that its deterministic encoding (RFC 8949 §4.2.1) is a regular language, but for the
payload's length, which is compared. Decides nothing of its own: what is not recognised here goes
the general way through `wire.cose` and `wire.reading`, which also says what is wrong with it.
"""

import re

_WIDE = rb"\x1b(?!\0\0\0\0)[\0-\x7f].{7}"  # Up to 2^63 - 1, as the fields of a reading.
_POSITIVE = rb"[\x00-\x17]|\x18[\x18-\xff]|\x19(?!\0).{2}|\x1a(?!\0\0).{4}|" + _WIDE
_NEGATIVE = rb"[\x20-\x37]|\x38[\x18-\xff]|\x39(?!\0).{2}|\x3a(?!\0\0).{4}|\x3b(?!\0\0\0\0).{8}"
_UINT = b"(?:" + _POSITIVE + b")"
_INT = b"(?:" + _POSITIVE + b"|" + _NEGATIVE + b")"


def _string(major: int, lengths: range, octet: bytes) -> bytes:
    """A text or byte string of one of these lengths, each after its shortest head."""
    forms = []
    for size in lengths:
        head = bytes([major | size] if size < 24 else [major | 24, size])
        forms.append(re.escape(head) + b"%b{%d}" % (octet, size))
    return b"(?:" + b"|".join(forms) + b")"


def _identifier(most: int) -> bytes:
    """Text of 1 to `most` characters as `wire.fields.identifier` wants them."""
    starts = rb"(?:.|\x78.)(?=[A-Za-z0-9])"
    return b"(?=" + starts + b")" + _string(0x60, range(1, most + 1), rb"[A-Za-z0-9._-]")


_FIELDS: dict[int, bytes] = {
    1: rb"\x01",
    2: _identifier(20),
    3: _identifier(33),
    **dict.fromkeys(range(4, 14), _UINT),
    14: rb"\x84[\x00-\x03]" + 3 * _UINT,
    15: rb"\x58\x20.{32}",
    16: rb"\x44.{4}",
    17: rb"\x48.{8}",
    18: _UINT,
}
_ROW = b"".join(re.escape(bytes([key])) + form for key, form in _FIELDS.items())
_REACTIVE = rb"\x14\x84" + 4 * _UINT
_WORDS = _string(0x40, range(129), b".")
_SOURCE = rb"\x16\x84\x48.{8}" + _WORDS + 2 * _INT
_MODBUS, _OTHER = rb"\x13\x01", rb"\x13[\x00\x02\x03]"
_ENDS = {
    "nineteen": _OTHER,
    "twenty": b"(?:" + _OTHER + _REACTIVE + b"|" + _MODBUS + _SOURCE + b")",
    "twenty_one": _MODBUS + _REACTIVE + _SOURCE,
}
"""What stands at the end of a map of so many pairs."""

_PAYLOAD = rb"(?:(?P<nineteen>\xb3)|(?P<twenty>\xb4)|\xb5)%b(?(nineteen)%b|(?(twenty)%b|%b))" % (
    _ROW,
    *_ENDS.values(),
)
_HEADER = rb"\xa3\x01[\x26\x27]\x03\x18\x3c\x04\x48.{8}"
_SIZE = rb"\x58(?P<short>.)|\x59(?P<long>[^\0].)"
_ENVELOPE = rb"\xd2\x84(?P<protected>\x50%b)\xa0(?P<content>(?:%b)(?P<payload>%b))\x58\x40.{64}"
_SIGNED = re.compile(_ENVELOPE % (_HEADER, _SIZE, _PAYLOAD), re.DOTALL)
_CUT = ("protected", "content", "short", "long", "payload")


def cut_plain(signed: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Cut the signed parts out of a plain signed reading; None: it is none.

    What is cut is canonical. The header has algorithm, content type 60 and kid, and nothing else;
    the payload is one that `Reading.from_payload` takes: the keys 1 to 19, 20 or not, 22 for
    origin 1 and no other, each of its type and range. Position and extra keys are not plain. None
    promises nothing.

    Returns:
        The protected header as it stands encoded, with its length; the payload as it stands
        encoded; the payload.
    """
    found = _SIGNED.fullmatch(signed)
    if found is None:
        return None
    protected, content, short, long, payload = found.group(*_CUT)
    same = len(payload) == int.from_bytes(short or long)
    return (protected, content, payload) if same else None
