"""One table of a TOML file, taken key by key.

Decides that a key has exactly the type and range that its taker names, and that a key nobody took
is refused by name. Which keys there are is for `gateway.config`.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from wire.errors import Refused

T = TypeVar("T")

_KINDS: dict[type, str] = {str: "text", int: "a whole number", bool: "true or false"}
_ALIKE = 0.75
"""How alike two keys are when one may be the other misspelt, of 1."""


class BadConfiguration(Refused):
    """The configuration file says something that the gateway cannot do."""

    code = "bad-configuration"


class Table:
    """One TOML table whose keys are taken one by one, so that what is left over is unknown."""

    def __init__(self, content: Any, name: str, folder: Path) -> None:
        if not isinstance(content, dict):
            raise BadConfiguration(f"{name}: not a table")
        self._left = dict(content)
        self._name = name
        self._folder = folder

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """A value of exactly that type; required unless a default is given."""
        if key not in self._left and default is not None:
            return default
        if key not in self._left:
            raise self.wrong(key, f"is missing{self._misspelt(key)}")
        value = self._left.pop(key)
        if type(value) is not kind:
            raise self.wrong(key, f"needs {_KINDS.get(kind, kind.__name__)}")
        return value

    def has(self, key: str) -> bool:
        """Whether an optional key was given."""
        return key in self._left

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer from `low` to `high`."""
        value = self.take(key, int, default)
        if not low <= value <= high:
            raise self.wrong(key, f"is {value}; it can be {low} to {high}")
        return value

    def one_of(self, key: str, words: Sequence[str]) -> str:
        """One of a few words; the first is the default."""
        value = self.take(key, str, words[0])
        if value not in words:
            raise self.wrong(key, f"is {value!r}; it can be {', '.join(words)}")
        return value

    def path(self, key: str) -> Path:
        """A path, relative to the file's folder."""
        text = self.take(key, str)
        if not text or "\0" in text:
            raise self.wrong(key, "needs the path of a file")
        return self._folder / text

    def optional_path(self, key: str) -> Path | None:
        """A path, or None when the key is absent or empty."""
        text = self.take(key, str, "")
        return self._folder / text if text else None

    def folder_path(self) -> Path:
        """The file's folder."""
        return self._folder

    def table(self, key: str) -> "Table":
        """A sub-table."""
        if key not in self._left:
            raise self.wrong(f"[{key}]", f"is missing{self._misspelt(key)}")
        return Table(self._left.pop(key, None), f"{self._name}[{key}]", self._folder)

    def tables(self, key: str) -> "list[Table]":
        """An array of tables."""
        found = self._left.pop(key, [])
        if not isinstance(found, list):
            raise self.wrong(key, "needs to be an array of tables, [[…]]")
        return [
            Table(each, f"{self._name}[[{key}]] {number}", self._folder)
            for number, each in enumerate(found, 1)
        ]

    def end(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            raise BadConfiguration(f"{self._name}: unknown keys: {', '.join(sorted(self._left))}")

    def _misspelt(self, key: str) -> str:
        """Names a key that stands there and may have been meant."""
        close = get_close_matches(key, self._left, 1, _ALIKE)
        return f"; {close[0]} stands there: is that it, misspelt?" if close else ""

    def wrong(self, key: str, words: str) -> BadConfiguration:
        """The error for one key."""
        return BadConfiguration(f"{self._name}: {key} {words}")
