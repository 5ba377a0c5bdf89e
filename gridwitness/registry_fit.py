"""Whether a change of the registry can fit at all, before anybody is asked to sign it.

Decides that by the entry itself, by this machine's clock, and by what the genesis file or a
validator has: names that are there, ids that are free, lines that reach. Where the genesis file is
behind, whoever prepares names a validator. Validators decide all of it again.
"""

import time
from collections.abc import Iterator

from gridwitness.registry_known import Known
from validator.app.changes import change_of
from validator.app.enrolment import MOST_AHEAD_S
from validator.app.fitting import misfits
from validator.app.registries import Registries
from validator.app.registry import Registry
from wire.errors import Refused
from wire.event import time_words
from wire.genesis import Genesis
from wire.resolution import ResolveCase
from wire.transaction import Body, Transaction
from wire.transaction_bodies import (
    RESITE_METER,
    ROLES,
    ChangeHolder,
    CommissionedMeter,
    CompromiseKey,
    Entry,
    ReplaceMeter,
    Retirement,
    RotateKey,
)

Thing = tuple[str, str]
"""A table of the registry and an id in it."""

_NOUNS = {"unmetered": "unmetered load", "authorities": "authority"}


def now_s() -> int:
    """This machine's time, Unix seconds."""
    return int(time.time())


def check_fit(transaction: Transaction, genesis: Genesis, known: Known) -> None:
    """Raise Refused when no block can have the change."""
    body, from_s = transaction.body, transaction.from_s
    _check_from(from_s, genesis)
    at_s = from_s or now_s()
    since = "" if known.newest else "; if it was registered since: --from-validator URL"
    for table, name in _needed(body):
        if known.entry(table, name, at_s) is None:
            raise Refused(f"{known.source} knows no {_noun(table)} {name}{since}")
    for table, name in _new(body):
        if known.entry(table, name, at_s) is not None:
            raise Refused(f"{_noun(table)} {name} is registered already, by {known.source}")
    if isinstance(body, CommissionedMeter | Entry | Retirement):
        change = change_of(transaction, 0)
        faults = [] if known.newest else misfits(Registries(Registry.of(genesis)), change)
        if faults:
            words = "; ".join(faults[:3])
            raise Refused(f"it does not fit what {known.source} has: {words}{since}")


def _check_from(from_s: int, genesis: Genesis) -> None:
    if not from_s or genesis.paced_time:
        return  # It holds by block, or this machine's clock is not the network's.
    present_s = now_s()
    if from_s < present_s:
        raise Refused(
            f"--from {time_words(from_s)} has passed: no block may carry it; give a later one"
        )
    if from_s > present_s + MOST_AHEAD_S:
        days = MOST_AHEAD_S // 86_400
        raise Refused(f"--from {time_words(from_s)} is more than {days} days ahead: give less")


def _needed(body: Body) -> Iterator[Thing]:
    """What has to be there."""
    match body:
        case CommissionedMeter():
            yield from _around("meters", body.entry)
            if body.kind == RESITE_METER:
                yield "meters", body.meter
            if isinstance(body, ReplaceMeter):
                yield "meters", body.old
        case Entry():
            yield from _around(body.table, body.entry)
            if not body.adds:
                yield body.table, str(body.entry["id"])
        case _:
            yield from _named(body)


def _named(body: Body) -> Iterator[Thing]:
    """What a change names that has no entry of its own."""
    match body:
        case Retirement():
            yield body.table, body.id
        case ChangeHolder():
            yield "meters", body.meter
        case RotateKey():
            yield ROLES[body.statement.role][0], body.statement.holder
        case CompromiseKey():
            yield ROLES[body.role][0], body.holder
        case ResolveCase():
            yield "zones", body.zone


def _around(table: str, entry: object) -> Iterator[Thing]:
    """What an entry names."""
    assert isinstance(entry, dict)
    for field, named in (
        ("zone", "zones"),
        ("parent", "zones"),
        ("reader", "gateways"),
        ("operator", "authorities"),
    ):
        if entry.get(field):
            yield named, str(entry[field])
    if table == "gateways":
        for zone in entry.get("zones") or ():
            yield "zones", str(zone)


def _new(body: Body) -> Iterator[Thing]:
    """What must not be there yet."""
    match body:
        case CommissionedMeter() if body.kind != RESITE_METER:
            yield "meters", body.meter
        case Entry() if body.adds:
            yield body.table, str(body.entry["id"])


def _noun(table: str) -> str:
    return _NOUNS.get(table, table.removesuffix("s"))
