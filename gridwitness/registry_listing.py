"""What is registered now, as a list for people: `gridwitness registry show TABLE` without an id.

Decides the columns of each table and from when on something is said to be registered. What stands
in the lists a validator tells; which of it is in force, it decides by its newest block.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from wire.event import time_words
from wire.keys import PublicKey

Row = Mapping[str, Any]

COLUMNS: dict[str, tuple[str, ...]] = {
    "meters": ("id", "since", "key", "zone", "node", "role", "reader"),
    "gateways": ("id", "since", "witness key", "reader key", "operator", "zones"),
    "technicians": ("id", "since", "key", "operator", "name"),
    "zones": ("id", "since", "parent", "operator", "root", "branches"),
    "unmetered": ("id", "since", "zone", "node"),
}
"""What is shown of an entry, by table."""


def rows(table: str, told: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """What is registered now, a row each, in order of id.

    Args:
        table: a key of COLUMNS.
        told: the validator's list: rows of meters, entries with their history of the others.
    """
    for each in told:
        if table == "meters":
            yield {name: each[_FIELDS.get(name, name)] for name in COLUMNS[table]}
        elif each["entry"] is not None:
            entry = {**each["entry"], "since": _since(each["history"])}
            yield {name: _CELLS.get(name, _plain(name))(entry) for name in COLUMNS[table]}


def lines(table: str, found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The rows as a table of text, the columns' names first."""
    names = COLUMNS[table]
    cells = [names, *(tuple(_word(name, row[name]) for name in names) for row in found)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    count = len(cells) - 1
    one = "unmetered load" if table == "unmetered" else table.removesuffix("s")
    many = "unmetered loads" if table == "unmetered" else table
    yield f"{count} {one} is registered now" if count == 1 else f"{count} {many} are registered now"


def _since(history: Iterable[Row]) -> int | None:
    """Start of the first interval, Unix seconds; None from the genesis file on."""
    return next((step["from_s"] for step in history if step["entry"] is not None), None)


def _word(name: str, value: Any) -> str:
    if name == "since":
        return "genesis" if value is None else time_words(value)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) if value not in ("", None) else "-"


def _plain(name: str) -> Callable[[Row], Any]:
    return lambda entry: entry.get(name, "")


def _key_id(name: str) -> Callable[[Row], str]:
    def found(entry: Row) -> str:
        text = str(entry.get(name, ""))
        return PublicKey.from_text(text).kid.hex() if text else ""

    return found


def _count(name: str) -> Callable[[Row], int]:
    return lambda entry: len(entry[name]) if isinstance(entry.get(name), list) else 0


_FIELDS = {"since": "from_s", "key": "kid"}
_CELLS: dict[str, Callable[[Row], Any]] = {
    "key": _key_id("key"),
    "witness key": _key_id("witness_key"),
    "reader key": _key_id("reader_key"),
    "branches": _count("branches"),
}


def printed(table: str, told: Iterable[Row], coming: Iterable[Row], as_json: bool) -> Iterator[str]:
    """What the command prints, also of what is accepted for later: lines, or one JSON object."""
    found = list(rows(table, told))
    if not as_json:
        yield from lines(table, found)
        for each in coming:
            fate = "WITHDRAWN: never holds" if each["withdrawn"] else "accepted for later"
            words = f"{each['kind']} of {', '.join(each['ids'])}, from {time_words(each['from_s'])}"
            yield f"{fate}: {words} (transaction {each['transaction']}, block {each['height']})"
        return
    items = [{name.replace(" ", "_"): value for name, value in row.items()} for row in found]
    yield json.dumps({"table": table, "entries": items, "coming": list(coming)})
