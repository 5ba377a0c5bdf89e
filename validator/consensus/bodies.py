"""The blocks behind the digests that one height's votes name.

A vote covers a digest alone, so a body that came with a proposal proves nothing: a liar may send
the right digest with bytes that are not its own, or with a witness's signature broken. Only bodies
that the driver has built, checked or fetched are used; others are asked for. Decides nothing about
votes.
"""

from typing import Any

from validator.consensus.effects import CheckBlock, Effect, FetchBlock
from validator.consensus.messages import Proposal

MOST_KEPT = 16
"""Bodies and verdicts of one height kept in memory; the driver has the bodies on its disk."""


class Bodies:
    """Blocks of one height, by digest."""

    def __init__(self) -> None:
        """Start empty."""
        self._sound: dict[bytes, bytes] = {}
        self._checking: dict[bytes, bytes] = {}
        self._verdicts: dict[bytes, bool] = {}
        self._asked: set[bytes] = set()

    def keep(self, digest: bytes, block: bytes) -> None:
        """Keep a body whose digest the driver has compared."""
        self._asked.discard(digest)
        self._sound[digest] = block
        _bound(self._sound)

    def keep_valid(self, digest: bytes, block: bytes) -> None:
        """Keep a body that needs no check: one's own."""
        self._judge(digest, True)
        self.keep(digest, block)

    def get(self, digest: bytes) -> bytes | None:
        """The body, when it is here and sound."""
        return self._sound.get(digest)

    def verdict(self, digest: bytes) -> bool | None:
        """Whether it may be prepared as a new value; None while that is not known."""
        return self._verdicts.get(digest)

    def check(self, proposal: Proposal) -> list[Effect]:
        """Have a new value checked, once."""
        if proposal.digest in self._checking:
            return []
        self._checking[proposal.digest] = proposal.block
        _bound(self._checking)
        return [CheckBlock(proposal.digest, proposal.block, proposal.sender)]

    def checked(self, digest: bytes, valid: bool) -> None:
        """Take the outcome of a check."""
        block = self._checking.pop(digest, None)
        self._judge(digest, valid)
        if valid and block is not None:
            self.keep(digest, block)

    def _judge(self, digest: bytes, valid: bool) -> None:
        self._verdicts[digest] = valid
        _bound(self._verdicts)

    def fetch(self, digest: bytes, holders: tuple[str, ...]) -> list[Effect]:
        """Ask for a body, once until `ask_again`."""
        if digest in self._asked:
            return []
        self._asked.add(digest)
        return [FetchBlock(digest, holders)]

    def ask_again(self) -> None:
        """Let what has not come be asked for once more."""
        self._asked.clear()


def _bound(kept: dict[bytes, Any]) -> None:
    """Let the oldest go."""
    if len(kept) > MOST_KEPT:
        del kept[next(iter(kept))]
