"""A table of a line's file, read key by key; what is wrong or unknown is refused in words."""

from collections.abc import Mapping
from random import Random
from typing import Any

from hwsim.modbus_device import Delay, always, between, usually
from wire.errors import Malformed

_NONE = object()


class Options:
    """One table."""

    def __init__(self, content: Any, where: str) -> None:
        """Take a table; `where` names it in refusals."""
        if not isinstance(content, Mapping):
            raise Malformed(f"{where}: not a table")
        self.where = where
        self._content = content
        self._asked: set[str] = set()

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return str(self._value(key, str, "a string", default))

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        return int(self._value(key, int, "a whole number", default))

    def number(self, key: str, default: float | None = None) -> float:
        """A number."""
        return float(self._value(key, (int, float), "a number", default))

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        return bool(self._value(key, bool, "true or false", default))

    def delay(self, key: str, default: float | None = None) -> Delay:
        """Seconds, `[least, most]` for any between two, or `{median, spread}` for a long tail."""
        wanted = "seconds, [least, most] or {median, spread}"
        value = self._value(key, (int, float, list, dict), wanted, default)
        numbers = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(numbers, list):
            return always(float(numbers))
        if len(numbers) != 2 or not all(_is_number(each) and each >= 0 for each in numbers):
            raise self.wrong(key, wanted)
        if isinstance(value, list):
            return between(float(value[0]), float(value[1]))
        if value.keys() != {"median", "spread"}:
            raise self.wrong(key, wanted)
        return usually(float(value["median"]), float(value["spread"]))

    def numbers(self, key: str, default: list[int] | None = None) -> list[int]:
        """Whole numbers."""
        value = self._value(key, list, "a list of whole numbers", default)
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            raise self.wrong(key, "a list of whole numbers")
        return list(value)

    def steps(self, key: str) -> list[tuple[float, float]]:
        """A power: W, or steps `[[from_s, W], …]`."""
        value = self._value(key, (int, float, list), "W or [[from_s, W], …]", 1_000)
        if not isinstance(value, list):
            return [(0.0, float(value))]
        steps = []
        for each in value:
            if not isinstance(each, list) or len(each) != 2 or not all(map(_is_number, each)):
                raise self.wrong(key, "W or [[from_s, W], …]")
            steps.append((float(each[0]), float(each[1])))
        if not steps or steps[0][0] != 0 or steps != sorted(steps):
            raise self.wrong(key, "steps that begin at 0 and rise")
        return steps

    def has(self, key: str) -> bool:
        """Whether it is there."""
        return key in self._content

    def tables(self, key: str) -> "list[Options]":
        """Sub-tables, in order."""
        value = self._value(key, list, "tables", [])
        return [Options(each, f"{self.where}, {key} {n}") for n, each in enumerate(value, 1)]

    def done(self) -> None:
        """Refuse what nobody asked for."""
        unknown = sorted(self._content.keys() - self._asked)
        if unknown:
            known = ", ".join(sorted(self._asked))
            raise Malformed(f"{self.where}: unknown key {unknown[0]!r} (it may have: {known})")

    def wrong(self, key: str, wanted: str) -> Malformed:
        """The refusal of a value."""
        return Malformed(f"{self.where}: {key} is {wanted}, not {self._content.get(key)!r}")

    def _value(self, key: str, kind: Any, wanted: str, default: Any) -> Any:
        self._asked.add(key)
        value = self._content.get(key, _NONE)
        if value is _NONE:
            if default is None:
                raise Malformed(f"{self.where}: no {key!r}")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, wanted)
        return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def random_for(*names: object) -> Random:
    """Chance that is the same each time, and another for each name."""
    return Random("/".join(map(str, names)))
