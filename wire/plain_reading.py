"""The one encoding of a reading, as a regular expression: canonical or not in half a microsecond.

A validator opens every reading of its network, and half of that time went into encoding it again
to see whether its bytes are the only ones possible. A reading is a fixed row of keys, so that its
deterministic encoding (RFC 8949 §4.2.1) is a regular language. Decides nothing of its own: what is
not recognised here goes the general way through `wire.cbor` and `wire.reading`, which also says
what is wrong with it.
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
_REACTIVE = rb"(\x14\x84" + 4 * _UINT + b")?"
_WORDS = _string(0x40, range(129), b".")
_SOURCE = rb"(\x16\x84\x48.{8}" + _WORDS + 2 * _INT + b")?"
_FORM = re.compile(
    rb"([\xb3-\xb5])" + _ROW + rb"\x13([\x00-\x03])" + _REACTIVE + _SOURCE, re.DOTALL
)

_HEADER = re.compile(rb"\xa3\x01[\x26\x27]\x03\x18\x3c\x04\x48.{8}", re.DOTALL)

_KEYS = 0xB3
"""Head of a map of 19 pairs."""

_MODBUS = b"\x01"


def is_plain_header(protected: bytes) -> bool:
    """Tell whether this is the canonical header of a reading: algorithm, content type 60, kid.

    False promises nothing.
    """
    return _HEADER.fullmatch(protected) is not None


def is_plain(payload: bytes) -> bool:
    """Tell whether these are the canonical bytes of a reading without position or extra keys.

    True promises what `Reading.from_payload` checks: the keys 1 to 19, 20 or not, 22 for origin 1
    and no other, each of its type and range, in its shortest form and in order. False promises
    nothing.
    """
    found = _FORM.fullmatch(payload)
    if found is None:
        return False
    head, origin, reactive, source = found.groups()
    keys = _KEYS + (reactive is not None) + (source is not None)
    return bool(head[0] == keys and (source is not None) == (origin == _MODBUS))
