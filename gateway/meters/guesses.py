"""What unknown registers could mean, for a person who looks for a value he knows from a display."""

from collections.abc import Sequence

from gateway.meters.template import HIGH_FIRST, LOW_FIRST, Number
from gateway.meters.words import number_of, words_bytes

_LOOKED_AT = (
    ("u16", HIGH_FIRST, 1),
    ("s16", HIGH_FIRST, 1),
    ("u32", HIGH_FIRST, 2),
    ("u32", LOW_FIRST, 2),
    ("float32", HIGH_FIRST, 2),
    ("float32", LOW_FIRST, 2),
    ("u64", HIGH_FIRST, 4),
)
_SHORT = {HIGH_FIRST: "", LOW_FIRST: " low first"}
_FLOATS = (1e-6, 1e12)
"""A float outside of this is no float."""


def guesses(words: Sequence[int]) -> dict[str, str]:
    """Readings of the first of these registers, by type; what is plainly none is left out."""
    found: dict[str, str] = {}
    for kind, order, size in _LOOKED_AT:
        value = number_of(Number(kind, order), words) if len(words) >= size else None
        if value is None or (kind == "s16" and value >= 0):
            continue
        if kind.startswith("float"):
            if value and not _FLOATS[0] <= abs(value) <= _FLOATS[1]:
                continue
            found[f"{kind}{_SHORT[order]}"] = f"{float(value):g}"
        else:
            found[f"{kind}{_SHORT[order]}"] = str(value)
    text = words_bytes(words[:1]).decode("latin-1")
    if text.isprintable() and text.isascii():
        found["text"] = text
    return found
