"""The validator-set changes of the ledger, as light clients follow them.

Decides nothing: for each set the last header that the one before it sealed, with its seals.
"""

from collections.abc import Callable
from itertools import pairwise

from validator.app.ruling import Ruling
from validator.node.store import Store
from wire.light import Checkpoint, SetChange


class SetChanges:
    """Changes of one ledger; what is final never changes, so each is read once."""

    def __init__(self, store: Store, ruling: Callable[[], Ruling]) -> None:
        """Take the blocks, and what tells the sets as of the newest."""
        self._store = store
        self._ruling = ruling
        self._known: dict[int, SetChange] = {}

    def upto(self, height: int | None = None, known: int = 0) -> tuple[SetChange, ...]:
        """What leads from the genesis file to the set that seals a height, or the newest.

        To who knows the set already that seals `known` and what follows, only what came after it.
        """
        rosters = self._ruling().rosters
        found = []
        for before, after in pairwise(rosters):
            if after.first <= known or (height is not None and after.first > height):
                continue
            if before.hash != after.hash:
                change = self._known.get(after.first) or self._change(after.first)
                if change is not None:
                    self._known[after.first] = change
                    found.append(change)
        return tuple(found)

    def _change(self, first: int) -> SetChange | None:
        """The change to the set that begins at a height; None while its header is not final."""
        stored = self._store.block(first - 1)
        if stored is None:
            return None
        validators = self._ruling().validators(first)
        return SetChange(stored.block.header, stored.commit, validators)

    def checkpoint(self, height: int) -> Checkpoint | None:
        """A checkpoint at a final block; None when there is no such block."""
        stored = self._store.block(height)
        if stored is None:
            return None
        return Checkpoint(stored.block.header, self._ruling().validators(height + 1))
