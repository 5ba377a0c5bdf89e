"""Deterministic CBOR (RFC 8949 §4.2.1), writing only: what a meter says is integers, text, bytes.

A map is written in the order of its encoded keys, so that one record has one form. Reading is left
to others: the meter takes no CBOR from anyone. All is appended to one buffer, as memory is what a
board has least of.
"""


def encode(value):
    """The one encoding of an int, bytes, str, list or dict."""
    made = bytearray()
    _put(made, value)
    return bytes(made)


def tagged(tag, value):
    """A tagged item."""
    made = bytearray()
    _head(made, 6, tag)
    _put(made, value)
    return bytes(made)


def _head(made, major, value):
    major <<= 5
    if value < 24:
        made.append(major | value)
        return
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if not value >> 8 * size:
            made.append(major | code)
            made.extend(value.to_bytes(size, "big"))
            return
    raise ValueError("integer over 64 bits")


def _in_order(keys):
    """As their encodings are; numbers from 0 on are so by themselves."""
    for key in keys:
        if not isinstance(key, int) or key < 0:
            return sorted(keys, key=encode)
    return sorted(keys)


def _put(made, value):
    if isinstance(value, int):
        _head(made, int(value < 0), value if value >= 0 else -1 - value)
    elif isinstance(value, bytes):
        _head(made, 2, len(value))
        made.extend(value)
    elif isinstance(value, str):
        text = value.encode()
        _head(made, 3, len(text))
        made.extend(text)
    elif isinstance(value, list):
        _head(made, 4, len(value))
        for item in value:
            _put(made, item)
    elif isinstance(value, dict):
        _head(made, 5, len(value))
        for key in _in_order(value):
            _put(made, key)
            _put(made, value[key])
    else:
        raise TypeError("CBOR of " + str(type(value)))
