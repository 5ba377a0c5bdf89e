"""Which registry transactions stand: for this network, in time, new, signed, and fitting.

Decides one reason code for one transaction on one state. A change holds from an interval that has
not begun when its block is made, so that no window that may be sealed already changes, and changes
of one thing are accepted in the order in which they hold; only a compromise holds by block, and a
withdrawal of what is still to come. Who must have signed is decided by kind (`meter_changes`,
`read_meters`, `entry_changes`, `key_changes`, `withdrawing`), what fits by `validator.app.fitting`.
"""

from dataclasses import dataclass

from validator.app import (
    entry_changes,
    key_changes,
    meter_changes,
    read_meters,
    withdrawing,
)
from validator.app.carrier import SignatureBook
from validator.app.changes import Change, change_of
from validator.app.fitting import misfits
from validator.app.parties import Proposal
from validator.app.refusals import (
    BY_STRANGER,
    CONFLICTING,
    EXPIRED,
    FROM_HAS_PASSED,
    KEY_TAKEN,
    OTHER_NETWORK,
    REPLAYED,
    UNFIT_ENTRY,
    UNFIT_FROM,
    UNFIT_REGISTRY,
    WEAK_KEY,
    Moment,
    RefusedTransaction,
)
from validator.app.registries import Registries
from wire.errors import BadKey, Refused
from wire.keys import PublicKey
from wire.transaction import Transaction
from wire.transaction_bodies import (
    ChangeHolder,
    CommissionedMeter,
    CompromiseKey,
    Entry,
    Retirement,
    RotateKey,
    Withdraw,
)

__all__ = [
    "BY_STRANGER",
    "EXPIRED",
    "KEY_TAKEN",
    "OTHER_NETWORK",
    "REPLAYED",
    "Accepted",
    "Moment",
    "RefusedTransaction",
    "check_transaction",
]

MOST_AHEAD_S = 35 * 86_400
"""How far ahead a change may be decided, seconds."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A transaction that stands."""

    change: Change
    """What it changes."""

    operator_key: PublicKey
    """The grid operator's key, whose signature decided."""


def check_transaction(
    registries: Registries, transaction: Transaction, moment: Moment, book: SignatureBook
) -> Accepted:
    """Decide about a transaction.

    Raises:
        RefusedTransaction: with its reason.
    """
    if transaction.network != moment.network:
        raise RefusedTransaction(OTHER_NETWORK, transaction.network.hex()[:8])
    if transaction.expiry_height < moment.height:
        raise RefusedTransaction(EXPIRED, f"after block {transaction.expiry_height}")
    if registries.change(transaction.id) is not None:
        raise RefusedTransaction(REPLAYED, transaction.id.hex()[:16])
    if not isinstance(transaction.body, CompromiseKey | Withdraw):
        _check_from(registries, transaction.from_s, moment)
    change = _change(transaction, moment.height)
    key = _decide(Proposal(registries, transaction, moment, book), change)
    _check_order(registries, change)
    faults = misfits(registries, change)
    if faults:
        raise RefusedTransaction(UNFIT_REGISTRY, "; ".join(faults[:3]))
    return Accepted(change, key)


def _check_from(registries: Registries, from_s: int, moment: Moment) -> None:
    if from_s * 1000 < moment.time_ms:
        raise RefusedTransaction(FROM_HAS_PASSED, f"{from_s} s; it is {moment.time_s} s")
    if from_s % registries.base.parameters.interval_s:
        raise RefusedTransaction(UNFIT_FROM, f"{from_s} s is no interval's start")
    if from_s > moment.time_s + MOST_AHEAD_S:
        raise RefusedTransaction(UNFIT_FROM, f"more than {MOST_AHEAD_S // 86_400} days ahead")


def _change(transaction: Transaction, height: int) -> Change:
    try:
        return change_of(transaction, height)
    except BadKey as reason:
        raise RefusedTransaction(WEAK_KEY, str(reason)) from None
    except Refused as reason:
        raise RefusedTransaction(UNFIT_ENTRY, str(reason)) from None


def _decide(proposal: Proposal, change: Change) -> PublicKey:
    """The operator's key that signed."""
    match proposal.transaction.body:
        case CommissionedMeter() | ChangeHolder() as body:
            return _decide_meter(proposal, body, change)
        case Entry(table="meters") | Retirement(table="meters") as body:
            return _decide_meter(proposal, body, change)
        case Entry() as body:
            return entry_changes.decide(proposal, body, change)
        case Retirement() as body:
            return entry_changes.decide_retirement(proposal, body)
        case RotateKey() as body:
            return key_changes.decide_rotation(proposal, body)
        case CompromiseKey() as body:
            return key_changes.decide_compromise(proposal, body)
        case Withdraw():
            return withdrawing.decide(proposal, change)
    raise AssertionError(f"{proposal.transaction.kind} is decided elsewhere")


def _decide_meter(
    proposal: Proposal,
    body: CommissionedMeter | ChangeHolder | Entry | Retirement,
    change: Change,
) -> PublicKey:
    match body:
        case CommissionedMeter():
            return meter_changes.decide(proposal, body, change)
        case Entry():
            return read_meters.decide(proposal, body, change)
        case ChangeHolder():
            return meter_changes.decide_holder(proposal, body)
        case Retirement():
            return meter_changes.decide_retirement(proposal, body)


def _check_order(registries: Registries, change: Change) -> None:
    """Of one thing no change is accepted that would hold before one that was."""
    for edit in change.edits:
        last = registries.latest(edit.table, edit.id)
        if last is not None and last.from_s >= change.from_s:
            detail = f"{last.kind} of {edit.id} from {last.from_s} s"
            raise RefusedTransaction(CONFLICTING, detail)
