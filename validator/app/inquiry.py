"""What the state says of settlement, for whoever asks: cases, credits, a zone's record.

Decides nothing: gathers what the rules have written, and what was known of a window then. Whoever
serves it decides who may see it.
"""

from typing import NamedTuple

from validator.app.cases import Case, Status, case_of
from validator.app.entries import Role
from validator.app.records import CASE, SEALED, TALLY, Sealed, Tally, key
from validator.app.registries import Registries
from validator.app.settlement import credited, is_firm
from validator.app.state import Overlay, State
from validator.app.windows import MARKED, usable
from wire.results import Verdict


class CaseOutline(NamedTuple):
    """A case in a list."""

    zone: str
    """Zone id."""

    start_s: int
    """Start of its window, Unix seconds."""

    case: Case
    """How it stands."""


class CaseReport(NamedTuple):
    """A case with what is known of its window."""

    zone: str
    """Zone id."""

    start_s: int
    """Start of its window, Unix seconds."""

    case: Case
    """How it stands."""

    missing: tuple[str, ...]
    """Members without a reading that counts in one of its intervals."""

    late: tuple[str, ...]
    """Members with a late reading of one of its intervals: only a resolution settles it."""

    marked: tuple[tuple[str, int], ...]
    """Members whose readings report a fault or that something was done to them: the bits."""

    inside: tuple[tuple[str, Verdict | None], ...]
    """Zones inside and their newest verdicts on its first interval. When all of them are BALANCED
    the fault lies between them, or in one of their boundary meters."""


class CreditedWindow(NamedTuple):
    """What was settled for a meter and window."""

    start_s: int
    """Start of the window, Unix seconds."""

    intervals: int
    """Its length."""

    import_wh: int
    """Taken from the grid, Wh."""

    export_wh: int
    """Given to it, Wh."""

    firm: bool
    """Every zone around is settled too; else the credit is provisional."""


def cases(state: State, zone: str = "", open_only: bool = False) -> list[CaseOutline]:
    """All cases, or those of a zone, or open ones only; in order of zone and window."""
    found = (
        CaseOutline(row[:-9].decode(), int.from_bytes(row[-8:], "big"), Case.of(value))
        for row, value in state.rows(CASE)
    )
    return [
        each
        for each in found
        if zone in ("", each.zone) and not (open_only and each.case.status != Status.OPEN)
    ]


def case(registries: Registries, state: State, zone: str, start_s: int) -> CaseReport | None:
    """A case with what is known of its window, None when there is none."""
    overlay, parameters = Overlay(state), registries.base.parameters
    found = case_of(overlay, zone, start_s)
    if found is None:
        return None
    registry = registries.at(start_s)
    feeder = registry.feeders[zone]
    missing, late, marked = [], [], []
    for member in sorted((*feeder.boundary, *feeder.inner), key=lambda each: each.id):
        bits, silent, waiting = 0, False, False
        for each_s in range(start_s, found.end_s, parameters.interval_s):
            record = usable(parameters, overlay, member.id, each_s)
            silent |= record is None
            waiting |= bool(overlay.late(member.id, each_s))
            for claim in (*overlay.claims(member.id, each_s), *overlay.late(member.id, each_s)):
                bits |= claim.status & MARKED
        missing += [member.id] if silent else []
        late += [member.id] if waiting else []
        marked += [(member.id, bits)] if bits else []
    children = sorted(each.id for each in registry.zones.values() if each.parent == zone)
    inside = tuple((name, _verdict(state, name, start_s)) for name in children)
    return CaseReport(zone, start_s, found, tuple(missing), tuple(late), tuple(marked), inside)


def _verdict(state: State, zone: str, start_s: int) -> Verdict | None:
    value = state.get(SEALED, key(zone, start_s))
    return None if value is None else Verdict(Sealed.of(value).verdict)


def credits_of(
    registries: Registries, state: State, meter: str, from_s: int, to_s: int
) -> list[CreditedWindow]:
    """What was settled for a meter in windows that start in [from, to), ascending."""
    length = registries.base.parameters.interval_s
    found = []
    for start_s in range(-(-from_s // length) * length, to_s, length):
        value = credited(state, meter, start_s)
        if value is None:
            continue
        registry = registries.at(start_s)
        entry = registry.meters[meter]
        own = registry.zones[entry.zone]
        zone = own.parent if entry.role is Role.BOUNDARY else own.id
        firm = is_firm(state, registry.feeders, zone, start_s)
        import_wh, export_wh, intervals = value
        found.append(CreditedWindow(start_s, intervals, import_wh, export_wh, firm))
    return found


def tally(state: State, zone: str) -> Tally:
    """A zone's record."""
    return Tally.of(state.get(TALLY, zone.encode()))
