"""What a zone seal settles: Wh credited once for each meter and interval, and cases.

Decides that BALANCED credits every meter inside the boundary what it counted; that no later
revision takes a credit back or gives it twice; that SUSPECT, IMPOSSIBLE and whatever is worse than
a BALANCED revision before it open a case; that INCONCLUSIVE waits and UNREFERENCED settles nothing.
A credit is provisional until every zone around has been BALANCED too, which is derived (`is_firm`)
and needs no row of its own.
"""

from collections.abc import Mapping
from typing import Protocol

from validator.app.feeder import Feeder
from validator.app.records import CASE, CREDIT, SEALED, Credit, Sealed, key
from validator.app.state import Overlay
from validator.app.zone_seal import Measured
from wire.results import Verdict, ZoneSeal


class Rows(Protocol):
    """Whatever has rows: the state, or a block's overlay over it."""

    def get(self, table: str, row: bytes) -> bytes | None:
        """Value of a row, None when there is none."""


def settle(
    overlay: Overlay,
    feeder: Feeder,
    seal: ZoneSeal,
    measured: Mapping[str, Measured],
    was_balanced: bool,
) -> None:
    """Write what a seal settles to the overlay.

    Args:
        overlay: takes credits and cases.
        feeder: the zone.
        seal: its new seal.
        measured: what the seal was made of, by meter id.
        was_balanced: an earlier revision was BALANCED.
    """
    if seal.verdict is Verdict.BALANCED:
        for member in feeder.inner:
            row = key(member.id, seal.start_s)
            if overlay.get(CREDIT, row) is None:
                found = measured[member.id]
                overlay.put(CREDIT, row, Credit(found.import_wh, found.export_wh).packed())
    elif was_balanced or seal.verdict in (Verdict.SUSPECT, Verdict.IMPOSSIBLE):
        row = key(feeder.zone, seal.start_s)
        if overlay.get(CASE, row) is None:
            overlay.put(CASE, row, seal.revision.to_bytes(4, "big"))


def credited(rows: Rows, meter: str, start_s: int) -> Credit | None:
    """What was settled for a meter and interval, None when nothing was."""
    value = rows.get(CREDIT, key(meter, start_s))
    return None if value is None else Credit.of(value)


def is_firm(rows: Rows, feeders: Mapping[str, Feeder], zone: str, start_s: int) -> bool:
    """Tell whether a zone's credits stand: it and every zone around it has been BALANCED."""
    while zone:
        value = rows.get(SEALED, key(zone, start_s))
        if value is None or not Sealed.of(value).ever_balanced:
            return False
        zone = feeders[zone].parent
    return True
