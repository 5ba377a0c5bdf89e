"""Deterministic CBOR (RFC 8949 §4.2.1), writing only: what a meter says is integers, text, bytes.

A map is written in the order of its encoded keys, so that one record has one form. Reading is left
to others: the meter takes no CBOR from anyone.
"""


def _head(major, value):
    major <<= 5
    if value < 24:
        return bytes((major | value,))
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes((major | code,)) + value.to_bytes(size, "big")
    raise ValueError("integer over 64 bits")


def encode(value):
    """The one encoding of an int, bytes, str, list or dict."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join([encode(item) for item in value])
    if isinstance(value, dict):
        return _map(value)
    raise TypeError("CBOR of " + str(type(value)))


def _map(value):
    parts = sorted([(encode(key), encode(item)) for key, item in value.items()])
    return _head(5, len(parts)) + b"".join([key + item for key, item in parts])


def tagged(tag, value):
    """A tagged item."""
    return _head(6, tag) + encode(value)
