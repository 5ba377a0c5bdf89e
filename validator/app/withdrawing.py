"""Whether a change that was accepted for later can be withdrawn, and who must sign that.

Decides that it is still to come, that nothing was accepted on top of it, that what is registered
then fits without it, and that the grid operators sign whose signatures it needed itself. Meters,
technicians and new keys showed that they are there; nobody has to for what does not come to be.
"""

from dataclasses import replace

from validator.app.changes import Change, Drop, Put, Rekey
from validator.app.entry_changes import around, authorities_of
from validator.app.fitting import misfits
from validator.app.parties import Proposal, check_parties, operators
from validator.app.refusals import (
    CONFLICTING,
    FROM_HAS_PASSED,
    NO_SUCH_CHANGE,
    UNFIT_REGISTRY,
    RefusedTransaction,
)
from validator.app.registries import Registries
from wire.keys import PublicKey


def decide(proposal: Proposal, withdrawal: Change) -> PublicKey:
    """The first operator's key under which a change is withdrawn.

    Raises:
        RefusedTransaction: with its reason.
    """
    registries, moment = proposal.registries, proposal.moment
    change = registries.change(withdrawal.withdraws)
    if change is None or not change.edits or change.id in registries.withdrawn:
        raise RefusedTransaction(NO_SUCH_CHANGE, withdrawal.withdraws.hex()[:16])
    if change.from_s * 1000 < moment.time_ms:
        words = f"{change.kind} holds from {change.from_s} s; it is {moment.time_s} s"
        raise RefusedTransaction(FROM_HAS_PASSED, words)
    for edit in change.edits:
        last = registries.latest(edit.table, edit.id)
        if last is not None and last.id != change.id:
            detail = f"first {last.kind} of {edit.id} from {last.from_s} s"
            raise RefusedTransaction(CONFLICTING, detail)
    signed = check_parties(proposal, operators(proposal, _authorities(proposal, change)))
    faults = _misfits(registries, withdrawal, change)
    if faults:
        raise RefusedTransaction(UNFIT_REGISTRY, "; ".join(faults[:3]))
    return signed[0]


def _authorities(proposal: Proposal, change: Change) -> list[str]:
    """Operators of what it changes, before and after, as the change itself needed them."""
    registries, from_s = proposal.registries, change.from_s
    found: list[str] = []
    for edit in change.edits:
        before = registries.find(edit.table, edit.id, from_s - 1)
        after = edit.after(before)
        for each in (after, before):
            answer = [] if each is None else authorities_of(proposal, each.entry, from_s)
            found += answer[:1] if isinstance(edit, Rekey) else answer
        if after is not None:
            old = None if before is None else before.entry
            found += around(proposal, old, after.entry, from_s)
    return found


def _misfits(registries: Registries, withdrawal: Change, change: Change) -> list[str]:
    """What does not fit when what was registered before stays so.

    What would be gone is looked for among everything that leans on it; what would be back, among
    everything that is registered without the change.
    """
    without = registries.with_change(withdrawal)
    undone = replace(change, id=withdrawal.id)
    faults = []
    for edit in change.edits:
        before = registries.find(edit.table, edit.id, change.from_s - 1)
        if before is None:
            gone = replace(undone, edits=(Drop(edit.table, edit.id),))
            faults += misfits(registries, gone)
        elif isinstance(edit, Put | Drop):
            back = replace(undone, edits=(Put(edit.table, before.entry, before.written),))
            faults += misfits(without, back)
    return faults
