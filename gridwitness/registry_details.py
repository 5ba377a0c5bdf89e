"""What a change of the registry says in full, so that whoever signs sees it.

Decides which fields are told: all of what is added or ends, of what changes those that do, old and
new, and of a withdrawal the change that it takes back.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gridwitness import registry_file
from gridwitness.registry_known import Entry, Known
from wire.event import time_words
from wire.transaction import Body, Transaction
from wire.transaction_bodies import (
    ENROL_METER,
    RESITE_METER,
    CommissionedMeter,
    Retirement,
    Withdraw,
)
from wire.transaction_bodies import Entry as EntryBody

_INDENT = " " * 13
_UNKNOWN = "what it was before: --genesis FILE or --from-validator URL tells"


def details(transaction: Transaction, known: Known | None) -> dict[str, Any]:
    """The entry, the one before it and what differs; of a withdrawal the change, told likewise."""
    body = transaction.body
    if isinstance(body, Withdraw):
        change = None if known is None else known.change(body.transaction)
        if change is None:
            return {"withdraws": None}
        return {"withdraws": registry_file.described(change) | details(change, known)}
    thing = _thing(body)
    if thing is None:
        return {}
    table, name, entry, is_new = thing
    before = None
    if known is not None and not is_new:
        before = known.entry(table, name, max(0, transaction.from_s - 1))
    found: dict[str, Any] = {"entry": entry, "before": before}
    if before is not None and entry is not None:
        found["changes"] = _differences(before, entry)
    return found | ({} if known is None else {"source": known.source})


def _thing(body: Body) -> tuple[str, str, dict[str, Any] | None, bool] | None:
    """Table and id, what is registered then (None: nothing), and whether it is new."""
    match body:
        case CommissionedMeter():
            is_new = body.kind != RESITE_METER
            return "meters", body.meter, dict(body.entry), is_new
        case EntryBody():
            return body.table, str(body.entry["id"]), dict(body.entry), body.adds
        case Retirement():
            return body.table, body.id, None, False
    return None


def _differences(before: Entry, after: Entry) -> dict[str, list[Any]]:
    """Fields that differ, old and new; of lists of things with ids each thing apart."""
    old, new = _flat(before), _flat(after)
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)
    }


def _flat(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in entry.items():
        if isinstance(value, list) and value and all(_has_id(each) for each in value):
            found |= {f"{name} {each['id']}": each for each in value}
        else:
            found[name] = value
    return found


def _has_id(value: Any) -> bool:
    return isinstance(value, Mapping) and "id" in value


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The details for people."""
    if "withdraws" in found:
        yield from _withdrawn(found["withdraws"])
        return
    entry, before = found.get("entry"), found.get("before")
    if "changes" in found:
        yield f"changes      old → new, by {found['source']}"
        for name, (old, new) in found["changes"].items():
            yield f"{_INDENT}{name}: {_value(old)} → {_value(new)}"
        if not found["changes"]:
            yield f"{_INDENT}nothing differs"
        return
    shown = before if entry is None else entry
    if shown is not None:
        yield f"{'what ends' if entry is None else 'entry':<13}as the genesis file writes it"
        for name, value in _flat(shown).items():
            yield f"{_INDENT}{name}: {_value(value)}"
    if "entry" in found and before is None and not _adds(found):
        yield f"{_INDENT}{_UNKNOWN}"


def _adds(found: Mapping[str, Any]) -> bool:
    return bool(found.get("kind") in (ENROL_METER, "replace-meter")) or str(
        found.get("kind", "")
    ).startswith("add-")


def _withdrawn(change: Mapping[str, Any] | None) -> Iterator[str]:
    if change is None:
        yield "withdraws    which change that is: --from-validator URL tells"
        return
    begins = "its block" if change["from_s"] is None else time_words(change["from_s"])
    yield f"withdraws    {change['kind']}: {change['what']}, from {begins}"
    yield from (f"  {line}" for line in lines(change))


def _value(value: Any) -> str:
    if value is None:
        return "(not there)"
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)
