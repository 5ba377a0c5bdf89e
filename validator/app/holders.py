"""Which holder's link opens which intervals of a meter.

Decides what a change of the link says: when somebody else may have the old one, the new link opens
what the old one did and the old one nothing; when another holder moved in, each link opens the
intervals of its own time. A link that was changed is never the meter's again.
"""

from typing import NamedTuple

from validator.app.changes import Relink
from validator.app.refusals import UNFIT_ENTRY, RefusedTransaction
from validator.app.registries import Registries


class Opening(NamedTuple):
    """Intervals of a meter that one link opens."""

    from_s: int | None
    """Start of the first; None: since the genesis file."""

    until_s: int | None
    """Start of the first that it no longer opens; None: it still does."""

    holder: str
    """SHA-256 of the secret in the link, hexadecimal; empty: no link opens them."""


def openings(registries: Registries, meter: str) -> list[Opening]:
    """Every interval of a meter with the link that opens it now, in order of time."""
    return _tenancies(registries, meter)[0]


def has_had_link(registries: Registries, meter: str) -> bool:
    """Whether the meter's household has a link, or had one that leaked."""
    return _tenancies(registries, meter)[1]


def _tenancies(registries: Registries, meter: str) -> tuple[list[Opening], bool]:
    """Every interval with its link, and whether the last household ever had one.

    A household is who has the same link, or another one in the place of one that leaked.
    """
    found: list[Opening] = []
    since, linked = 0, False
    for step in registries.history("meters", meter):
        holder = str((step.written or {}).get("holder", ""))
        edits = () if step.change is None else step.change.edits
        if linked and any(isinstance(edit, Relink) and edit.leaked for edit in edits):
            found[since:] = [each._replace(holder=holder) for each in found[since:]]
        elif not found or holder != found[-1].holder:
            since, linked = len(found), False
        linked = linked or bool(holder)
        found.append(Opening(step.from_s, step.until_s, holder))
    return found, linked


def check_link(registries: Registries, meter: str, holder: bytes | None) -> None:
    """Raise RefusedTransaction when this link was the meter's until it was changed.

    An entry that was copied from an old one would open the readings to whoever has it.
    """
    before = ""
    for step in registries.history("meters", meter):
        edits = () if step.change is None else step.change.edits
        relinked = any(isinstance(edit, Relink) for edit in edits)
        if holder and relinked and before == holder.hex():
            raise RefusedTransaction(UNFIT_ENTRY, f"{meter}: its holder has another link by now")
        before = str((step.written or {}).get("holder", ""))
