"""Who must sign what is registered of gateways, technicians, zones and unmetered loads.

Decides that each is registered by the grid operators whom it concerns, before and after: a
gateway's own and those of the zones that it serves, a zone's own and its parent's where it hangs
anew; and that a key which comes in has signed too. A gateway's key changes here only when the old
one is compromised.
"""

from validator.app.changes import AnyEntry, Change, Put
from validator.app.entries import Gateway, Meter, Technician, Zone
from validator.app.parties import Party, Proposal, check_parties, new_keys, operators
from validator.app.refusals import (
    ID_TAKEN,
    KEY_EXCHANGED,
    NOT_REGISTERED,
    UNKNOWN_ZONE,
    RefusedTransaction,
)
from validator.app.unmetered import UnmeteredLoad
from wire.keys import PublicKey
from wire.transaction_bodies import Entry, Retirement


def decide(proposal: Proposal, body: Entry, change: Change) -> PublicKey:
    """The operator's key under which an entry is added or changed.

    Raises:
        RefusedTransaction: with its reason.
    """
    [edit] = change.edits
    assert isinstance(edit, Put)
    after, from_s = edit.entry, change.from_s
    before = _known(proposal, body, from_s)
    authorities = authorities_of(proposal, after, from_s)
    if before is not None:
        authorities += authorities_of(proposal, before, from_s)
        authorities += around(proposal, before, after, from_s)
    else:
        authorities += around(proposal, None, after, from_s)
    keys = _keys_that_come(proposal, before, after)
    parties: list[Party] = [*operators(proposal, authorities), *new_keys(proposal, keys)]
    return check_parties(proposal, parties)[0]


def decide_retirement(proposal: Proposal, body: Retirement) -> PublicKey:
    """The operator's key under which an entry ends; raises RefusedTransaction."""
    found = proposal.registries.find(body.table, body.id, body.from_s)
    if found is None:
        raise RefusedTransaction(NOT_REGISTERED, body.id)
    authorities = authorities_of(proposal, found.entry, body.from_s)
    return check_parties(proposal, operators(proposal, authorities))[0]


def _known(proposal: Proposal, body: Entry, from_s: int) -> AnyEntry | None:
    """What is to be changed; None for what is added."""
    name = str(body.entry["id"])
    if body.adds:
        if proposal.registries.was_registered(body.table, name):
            raise RefusedTransaction(ID_TAKEN, name)
        return None
    found = proposal.registries.find(body.table, name, from_s)
    if found is None:
        raise RefusedTransaction(NOT_REGISTERED, name)
    return found.entry


def authorities_of(proposal: Proposal, entry: AnyEntry, from_s: int) -> list[str]:
    """Who answers for an entry."""
    match entry:
        case Gateway():
            zones = (_operator_of(proposal, each, from_s) for each in sorted(entry.zones))
            return [entry.operator, *zones]
        case UnmeteredLoad() | Meter():
            return [_operator_of(proposal, entry.zone, from_s)]
        case Technician() | Zone():
            return [entry.operator]


def around(proposal: Proposal, before: AnyEntry | None, after: AnyEntry, from_s: int) -> list[str]:
    """Who operates the zones around one that is hung anew."""
    if not isinstance(after, Zone):
        return []
    old = before.parent if isinstance(before, Zone) else ""
    if after.parent == old:
        return []
    return [_operator_of(proposal, name, from_s) for name in (after.parent, old) if name]


def _operator_of(proposal: Proposal, zone: str, from_s: int) -> str:
    found = proposal.registries.zone(zone, from_s)
    if found is None:
        raise RefusedTransaction(UNKNOWN_ZONE, zone)
    return found.operator


def _keys_that_come(
    proposal: Proposal, before: AnyEntry | None, after: AnyEntry
) -> list[PublicKey]:
    """Keys that were not the entry's; each stands in for a compromised one, or is all new."""
    match after:
        case Technician():
            return [after.key]
        case Gateway() if isinstance(before, Gateway):
            pairs = (
                (before.witness_key, after.witness_key),
                (before.reader_key, after.reader_key),
            )
            changed = [(old, new) for old, new in pairs if old != new]
            for old, _ in changed:
                if old.thumbprint not in proposal.registries.compromised:
                    raise RefusedTransaction(KEY_EXCHANGED, f"{after.id}, {old.kid.hex()}")
            return [new for _, new in changed]
        case Gateway():
            return [after.witness_key, after.reader_key]
    return []
