"""Who must sign that a key is followed by another, or that it is compromised.

Decides that a rotation is announced by the key in force and the new one and signed by the operator
who answers for the holder: it ends a key by interval. That a key is compromised is said by the
operator alone, who cannot wait for its holder: it ends the key by block.
"""

from validator.app.entries import Gateway, Meter, Technician
from validator.app.parties import (
    Party,
    Proposal,
    check_free,
    check_parties,
    operator,
    operators,
)
from validator.app.refusals import (
    ALREADY_COMPROMISED,
    KEY_NOT_IN_FORCE,
    NOT_BY_OPERATOR,
    NOT_REGISTERED,
    UNFIT_ANNOUNCEMENT,
    RefusedTransaction,
)
from wire.keys import PublicKey
from wire.transaction_bodies import ROLES, CompromiseKey, RotateKey

MOST_OVERLAP_S = 35 * 86_400
"""How long an old key may stand beside the new one, seconds."""


def decide_rotation(proposal: Proposal, body: RotateKey) -> PublicKey:
    """The operator's key under which a key is followed by another; raises RefusedTransaction."""
    registries, statement = proposal.registries, body.statement
    if statement.network != proposal.moment.network:
        raise RefusedTransaction(UNFIT_ANNOUNCEMENT, "it is for another network")
    if statement.until_s > statement.from_s + MOST_OVERLAP_S:
        days = MOST_OVERLAP_S // 86_400
        raise RefusedTransaction(UNFIT_ANNOUNCEMENT, f"the old key would stand {days} days more")
    table, _ = ROLES[statement.role]
    if registries.find(table, statement.holder, statement.from_s) is None:
        raise RefusedTransaction(NOT_REGISTERED, statement.holder)
    standing = registries.standing(statement.holder, statement.role, statement.from_s)
    if not standing or standing[0].thumbprint != statement.old:
        raise RefusedTransaction(KEY_NOT_IN_FORCE, statement.old.hex()[:16])
    check_free(proposal, [statement.new])
    _check_announced(proposal, body, standing[0])
    authority = authorities_of(proposal, statement.role, statement.holder, statement.from_s)[0]
    return check_parties(proposal, operators(proposal, [authority]))[0]


def _check_announced(proposal: Proposal, body: RotateKey, old: PublicKey) -> None:
    if proposal.registries.is_ended(old, proposal.moment.height):
        raise RefusedTransaction(ALREADY_COMPROMISED, old.kid.hex())
    for key in (old, body.statement.new):
        found = body.announcement.sign.signature_of(key)
        if found is None or not proposal.book.stands(key, *found):
            raise RefusedTransaction(UNFIT_ANNOUNCEMENT, f"{key.kid.hex()} has not signed it")


def decide_compromise(proposal: Proposal, body: CompromiseKey) -> PublicKey:
    """The operator's key under which a key ends; raises RefusedTransaction.

    For a gateway's key it is its operator's or that of any zone that it serves.
    """
    registries = proposal.registries
    if registries.key_of(body.holder, body.role, body.thumbprint) is None:
        raise RefusedTransaction(NOT_REGISTERED, f"{body.holder}, {body.thumbprint.hex()[:16]}")
    if body.thumbprint in registries.compromised:
        raise RefusedTransaction(ALREADY_COMPROMISED, body.thumbprint.hex()[:16])
    names = _ever_authorities(proposal, body.role, body.holder)
    parties = [operator(proposal, name) for name in names]
    keys = [key for party in parties for key in party.keys]
    return check_parties(proposal, [Party(keys, NOT_BY_OPERATOR, " or ".join(names))])[0]


def authorities_of(proposal: Proposal, role: str, holder: str, at_s: int) -> list[str]:
    """Who answers for a holder at some time, the first before others; empty when nobody does."""
    registries = proposal.registries
    table, _ = ROLES[role]
    found = registries.find(table, holder, at_s)
    match None if found is None else found.entry:
        case Gateway(operator=authority, zones=zones):
            around = [registries.zone(each, at_s) for each in sorted(zones)]
            return [authority, *(each.operator for each in around if each is not None)]
        case Technician(operator=authority):
            return [authority]
        case Meter(zone=zone):
            own = registries.zone(zone, at_s)
            return [] if own is None else [own.operator]
    return []


def _ever_authorities(proposal: Proposal, role: str, holder: str) -> list[str]:
    """Who answers for a holder now; of one that is no more, or not yet, who did last or will."""
    table, _ = ROLES[role]
    last = proposal.registries.latest(table, holder)
    moments = [proposal.moment.time_s]
    if last is not None:
        moments += [last.from_s, last.from_s - 1]
    for at_s in moments:
        found = authorities_of(proposal, role, holder, at_s)
        if found:
            return list(dict.fromkeys(found))
    raise AssertionError("who has a key was registered at some time")
