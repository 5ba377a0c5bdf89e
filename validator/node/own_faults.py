"""What becomes of a validator's own faults, wherever they show: it stops speaking, never guesses.

Decides which kind one is. A disk that takes no writes is waited for; anything else that nobody
expected, a damaged ledger or a mistake of this program, ends its part in the agreement. Its pages
go on and say why.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from validator.node.store import DiskUnavailable


class Speaking(Protocol):
    """What can be silenced."""

    def halt(self, reason: str) -> None:
        """Stop speaking until somebody has looked."""
        ...

    def pause(self, reason: str) -> None:
        """Stop speaking until the disk takes writes again."""
        ...


@contextmanager
def own_faults(speaking: Speaking) -> Iterator[None]:
    """Within, whatever goes wrong is nobody else's fault."""
    try:
        yield
    except DiskUnavailable as reason:
        speaking.pause(str(reason))
    except Exception as reason:
        speaking.halt(repr(reason))
