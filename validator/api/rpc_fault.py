"""A fault of one call, and how parameters of a call are read."""

import base64
import binascii
from typing import Any

from validator.api.parameters import LARGEST
from validator.api.sources import Sources

INVALID_PARAMS = -32_602


class RpcFault(Exception):
    """Why a call has no result."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        """As JSON-RPC 2.0 numbers them."""
        self.data = data
        """More about it; None for nothing."""


def integer(value: Any, name: str, most: int = LARGEST) -> int:
    """A number, or decimal digits; raises RpcFault."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 19:
        value = int(value)
    if type(value) is not int or not 0 <= value <= most:
        raise RpcFault(INVALID_PARAMS, f"{name}: a number from 0 to {most}")
    return value


def height_of(sources: Sources, value: Any) -> int:
    """A block's height; none or 0 means the newest. Raises RpcFault when there is no such block."""
    height = 0 if value is None else integer(value, "height")
    height = height or sources.height
    if not 1 <= height <= sources.height:
        raise RpcFault(INVALID_PARAMS, f"height: 1 to {sources.height} by now")
    return height


def octets(value: Any, name: str) -> bytes:
    """Bytes as base64, or as hexadecimal behind 0x; raises RpcFault."""
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return bytes.fromhex(value[2:])
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise RpcFault(INVALID_PARAMS, f"{name}: base64, or 0x and hexadecimal") from None


def digest(value: Any, name: str) -> bytes:
    """A hash of 32 bytes as hexadecimal, with or without 0x, or base64; raises RpcFault."""
    text = value.removeprefix("0x") if isinstance(value, str) else value
    try:
        found = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        found = b""
    if len(found) != 32:
        raise RpcFault(INVALID_PARAMS, f"{name}: 64 hexadecimal digits")
    return found
