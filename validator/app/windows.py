"""What counts for a zone's window: which reading, and what registers say over a gap.

Decides which reading of a meter and interval counts: of the meter itself or its first reader, else
of another reader; two under different sequences dispute each other, and one whose interval is
badly known, or whose meter says itself that it has not measured, is as good as missing. Decides
what a meter counted in a merged window: the difference of its registers at both ends, which any
reading next to them tells; where one meter took another's place, its registers tell the other's
end. When windows are judged is decided by `validator.app.sealing`.
"""

from typing import NamedTuple

from validator.app.feeder import Feeder, Member
from validator.app.parameters import Parameters
from validator.app.records import AcceptedReading
from validator.app.registries import Registries
from validator.app.state import Overlay
from validator.app.zone_seal import Measured
from wire.reading import ORIGIN_MODBUS

UNMEASURED = 1 << 2 | 1 << 18
"""Status bits of a value that is no measurement: data not valid; the element did not answer and the
register was held."""

MARKED = 1 << 0 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14
"""Status bits that a seal counts and a case shows: an error, a cover or terminals opened, a magnet,
phases, configuration or firmware changed. They refuse nothing and change no verdict."""

_FLOAT_BITS = 23


class Window(NamedTuple):
    """The readings of one zone and window that count."""

    measured: dict[str, Measured]
    """By meter id."""

    inputs: tuple[bytes, ...]
    """SHA-256 of each reading, in order of meter id and time."""

    complete: bool
    """Every member has its reading, or registers at both ends; more would change nothing."""

    unusable: bool
    """A member has readings, and none of them counts."""

    marked: tuple[str, ...]
    """Meters one of whose readings has a bit of MARKED."""


def usable(
    parameters: Parameters, overlay: Overlay, meter: str, start_s: int
) -> AcceptedReading | None:
    """The reading that counts for a meter and interval, None when there is none."""
    return _counting(overlay.claims(meter, start_s), parameters.skew_missing_s * 1000)


def _counting(claims: tuple[AcceptedReading, ...], most_skew_ms: int) -> AcceptedReading | None:
    if len(claims) != 1:
        if not claims:
            return None
        # Readers number by interval, so that each has one at most; rows are in order of lane.
        first = tuple(each for each in claims if not each.secondary)
        claims = first or claims[:1]
        if len(claims) > 1:
            return None
    found = claims[0]
    if found.skew_ms > most_skew_ms or found.status & UNMEASURED:
        return None
    return found


def ordinary(parameters: Parameters, overlay: Overlay, feeder: Feeder, start_s: int) -> Window:
    """Gather a window of one interval from its readings."""
    measured: dict[str, Measured] = {}
    inputs: list[tuple[str, bytes]] = []
    marked: list[str] = []
    complete, unusable = True, False
    claimed = overlay.claimed
    most_skew_ms = parameters.skew_missing_s * 1000
    for member in (*feeder.boundary, *feeder.inner):
        claims = claimed(member.row, start_s)
        found = _counting(claims, most_skew_ms)
        if found is None:
            unusable |= bool(claims)
            complete &= bool(claims)
            continue
        measured[member.id] = Measured(
            found.import_advance_wh,
            found.export_advance_wh,
            found.skew_ms,
            member.step_wh if found.origin != ORIGIN_MODBUS else _step_wh(member, found),
            (found.import_varh, found.export_varh) if found.tells_reactive else None,
        )
        inputs.append((member.id, found.reading_hash))
        if found.status & MARKED:
            marked.append(member.id)
    inputs.sort()
    hashes = tuple(digest for _, digest in inputs)
    return Window(measured, hashes, complete, unusable, tuple(marked))


def _step_wh(member: Member, record: AcceptedReading) -> int:
    if record.origin != ORIGIN_MODBUS:
        return member.step_wh
    return max(member.step_wh, float_step_wh(max(record.import_wh, record.export_wh)))


