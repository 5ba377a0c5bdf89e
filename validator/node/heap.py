"""How often Python looks for cycles of garbage in a validator.

A validator's data are trees that reference counting frees: registry, rows, decoded readings by the
ten thousand. Looking through them for cycles after every few hundred new objects took a fifth of
the time of decoding and executing, and found next to nothing. Decides when to look: what is
there at the start never, the young after a good part of a full block, everything seldom.
"""

import gc

YOUNG = 100_000
"""New objects after which the young ones are looked through: a block of 5,000 readings has more."""

MIDDLE = 20
"""Looks at the young ones for one at those that survived it."""

ALL = 10
"""Such looks for one at everything that came since the start."""


def settle() -> None:
    """Count what is there as permanent, and look seldom at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, ALL)
