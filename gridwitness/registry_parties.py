"""Who has a part in a change of the registry, so that nobody else spoils it by a signature.

Decides that by what is known here, before anybody signs; validators decide it again. What is not
known (a zone that the genesis file has not) is not decided: then anybody may sign.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gridwitness.registry_known import Entry, KeyHint, Known, keys_in
from wire.errors import Refused
from wire.keys import PublicKey
from wire.resolution import ResolveCase
from wire.transaction import Body, Transaction
from wire.transaction_bodies import (
    ROLES,
    ChangeHolder,
    CommissionedMeter,
    CompromiseKey,
    Retirement,
    RotateKey,
    Withdraw,
)
from wire.transaction_bodies import Entry as EntryBody

_READ = ("add-meter", "change-meter")


class _NotKnown(Exception):
    """Something that the change names is not known here."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Whose signatures count."""

    operators: tuple[str, ...]
    """Authorities, each once."""

    technicians_of: str = ""
    """Whose technicians sign; empty: none do."""

    keys: Mapping[KeyHint, str] = field(default_factory=dict)
    """Keys that sign because the entry names them, and whose they are."""

    @property
    def words(self) -> str:
        """All of them, for people."""
        technician = [f"a technician of {self.technicians_of}"] if self.technicians_of else []
        return ", ".join([*dict.fromkeys(self.keys.values()), *technician, *self.operators])


def parties_of(transaction: Transaction, known: Known) -> Parties | None:
    """Who signs a change; None when that cannot be told here."""
    try:
        return _parties(transaction.body, transaction.from_s, known)
    except (_NotKnown, KeyError):
        return None


def check_part(transaction: Transaction, key: PublicKey, known: Known) -> str:
    """Whose key it is; raises Refused when it has no part in the change."""
    hint = (key.alg, key.kid)
    who = known.holders().get(hint, "")
    parties = parties_of(transaction, known)
    if parties is None:
        return who
    if hint in parties.keys:
        return parties.keys[hint]
    if transaction.kind in _READ and who in parties.keys.values():
        return who  # A reader key that another one follows stands for a while.
    if who in parties.operators:
        return who
    name = who.removeprefix("technician ")
    if parties.technicians_of and name != who:
        entry = known.entry("technicians", name, transaction.from_s)
        if entry is None or entry["operator"] == parties.technicians_of:
            return who
    asked = "" if known.newest else "; if that has changed since: --from-validator URL"
    raise Refused(
        f"the key {key.kid.hex()}{f' of {who}' if who else ''} has no part in this"
        f" {transaction.kind}, by {known.source}: it is signed by {parties.words}; with another's"
        f" signature it is refused. Nothing was signed{asked}"
    )


def _parties(body: Body, from_s: int, known: Known) -> Parties:
    match body:
        case CommissionedMeter():
            return _of_meter(body.entry, keys_in("meters", body.entry), from_s, known)
        case EntryBody(table="meters"):
            reader = _found(known, "gateways", str(body.entry["reader"]), from_s)
            signs = {"id": reader["id"], "reader_key": reader["reader_key"]}
            return _of_meter(body.entry, keys_in("gateways", signs), from_s, known)
        case EntryBody():
            return _of_entry(body, from_s, known)
        case Withdraw():
            change = known.change(body.transaction)
            if change is None:
                raise _NotKnown
            return Parties(_parties(change.body, change.from_s, known).operators)
    return Parties(_of_operators_only(body, from_s, known))


def _of_operators_only(body: Body, from_s: int, known: Known) -> tuple[str, ...]:
    match body:
        case Retirement():
            table, name, at_s = body.table, body.id, max(0, from_s - 1)
        case RotateKey():
            table, _ = ROLES[body.statement.role]
            name, at_s = body.statement.holder, max(0, from_s - 1)
        case CompromiseKey():
            table, _ = ROLES[body.role]
            name, at_s = body.holder, _EVER_S
        case ChangeHolder():
            table, name, at_s = "meters", body.meter, from_s
        case ResolveCase():
            table, name, at_s = "zones", body.zone, _EVER_S
        case _:
            raise _NotKnown
    found = _operators(table, [_found(known, table, name, at_s)], at_s, known)
    return found[:1] if isinstance(body, RotateKey) else found


_EVER_S = 2**40


def _of_meter(entry: Entry, keys: Mapping[KeyHint, str], from_s: int, known: Known) -> Parties:
    before = known.entry("meters", str(entry["id"]), max(0, from_s - 1))
    entries = [entry] if before is None else [entry, before]
    operators = _operators("meters", entries, from_s, known)
    return Parties(operators, operators[0], keys)


def _of_entry(body: EntryBody, from_s: int, known: Known) -> Parties:
    before = known.entry(body.table, str(body.entry["id"]), max(0, from_s - 1))
    if before is None and not body.adds:
        raise _NotKnown
    entries = [body.entry] if before is None else [body.entry, before]
    operators = list(_operators(body.table, entries, from_s, known))
    if body.table == "zones":
        parents = [str(each.get("parent", "")) for each in entries]
        if before is None or parents[0] != parents[1]:
            operators += [_operator(known, each, from_s) for each in parents if each]
    old = {} if before is None else keys_in(body.table, before)
    new = {hint: who for hint, who in keys_in(body.table, body.entry).items() if hint not in old}
    return Parties(tuple(dict.fromkeys(operators)), keys=new)


def _operators(table: str, entries: Iterable[Entry], from_s: int, known: Known) -> tuple[str, ...]:
    """Who answers for entries, the first named first."""
    found: list[str] = []
    for entry in entries:
        if table in ("meters", "unmetered"):
            found.append(_operator(known, str(entry["zone"]), from_s))
        else:
            found.append(str(entry["operator"]))
        zones: Any = entry["zones"] if table == "gateways" else ()
        found += [_operator(known, str(each), from_s) for each in zones]
    return tuple(dict.fromkeys(found))


def _operator(known: Known, zone: str, from_s: int) -> str:
    return str(_found(known, "zones", zone, from_s)["operator"])


def _found(known: Known, table: str, name: str, at_s: int) -> Entry:
    found = known.entry(table, name, at_s)
    if found is None:
        raise _NotKnown
    return found
