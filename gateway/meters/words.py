"""Numbers as registers spell them, exactly: integers, and floats taken apart bit by bit.

Decides which words are a number at all. No binary floating point takes part: a float register is a
fraction, and what is rounded is rounded once, by `meters.decode`.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction

from gateway.meters.obis import energy_of
from gateway.meters.template import LOW_FIRST, SIZES, Number

_FLOATS = {"float32": (23, 8), "float64": (52, 11)}
"""Bits of fraction and exponent (IEEE 754)."""


def number_of(number: Number, words: Sequence[int]) -> Fraction | None:
    """The number that the first registers of `words` spell; None when they spell none."""
    size = SIZES[number.kind]
    if len(words) < size:
        return None
    octets = words_bytes(words[:size][::-1] if number.order == LOW_FIRST else words[:size])
    if number.kind == "obis":
        return energy_of(octets)
    bits = int.from_bytes(octets, "big")
    if number.kind in _FLOATS:
        return _float(bits, *_FLOATS[number.kind])
    if number.kind.startswith("s") and bits >> (16 * size - 1):
        bits -= 1 << 16 * size
    return Fraction(bits)


def _float(bits: int, fraction_bits: int, exponent_bits: int) -> Fraction | None:
    """A finite float as a fraction; None for infinities and what is no number."""
    bias = (1 << exponent_bits - 1) - 1
    exponent = bits >> fraction_bits & (1 << exponent_bits) - 1
    mantissa = bits & (1 << fraction_bits) - 1
    if exponent == 2 * bias + 1:
        return None
    if exponent:
        mantissa |= 1 << fraction_bits
    else:
        exponent = 1  # Smaller than every normal number.
    value = mantissa * Fraction(2) ** (exponent - bias - fraction_bits)
    return -value if bits >> (fraction_bits + exponent_bits) else value


def words_bytes(words: Sequence[int]) -> bytes:
    """The words as they came over the wire, big-endian."""
    return struct.pack(f">{len(words)}H", *words)


def bytes_words(octets: bytes) -> tuple[int, ...]:
    """An even number of octets as words."""
    return struct.unpack(f">{len(octets) // 2}H", octets)
