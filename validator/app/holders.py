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
    found: list[Opening] = []
    for step in registries.history("meters", meter):
        holder = str((step.written or {}).get("holder", ""))
        edits = () if step.change is None else step.change.edits
        if found and any(isinstance(edit, Relink) and edit.leaked for edit in edits):
            _exchange(found, found[-1].holder, holder)
        found.append(Opening(step.from_s, step.until_s, holder))
    return found


def _exchange(found: list[Opening], old: str, new: str) -> None:
    """Let another link stand for the newest one, as far back as that was the meter's."""
    for place in reversed(range(len(found))):
        if found[place].holder != old:
            return
        found[place] = found[place]._replace(holder=new)


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
