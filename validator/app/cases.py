"""Cases: windows that authorities have to look at, and how they are opened, cleared and resolved.

Decides what a case is and when it changes: a window that does not add up opens one, so does a
revision worse than what was settled, so does an inconclusive window whose acceptance window has
ended. A later BALANCED revision clears it; a merged window has one case, and clears those of the
windows that it takes in. A resolution is signed by the zone's grid operator and names the revision
that it was made on; `settle` credits what meters have signed and nobody has credited yet, late
readings included, `dismiss` credits nothing. No case credits what no meter signed, and none takes a
credit back.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, Self

from validator.app.records import CASE, SEALED, TALLY, Sealed, Tally, key
from validator.app.state import Overlay
from wire.results import Verdict, ZoneSeal


class Now(NamedTuple):
    """The block that is executed."""

    height: int
    """Its height."""

    time_s: int
    """Its network time, Unix seconds."""


class Status(IntEnum):
    """Where a case stands."""

    OPEN = 0
    SETTLED = 1
    DISMISSED = 2
    CLEARED = 3


class Cause(IntEnum):
    """Why a case was opened."""

    DOES_NOT_ADD_UP = 0
    WORSE_THAN_SETTLED = 1
    WINDOW_ENDED = 2


class Case(NamedTuple):
    """One window that authorities have to look at."""

    status: int
    """Where it stands."""

    cause: int
    """Why it was opened."""

    verdict: int
    """Verdict of the newest seal that it is about."""

    revision: int
    """Revision of that seal: a resolution names it."""

    end_s: int
    """End of the window, Unix seconds."""

    opened: int
    """Height of the block that opened it."""

    closed: int
    """Height of the block that resolved or cleared it; 0 while it is open."""

    resolution: bytes
    """Id of the transaction that resolved it, 32 bytes; zeros when none did."""

    def packed(self) -> bytes:
        """As stored."""
        return _CASE.pack(*self)

    @classmethod
    def of(cls, value: bytes) -> Self:
        """As stored, read back."""
        return cls._make(_CASE.unpack(value))


_CASE = struct.Struct(">3BIQQQ32s")
_NONE = bytes(32)


def case_of(overlay: Overlay, zone: str, start_s: int) -> Case | None:
    """The case about a window, None when there is none."""
    value = overlay.get(CASE, key(zone, start_s))
    return None if value is None else Case.of(value)


def open_case(overlay: Overlay, now: Now, seal: ZoneSeal, cause: Cause) -> None:
    """Open the case of a seal's window; an open one goes on with the newer revision."""
    found = case_of(overlay, seal.zone, seal.start_s)
    if found is not None and found.status == Status.OPEN:
        case = found._replace(verdict=seal.verdict, revision=seal.revision, end_s=seal.end_s)
    else:
        case = Case(
            Status.OPEN, cause, seal.verdict, seal.revision, seal.end_s, now.height, 0, _NONE
        )
        _count(overlay, seal.zone, opened=1)
    overlay.put(CASE, key(seal.zone, seal.start_s), case.packed())


def clear_cases(overlay: Overlay, now: Now, zone: str, starts: Iterable[int]) -> None:
    """Close the open cases of windows that a later seal has cleared, or taken into its own."""
    for start_s in starts:
        found = case_of(overlay, zone, start_s)
        if found is not None and found.status == Status.OPEN:
            close_case(overlay, now, zone, start_s, found._replace(status=Status.CLEARED))


def close_case(overlay: Overlay, now: Now, zone: str, start_s: int, case: Case) -> None:
    """Write a case that is open no more."""
    before = case_of(overlay, zone, start_s)
    overlay.put(CASE, key(zone, start_s), case._replace(closed=now.height).packed())
    if before is not None and before.status == Status.OPEN:
        _count(overlay, zone, closed=1)


def end_of_window(overlay: Overlay, now: Now, length_s: int, zone: str, start_s: int) -> None:
    """Open a case when a window that is inconclusive can no longer become anything else."""
    value = overlay.get(SEALED, key(zone, start_s))
    if value is None:
        return
    sealed = Sealed.of(value)
    if sealed.verdict != Verdict.INCONCLUSIVE or sealed.settled or sealed.offset:
        return
    if case_of(overlay, zone, start_s) is not None:
        return
    end_s = start_s + max(1, sealed.merged) * length_s
    case = Case(
        Status.OPEN,
        Cause.WINDOW_ENDED,
        sealed.verdict,
        sealed.revision,
        end_s,
        now.height,
        0,
        _NONE,
    )
    overlay.put(CASE, key(zone, start_s), case.packed())
    _count(overlay, zone, opened=1)


def _count(overlay: Overlay, zone: str, opened: int = 0, closed: int = 0) -> None:
    row = zone.encode()
    tally = Tally.of(overlay.get(TALLY, row))
    tally = tally._replace(opened=tally.opened + opened, closed=tally.closed + closed)
    overlay.put(TALLY, row, tally.packed())
