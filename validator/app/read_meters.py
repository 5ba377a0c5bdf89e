"""Who must sign that a meter without a key of its own is registered: one that a gateway reads.

Decides that the gateway which is to read it has signed with its reader key (it reaches the meter,
and will sign for it), a technician of the zone's operator (somebody was there), and the operator
(who answers for the zone; where the meter leaves another zone, that one's too). A meter that signs
for itself is never made one that does not: its evidence would become weaker.
"""

from validator.app.changes import Change, Put
from validator.app.entries import Meter
from validator.app.holders import check_link
from validator.app.parties import Party, Proposal, check_parties, operators, technicians
from validator.app.refusals import (
    METER_NOT_REGISTERED,
    METER_TAKEN,
    NOT_BY_READER,
    NOT_REGISTERED,
    UNFIT_ENTRY,
    UNKNOWN_ZONE,
    RefusedTransaction,
)
from wire.keys import PublicKey
from wire.transaction_bodies import Entry


def decide(proposal: Proposal, body: Entry, change: Change) -> PublicKey:
    """The operator's key under which such a meter is added or changed.

    Raises:
        RefusedTransaction: with its reason.
    """
    [edit] = change.edits
    assert isinstance(edit, Put)
    meter = edit.entry
    assert isinstance(meter, Meter)
    if meter.key is not None:
        raise RefusedTransaction(UNFIT_ENTRY, f"{meter.id} has a key of its own: enrol it")
    registries, from_s = proposal.registries, change.from_s
    zone = registries.zone(meter.zone, from_s)
    if zone is None:
        raise RefusedTransaction(UNKNOWN_ZONE, meter.zone)
    authorities = [zone.operator, *_before(proposal, body, meter, from_s)]
    keys = registries.standing(meter.reader, "reader", from_s)
    if not keys:
        raise RefusedTransaction(NOT_REGISTERED, f"its reader {meter.reader}")
    parties = [Party(keys, NOT_BY_READER, meter.reader), technicians(proposal, zone.operator)]
    _, _, *signed = check_parties(proposal, [*parties, *operators(proposal, authorities)])
    return signed[0]


def _before(proposal: Proposal, body: Entry, meter: Meter, from_s: int) -> list[str]:
    """Who operates the zone in which it has been; nobody of a new one."""
    registries = proposal.registries
    if body.adds:
        if registries.was_registered("meters", meter.id):
            raise RefusedTransaction(METER_TAKEN, meter.id)
        return []
    known = registries.meter(meter.id, from_s)
    if known is None:
        raise RefusedTransaction(METER_NOT_REGISTERED, meter.id)
    if known.key is not None:
        raise RefusedTransaction(UNFIT_ENTRY, f"{meter.id} signs for itself and goes on to")
    check_link(registries, meter.id, meter.holder)
    return [registries.at(from_s).zones[known.zone].operator]
