"""How a case is resolved: by a transaction that the zone's grid operator has signed.

Decides whether a resolution stands (there is such a case, it can still be decided, and the decision
was made on its newest revision) and what it credits: `settle` credits every meter inside the
boundary what it has signed for the window and nobody has credited yet, be it late, be it the
difference of its registers at both ends. A case that was dismissed may be settled later; one that
was settled may be settled again, for what has come since, and never be dismissed. No case credits
what no meter has signed, and none takes a credit back.
"""

from validator.app.carrier import SignatureBook
from validator.app.cases import Case, Now, Status, case_of, close_case
from validator.app.feeder import Feeder, Member
from validator.app.parties import Proposal, check_parties, operator
from validator.app.records import (
    RESOLUTION,
    SEALED,
    SETTLED_BY_CASE,
    AcceptedReading,
    Sealed,
    key,
)
from validator.app.refusals import (
    EXPIRED,
    OTHER_NETWORK,
    REPLAYED,
    Moment,
    RefusedTransaction,
)
from validator.app.registries import Registries
from validator.app.settlement import credit
from validator.app.state import Overlay
from validator.app.windows import Registers, merged, ordinary
from validator.app.zone_seal import Measured
from wire.keys import PublicKey
from wire.resolution import SETTLE, ResolveCase
from wire.transaction import Transaction

NO_CASE = 100
CASE_MOVED_ON = 101
CASE_CLOSED = 102


def resolve(
    registries: Registries,
    overlay: Overlay,
    transaction: Transaction,
    moment: Moment,
    book: SignatureBook,
) -> PublicKey:
    """Resolve a case; returns the operator's key, whose signature decided.

    Raises:
        RefusedTransaction: with its reason; nothing is written then.
    """
    body = transaction.body
    assert isinstance(body, ResolveCase), "the caller has looked at its kind"
    if transaction.network != moment.network:
        raise RefusedTransaction(OTHER_NETWORK, transaction.network.hex()[:8])
    if transaction.expiry_height < moment.height:
        raise RefusedTransaction(EXPIRED, f"after block {transaction.expiry_height}")
    if overlay.get(RESOLUTION, transaction.id) is not None:
        raise RefusedTransaction(REPLAYED, transaction.id.hex()[:16])
    case = _case(overlay, body)
    zone = registries.at(moment.time_s).zones.get(body.zone)
    if zone is None:
        raise RefusedTransaction(NO_CASE, f"zone {body.zone} is registered no more")
    proposal = Proposal(registries, transaction, moment, book)
    public = check_parties(proposal, [operator(proposal, zone.operator)])[0]
    status = Status.DISMISSED
    if body.decision == SETTLE:
        status = Status.SETTLED
        _settle(registries, overlay, body)
    case = case._replace(status=status, resolution=transaction.id)
    close_case(overlay, Now(moment.height, moment.time_s), body.zone, body.start_s, case)
    overlay.put(RESOLUTION, transaction.id, moment.height.to_bytes(8, "big"))
    return public


def _case(overlay: Overlay, body: ResolveCase) -> Case:
    """The case as it stands; raises RefusedTransaction when this cannot be decided about it."""
    case = case_of(overlay, body.zone, body.start_s)
    if case is None:
        raise RefusedTransaction(NO_CASE, f"{body.zone}, window of {body.start_s} s")
    if case.status == Status.CLEARED or (case.status == Status.SETTLED and body.decision != SETTLE):
        raise RefusedTransaction(CASE_CLOSED, Status(case.status).name.lower())
    if case.revision != body.revision:
        raise RefusedTransaction(CASE_MOVED_ON, f"it is at revision {case.revision}")
    if _sealed(overlay, body).offset:
        raise RefusedTransaction(CASE_MOVED_ON, "its window is part of a longer one by now")
    return case


def _sealed(overlay: Overlay, body: ResolveCase) -> Sealed:
    row = overlay.get(SEALED, key(body.zone, body.start_s))
    assert row is not None, "a case is about a sealed window"
    return Sealed.of(row)


def _settle(registries: Registries, overlay: Overlay, body: ResolveCase) -> None:
    """Credit what meters have signed; mark the window's intervals as settled."""
    parameters = registries.base.parameters
    sealed = _sealed(overlay, body)
    intervals = max(1, sealed.merged)
    feeder = registries.at(body.start_s).feeders[body.zone].over(intervals)
    measured = signed_energy(registries, overlay, feeder, body.start_s, sealed.merged)
    for member in feeder.inner:
        if member.id in measured:
            credit(overlay, member, body.start_s, intervals, measured[member.id])
    for place in range(intervals):
        each = key(body.zone, body.start_s + place * parameters.interval_s)
        value = overlay.get(SEALED, each)
        assert value is not None, "a merged window has a row for each of its intervals"
        settled = Sealed.of(value).settled | SETTLED_BY_CASE
        overlay.put(SEALED, each, Sealed.of(value)._replace(settled=settled).packed())


def signed_energy(
    registries: Registries, overlay: Overlay, feeder: Feeder, start_s: int, spans: int
) -> dict[str, Measured]:
    """What each meter has signed for a window, late readings and registers included.

    Args:
        registries: who and what is registered.
        overlay: the state.
        feeder: the zone, for the window's length.
        start_s: start of the window.
        spans: intervals of a merged window, 0 for an ordinary one.
    """
    parameters = registries.base.parameters
    registers = Registers(parameters, overlay, registries)
    whole = merged(parameters, registers, feeder, start_s, feeder.intervals).measured
    if spans:
        return whole
    measured = {**whole, **ordinary(parameters, overlay, feeder, start_s).measured}
    for member in feeder.inner:
        late = overlay.late(member.id, start_s)
        if member.id not in measured and len(late) == 1:
            measured[member.id] = _as_read(member, late[0])
    return measured


def _as_read(member: Member, record: AcceptedReading) -> Measured:
    advance = record.import_advance_wh, record.export_advance_wh
    return Measured(*advance, record.skew_ms, member.step_wh)
