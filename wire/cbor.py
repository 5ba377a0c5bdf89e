"""Deterministic CBOR (RFC 8949 §4.2.1): one value, one encoding, integers only.

Decides which byte strings are canonical; leaves the meaning of the values to the formats. Allowed
are integers of 64 bits, byte and text strings, arrays, maps with integer or text keys, booleans,
null and tags without a meaning of their own to the library. Floats, indefinite lengths, bignums,
undefined, duplicate keys, trailing bytes and every encoding that is not the shortest are refused on
the way in and cannot be produced on the way out.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import cbor2

from wire.errors import Malformed

Tag = cbor2.CBORTag

MAX_DEPTH = 16
"""Containers within containers. A whole block with its commit needs 6."""

_UINT64_MAX = 2**64 - 1

# Tags to which the library gives a meaning (dates, bignums, decimals, shared values, regular
# expressions, UUIDs ...). None of them occurs on our wire, and some make decoding arbitrarily
# expensive, so they are refused by number.
_LIBRARY_TAGS = (
    0,
    1,
    2,
    3,
    4,
    5,
    25,
    28,
    29,
    30,
    35,
    36,
    37,
    52,
    54,
    100,
    256,
    258,
    260,
    261,
    1004,
    43000,
    55799,
)


def _refuse_tag(*_: Any) -> NoReturn:
    raise Malformed("a tag that this format does not use")


_DECODERS = dict.fromkeys(_LIBRARY_TAGS, _refuse_tag)


def _map_key(key: object) -> bytes:
    if type(key) is int or type(key) is str:
        return cbor2.dumps(key)
    raise Malformed(f"a map key of type {type(key).__name__}: only integers and text are allowed")


def _ordered_map(value: Mapping[Any, Any]) -> dict[Any, Any]:
    keys = list(value)
    previous = -1
    for key in keys:
        # Ascending unsigned keys are already in canonical order: the common case, kept cheap.
        if type(key) is not int or key <= previous:
            keys.sort(key=_map_key)
            break
        previous = key
    return {key: _ordered(value[key]) for key in keys}


def _ordered(value: Any) -> Any:
    """Return `value` as plain lists and dicts, every map in canonical order; refuse the rest."""
    kind = type(value)
    if kind is bytes or kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not -_UINT64_MAX - 1 <= value <= _UINT64_MAX:
            raise Malformed("an integer of more than 64 bits")
        return value
    if kind is list or kind is tuple:
        return [_ordered(item) for item in value]
    if kind is Tag:
        return Tag(value.tag, _ordered(value.value))
    if isinstance(value, Mapping):  # Also the immutable mapping that the library puts inside tags.
        return _ordered_map(value)
    raise Malformed(f"a value of type {kind.__name__} has no place in these formats")


def encode(value: Any) -> bytes:
    """Encode `value` deterministically.

    Raises:
        Malformed: a float, an integer of more than 64 bits, or a type that the formats do not use.
    """
    try:
        return cbor2.dumps(_ordered(value))
    except (UnicodeEncodeError, RecursionError) as reason:
        raise Malformed(f"nested too deeply, or text that is no Unicode: {reason}") from None


def decode(data: bytes) -> Any:
    """Decode exactly one canonical value; arrays become lists, tags become `Tag`.

    Raises:
        Malformed: not CBOR, not canonical, nested too deeply, or bytes left over.
    """
    try:
        value = cbor2.loads(
            data,
            semantic_decoders=_DECODERS,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        plain = _ordered(value)
        again = cbor2.dumps(plain)
    except Malformed:
        raise
    except cbor2.CBORDecodeEOF:
        raise Malformed("not CBOR: it breaks off" if data else "it is empty") from None
    except (
        cbor2.CBORError,
        ValueError,
        OverflowError,
        MemoryError,
        RecursionError,
        TypeError,
    ) as reason:
        raise Malformed(f"not CBOR: {reason}") from None
    if again != data:
        raise Malformed("not deterministic CBOR, or bytes left over")
    return plain


def decode_canonical(data: bytes) -> Any:
    """Decode what is known to be one canonical value of these formats, without looking again."""
    return cbor2.loads(data)
