"""A mapping whose values are found when they are asked for.

Decides nothing: who makes one says which names there may be, and what each stands for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

_Value = TypeVar("_Value")


class Looked(Mapping[str, _Value]):
    """A table that is looked up entry by entry."""

    def __init__(
        self, names: Callable[[], Iterable[str]], look: Callable[[str], _Value | None]
    ) -> None:
        """Take all names that there may be, in order, and what finds a value, or None."""
        self._names = names
        self._look = look

    def __getitem__(self, name: str) -> _Value:
        found = self._look(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names() if self._look(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
