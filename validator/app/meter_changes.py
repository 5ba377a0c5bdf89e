"""Who must sign what is registered of a meter, and what a commissioning record must say.

Decides that a meter is enrolled, sited elsewhere or put in another's place by its own key (somebody
holds it), a technician of the zone's operator (somebody was there) and the operator (who answers
for the zone), over the commissioning record that the meter and the technician signed on site
(`wire.commissioning` decides whether it is one). An id or a key is never registered twice, so that
history always answers who signed. A meter is retired by its operator,
and so is its holder given another link.
"""

from collections.abc import Sequence

from validator.app.changes import Change, Put
from validator.app.entries import Meter
from validator.app.holders import check_link, has_had_link
from validator.app.parties import (
    Party,
    Proposal,
    check_free,
    check_parties,
    operators,
    technicians,
)
from validator.app.refusals import (
    KEY_EXCHANGED,
    METER_NOT_REGISTERED,
    METER_TAKEN,
    NOT_BY_METER,
    UNFIT_COMMISSIONING,
    UNFIT_ENTRY,
    UNFIT_EXCHANGE,
    UNKNOWN_ZONE,
    RefusedTransaction,
)
from wire.commissioning import CommissioningRecord
from wire.errors import Refused
from wire.keys import PublicKey
from wire.transaction_bodies import (
    LEAKED,
    ChangeHolder,
    CommissionedMeter,
    ReplaceMeter,
    ResiteMeter,
    Retirement,
)


def decide(proposal: Proposal, body: CommissionedMeter, change: Change) -> PublicKey:
    """The operator's key under which a meter is registered.

    Raises:
        RefusedTransaction: with its reason.
    """
    meter = _meter_of(body, change)
    if meter.key is None:
        raise RefusedTransaction(UNFIT_ENTRY, f"{meter.id} has no key of its own")
    zone = proposal.registries.zone(meter.zone, change.from_s)
    if zone is None:
        raise RefusedTransaction(UNKNOWN_ZONE, meter.zone)
    authorities = [zone.operator]
    match body:
        case ResiteMeter():
            authorities += _check_known(proposal, meter, meter.key, change.from_s)
        case _:
            _check_new(proposal, meter, meter.key)
    if isinstance(body, ReplaceMeter):
        _check_exchange(proposal, body, meter, change.from_s)
    experts = technicians(proposal, zone.operator)
    parties = [Party((meter.key,), NOT_BY_METER, meter.key.kid.hex()), experts]
    _, _, *signed = check_parties(proposal, [*parties, *operators(proposal, authorities)])
    _check_commissioning(proposal, body, meter, experts.keys)
    return signed[0]


def decide_retirement(proposal: Proposal, body: Retirement) -> PublicKey:
    """The operator's key under which a meter is retired; raises RefusedTransaction."""
    registries = proposal.registries
    meter = registries.meter(body.id, body.from_s)
    if meter is None or registries.retirement(meter.id) is not None:
        raise RefusedTransaction(METER_NOT_REGISTERED, body.id)
    authority = registries.at(body.from_s).zones[meter.zone].operator
    return check_parties(proposal, operators(proposal, [authority]))[0]


def decide_holder(proposal: Proposal, body: ChangeHolder) -> PublicKey:
    """The operator's key under which a meter's readings get another link.

    Raises:
        RefusedTransaction: with its reason.
    """
    registries = proposal.registries
    meter = registries.meter(body.meter, body.from_s)
    if meter is None:
        raise RefusedTransaction(METER_NOT_REGISTERED, body.meter)
    if (meter.holder or b"") == body.holder:
        raise RefusedTransaction(UNFIT_ENTRY, f"{meter.id} has this link already, or none")
    if body.cause == LEAKED and not has_had_link(registries, meter.id):
        raise RefusedTransaction(
            UNFIT_ENTRY,
            f"{meter.id} has no link that can have leaked: this is its first",
        )
    check_link(registries, meter.id, body.holder)
    authority = registries.at(body.from_s).zones[meter.zone].operator
    return check_parties(proposal, operators(proposal, [authority]))[0]


def _meter_of(body: CommissionedMeter, change: Change) -> Meter:
    return next(
        edit.entry
        for edit in change.edits
        if isinstance(edit, Put) and isinstance(edit.entry, Meter) and edit.id == body.meter
    )


def _check_new(proposal: Proposal, meter: Meter, key: PublicKey) -> None:
    if proposal.registries.was_registered("meters", meter.id):
        raise RefusedTransaction(METER_TAKEN, meter.id)
    check_free(proposal, [key])


def _check_known(proposal: Proposal, meter: Meter, key: PublicKey, from_s: int) -> list[str]:
    """A registered meter keeps its key, unless that is compromised.

    Returns:
        Who operates the zone that it leaves.
    """
    registries = proposal.registries
    known = registries.meter(meter.id, from_s)
    if known is None:
        raise RefusedTransaction(METER_NOT_REGISTERED, meter.id)
    if known.key != key:
        if known.key is None or known.key.thumbprint not in registries.compromised:
            raise RefusedTransaction(KEY_EXCHANGED, meter.id)
        check_free(proposal, [key])
    check_link(registries, meter.id, meter.holder)
    return [registries.at(from_s).zones[known.zone].operator]


def _check_exchange(proposal: Proposal, body: ReplaceMeter, meter: Meter, from_s: int) -> None:
    """The old meter measured the same there until then; `change_of` has read what both showed."""
    old = proposal.registries.meter(body.old, from_s)
    if old is None:
        raise RefusedTransaction(METER_NOT_REGISTERED, body.old)
    if (old.zone, old.node, old.role) != (meter.zone, meter.node, meter.role):
        where = f"{old.role.value} at {old.node} in {old.zone}"
        raise RefusedTransaction(UNFIT_EXCHANGE, f"{old.id} is a {where}")


def _check_commissioning(
    proposal: Proposal, body: CommissionedMeter, meter: Meter, experts: Sequence[PublicKey]
) -> None:
    """The record is the one that was signed on site, for this meter at this place."""
    assert meter.key is not None
    try:
        record = CommissioningRecord.open(body.commissioning)
        record.check_entry(meter.id, meter.node, meter.zone, meter.configuration_id)
        record.technician_of(meter.key, experts, proposal.book.stands)
    except Refused as reason:
        raise RefusedTransaction(UNFIT_COMMISSIONING, str(reason)) from None
