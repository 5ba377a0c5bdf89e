"""Shape checks shared by the formats.

Each returns the value it was given, or refuses it by name.
"""

import re
from typing import Any

from wire.errors import Malformed

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,32}\Z")
UINT64_MAX = 2**64 - 1


def uint(value: Any, name: str, most: int = UINT64_MAX) -> int:
    """An unsigned integer of at most `most`."""
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed(f"{name}: not an integer from 0 to {most}")
    return value


def integer(value: Any, name: str) -> int:
    """A signed integer."""
    if type(value) is not int:
        raise Malformed(f"{name}: not an integer")
    return value


def octets(value: Any, name: str, size: int) -> bytes:
    """A byte string of exactly `size` bytes."""
    if not isinstance(value, bytes) or len(value) != size:
        raise Malformed(f"{name}: not a byte string of {size} bytes")
    return value


def blob(value: Any, name: str, most: int = UINT64_MAX) -> bytes:
    """A byte string of at most `most` bytes."""
    if not isinstance(value, bytes) or len(value) > most:
        raise Malformed(f"{name}: not a byte string of at most {most} bytes")
    return value


def identifier(value: Any, name: str, most: int = 33) -> str:
    """An identifier: `[A-Za-z0-9][A-Za-z0-9._-]{0,32}`, of at most `most` characters."""
    if not isinstance(value, str) or len(value) > most or not _IDENTIFIER.match(value):
        raise Malformed(
            f"{name}: not an identifier of 1 to {most} letters, digits, '.', '_' or '-'"
        )
    return value


def items(value: Any, name: str, count: int | None = None) -> list[Any]:
    """An array, of exactly `count` entries when given."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        wanted = "an array" if count is None else f"an array of {count}"
        raise Malformed(f"{name}: not {wanted}")
    return value
