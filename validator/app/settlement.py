"""What a zone seal settles: Wh credited once for each meter and window, cases, the zone's record.

Decides that BALANCED credits every meter inside the boundary what it counted; that no later
revision takes a credit back or gives it twice; that SUSPECT, IMPOSSIBLE and whatever is worse than
a BALANCED revision before it open a case; that INCONCLUSIVE waits and UNREFERENCED settles nothing.
A credit is provisional until every zone around has been settled too, which is derived (`is_firm`)
and needs no row of its own.
"""

from collections.abc import Mapping
from typing import Protocol

from validator.app.cases import Cause, Now, clear_cases, open_case
from validator.app.feeder import Feeder, Member
from validator.app.records import (
    CREDIT,
    SEALED,
    SETTLED_BY_BALANCE,
    TALLY,
    Credit,
    Sealed,
    Tally,
    key,
    packed_credit,
)
from validator.app.state import Overlay
from validator.app.zone_seal import Measured
from wire.results import Verdict, ZoneSeal


class Rows(Protocol):
    """Whatever has rows: the state, or a block's overlay over it."""

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""


def settle(
    overlay: Overlay,
    now: Now,
    feeder: Feeder,
    seal: ZoneSeal,
    measured: Mapping[str, Measured],
    settled: int,
) -> int:
    """Write what a seal settles to the overlay.

    Args:
        overlay: takes credits and cases.
        now: the block.
        feeder: the zone, for the window's length.
        seal: its new seal.
        measured: what the seal was made of, by meter id.
        settled: how an earlier revision was settled (`Sealed.settled`).

    Returns:
        How the window is settled now.
    """
    _count(overlay, seal)
    length_s = (seal.end_s - seal.start_s) // feeder.intervals
    if seal.verdict is Verdict.BALANCED:
        for member in feeder.inner:
            credit(overlay, member, seal.start_s, feeder.intervals, measured[member.id])
        clear_cases(overlay, now, seal.zone, range(seal.start_s, seal.end_s, length_s))
        return settled | SETTLED_BY_BALANCE
    # Windows that are part of this one now have no case of their own.
    inside = range(seal.start_s + length_s, seal.end_s, length_s)
    clear_cases(overlay, now, seal.zone, inside)
    if seal.verdict in (Verdict.SUSPECT, Verdict.IMPOSSIBLE):
        open_case(overlay, now, seal, Cause.DOES_NOT_ADD_UP)
    elif settled & SETTLED_BY_BALANCE:
        open_case(overlay, now, seal, Cause.WORSE_THAN_SETTLED)
    return settled


def credit(overlay: Overlay, member: Member, start_s: int, intervals: int, found: Measured) -> bool:
    """Credit a meter once for a window; False when it has been."""
    row = key(member.row, start_s)
    if overlay.get(CREDIT, row) is not None:
        return False
    overlay.put(CREDIT, row, packed_credit(found.import_wh, found.export_wh, intervals))
    return True


def _count(overlay: Overlay, seal: ZoneSeal) -> None:
    row = seal.zone.encode()
    values = list(Tally.of(overlay.get(TALLY, row)))
    values[seal.verdict] += 1
    overlay.put(TALLY, row, Tally(*values).packed())


def credited(rows: Rows, meter: str, start_s: int) -> Credit | None:
    """What was settled for a meter and the window that starts then, None when nothing was."""
    value = rows.get(CREDIT, key(meter, start_s))
    return None if value is None else Credit.of(value)


def is_firm(rows: Rows, feeders: Mapping[str, Feeder], zone: str, start_s: int) -> bool:
    """Tell whether a zone's credits of an interval stand: it and every zone around is settled.

    A zone around that has no boundary meter can neither confirm nor contradict: it is passed over.
    """
    own = True
    while zone:
        value = rows.get(SEALED, key(zone, start_s))
        bare = not feeders[zone].boundary and not own
        if not bare and (value is None or not Sealed.of(value).settled):
            return False
        zone, own = feeders[zone].parent, False
    return True
