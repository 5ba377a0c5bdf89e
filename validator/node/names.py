"""Numbers for names in the ledger file: a lane, a meter or a zone is one integer in each row.

A name is what stands before the number in a key of the state: an id and a NUL, after which a lane
of a reader has the reader key's thumbprint. Decides nothing.
"""

from collections.abc import Callable
from typing import Any

Ask = Callable[..., list[Any]]
"""Rows that answer a query with its values."""

MOST_KEPT = 200_000
"""Names in memory: more than a network has, some 40 MB."""


def name_of(identity: str) -> bytes:
    """The name of a meter, which its own lane has too, or of a zone."""
    return identity.encode() + b"\0"


class Names:
    """Numbers of names, kept in memory once asked for: they never change."""

    def __init__(self, ask: Ask) -> None:
        """Begin with none."""
        self._ask = ask
        self.known: dict[bytes, int] = {}
        """Numbers that were asked for; who writes thousands looks here first."""

    def number(self, name: bytes) -> int | None:
        """A name's number, None while no row has it."""
        found = self.known.get(name)
        if found is None:
            rows = self._ask("SELECT number FROM names WHERE name = ?", name)
            if rows:
                found = rows[0][0]
                self.keep(name, found)
        return found

    def keep(self, name: bytes, number: int) -> None:
        """Take in a name that has a number."""
        if len(self.known) >= MOST_KEPT:
            self.known.clear()
        self.known[name] = number

    def forget(self) -> None:
        """What was kept may not be so: its transaction was taken back."""
        self.known.clear()

    def lanes(self, meter: bytes) -> list[tuple[int, bytes]]:
        """Numbers and names of a meter's lanes: its own, and one for each reader key."""
        query = "SELECT number, name FROM names WHERE name >= ? AND name < ?"
        return self._ask(query, meter, meter[:-1] + b"\1")
