"""What has become of a change of the registry: waiting, final, in force, withdrawn.

Decides that by what a validator tells of the change and of what it changes. A change that was
withdrawn is no longer in the history of its thing.
"""

from collections.abc import Mapping
from typing import Any

from validator.client import Client, NotThere
from wire.errors import Refused, Unavailable
from wire.event import time_words
from wire.transaction import Body, Transaction
from wire.transaction_bodies import (
    ROLES,
    ChangeHolder,
    CommissionedMeter,
    Entry,
    Retirement,
    RotateKey,
)


class WithdrawnChange(Refused):
    """The change was accepted, and taken back before it held."""

    code = "withdrawn-change"


def asked(client: Client, transaction: Transaction) -> str:
    """What has become of it, in words; raises Unavailable."""
    try:
        told = client.transaction(transaction.id)
    except NotThere:
        return "no block has it, and nobody has submitted it"
    if told.status != "final" or told.height is None:
        return "it waits for a block" if told.status == "waiting" else f"refused: {told.reason}"
    place = f"final in block {told.height}"
    steps = _history(client, transaction.body)
    if steps is None:
        return place
    step = _step(steps, transaction)
    if step is None:
        return f"{place}, and withdrawn since: it never holds"
    now_s = client.status().time_ms // 1000
    begins = time_words(step["from_s"])
    words = f"in force since {begins}" if step["from_s"] <= now_s else f"it holds from {begins} on"
    ends = f", until {time_words(step['until_s'])}" if step["until_s"] else ""
    return f"{place}; {words}{ends}"


def after_submission(client: Client, transaction: Transaction, height: int) -> str:
    """What to say when a block has it; raises WithdrawnChange when it was withdrawn since."""
    try:
        steps = _history(client, transaction.body)
    except Unavailable:
        steps = None
    if steps is not None and _step(steps, transaction) is None:
        raise WithdrawnChange(
            f"block {height} has it, and it was withdrawn since: it never holds. Prepare it again"
        )
    return f"in block {height}"


def coming(client: Client, table: str) -> list[Mapping[str, Any]]:
    """Changes of a table that are accepted for later, and those of them that were withdrawn."""
    return [each for each in client.coming() if table in each["tables"]]


def _history(client: Client, body: Body) -> list[Mapping[str, Any]] | None:
    """The history of what it changes; None of what has none."""
    thing = _thing(body)
    if thing is None:
        return None
    try:
        found = client.entry(*thing).get("history")
    except NotThere:
        return []
    return found if isinstance(found, list) else None


def _step(steps: list[Mapping[str, Any]], transaction: Transaction) -> Mapping[str, Any] | None:
    name = transaction.id.hex()
    return next((each for each in steps if each.get("transaction") == name), None)


def _thing(body: Body) -> tuple[str, str] | None:
    match body:
        case CommissionedMeter():
            return "meters", body.meter
        case ChangeHolder():
            return "meters", body.meter
        case Entry():
            return body.table, str(body.entry["id"])
        case Retirement():
            return body.table, body.id
        case RotateKey():
            return ROLES[body.statement.role][0], body.statement.holder
    return None