def float_step_wh(register_wh: int) -> int:
    """Step of a binary32 register in kWh at this value (IEEE 754), Wh, rounded up."""
    exponent = max((register_wh // 1000).bit_length() - 1, 0)
    return -(-(1000 << exponent) // (1 << _FLOAT_BITS))


class _Edge(NamedTuple):
    """A meter's registers at one moment, and the reading that tells them."""

    import_wh: int
    export_wh: int
    record: AcceptedReading


class Registers:
    """What meters' registers showed at the boundaries of intervals."""

    def __init__(self, parameters: Parameters, overlay: Overlay, registries: Registries) -> None:
        self._parameters = parameters
        self._overlay = overlay
        self._registries = registries
        self._found: dict[tuple[str, int], AcceptedReading | None] = {}

    @property
    def looked_up(self) -> int:
        """How many readings have been looked for."""
        return len(self._found)

    def usable(self, meter: str, start_s: int) -> AcceptedReading | None:
        """The reading that counts for a meter and interval."""
        place = (meter, start_s)
        if place not in self._found:
            self._found[place] = usable(self._parameters, self._overlay, meter, start_s)
        return self._found[place]

    def opening(self, meter: str, at_s: int) -> _Edge | None:
        """A meter's registers at the start of a window."""
        own = self._opening(meter, at_s)
        exchange = self._registries.exchange(meter) if own is None else None
        if exchange is None:
            return own
        return _joined(self._closing(exchange.old, at_s), exchange.old_wh, exchange.start_wh)

    def closing(self, meter: str, at_s: int) -> _Edge | None:
        """A meter's registers at the end of a window."""
        own = self._closing(meter, at_s)
        found = self._registries.successor(meter) if own is None else None
        if found is None:
            return own
        name, exchange = found
        return _joined(self._opening(name, at_s), exchange.start_wh, exchange.old_wh)

    def _opening(self, meter: str, at_s: int) -> _Edge | None:
        inside = self.usable(meter, at_s)
        if inside is not None:
            return _before(inside)
        outside = self.usable(meter, at_s - self._parameters.interval_s)
        return None if outside is None else _after(outside)

    def _closing(self, meter: str, at_s: int) -> _Edge | None:
        inside = self.usable(meter, at_s - self._parameters.interval_s)
        if inside is not None:
            return _after(inside)
        outside = self.usable(meter, at_s)
        return None if outside is None else _before(outside)

    def has_returned(self, meter: str, start_s: int) -> bool:
        """Whether a meter, or the one in its place, has a reading of this interval or later."""
        if self._overlay.newest_s(meter) >= start_s:
            return True
        found = self._registries.successor(meter)
        return found is not None and self._overlay.newest_s(found[0]) >= start_s


def _before(record: AcceptedReading) -> _Edge:
    import_wh = record.import_wh - record.import_advance_wh
    return _Edge(import_wh, record.export_wh - record.export_advance_wh, record)


def _after(record: AcceptedReading) -> _Edge:
    return _Edge(record.import_wh, record.export_wh, record)


def _joined(edge: _Edge | None, own: tuple[int, int], other: tuple[int, int]) -> _Edge | None:
    """One meter's registers, as the other would show them that it took the place of, or gave it.

    Args:
        edge: of the one that has readings.
        own: what it showed at the exchange, Wh.
        other: what the other showed then, Wh.
    """
    if edge is None:
        return None
    import_wh, export_wh = edge.import_wh - own[0] + other[0], edge.export_wh - own[1] + other[1]
    return _Edge(import_wh, export_wh, edge.record)


def merged(
    parameters: Parameters, registers: Registers, feeder: Feeder, start_s: int, intervals: int
) -> Window:
    """Gather a merged window from its members' registers at both ends."""
    measured: dict[str, Measured] = {}
    inputs: list[tuple[str, int, bytes]] = []
    marked: list[str] = []
    length = parameters.interval_s
    starts = range(start_s, start_s + intervals * length, length)
    for member in (*feeder.boundary, *feeder.inner):
        first = registers.opening(member.id, start_s)
        last = registers.closing(member.id, start_s + intervals * length)
        if first is None or last is None:
            continue
        inside = [registers.usable(member.id, each_s) for each_s in starts]
        used = [each for each in inside if each is not None]
        measured[member.id] = _difference(member, first, last, used, intervals)
        used += [edge.record for edge in (first, last) if edge.record not in used]
        inputs += [(member.id, each.start_s, each.reading_hash) for each in used]
        if any(each.status & MARKED for each in used):
            marked.append(member.id)
    inputs.sort()
    hashes = tuple(digest for _, _, digest in inputs)
    complete = len(measured) == len(feeder.boundary) + len(feeder.inner)
    return Window(measured, hashes, complete, False, tuple(marked))


def _difference(
    member: Member, first: _Edge, last: _Edge, inside: list[AcceptedReading], intervals: int
) -> Measured:
    """What a meter counted between two moments, and at most in one interval between them.

    Two readers of one meter may read it a moment apart, so that a difference of theirs can fall
    short of 0. `member` is one of `Feeder.over(intervals)`.
    """
    import_wh = max(0, last.import_wh - first.import_wh)
    export_wh = max(0, last.export_wh - first.export_wh)
    known = [each.import_advance_wh + each.export_advance_wh for each in inside]
    most_wh = (member.most.import_wh + member.most.export_wh) // intervals
    unknown_wh = max(0, min(import_wh + export_wh - sum(known), most_wh))
    skew_ms = max(first.record.skew_ms, last.record.skew_ms)
    step_wh = _step_wh(member, last.record)
    return Measured(import_wh, export_wh, skew_ms, step_wh, None, max(unknown_wh, *known, 0))


def span_of_gap(
    parameters: Parameters, registers: Registers, feeder: Feeder, start_s: int
) -> tuple[int, int] | None:
    """The shortest window around an interval at whose ends every member's registers are known.

    Returns:
        Its start and its length in intervals; None when there is none within the longest.
    """
    length = parameters.interval_s
    first_s, end_s = start_s, start_s + length
    longest_s = parameters.bridge_intervals * length
    members = [member.id for member in (*feeder.boundary, *feeder.inner)]
    if not all(registers.has_returned(meter, start_s) for meter in members):
        return None
    settled = False
    while not settled:
        settled = True
        for meter in members:
            while registers.opening(meter, first_s) is None and end_s - first_s <= longest_s:
                first_s, settled = first_s - length, False
            while registers.closing(meter, end_s) is None and end_s - first_s <= longest_s:
                end_s, settled = end_s + length, False
        if end_s - first_s > longest_s:
            return None
    return first_s, (end_s - first_s) // length
