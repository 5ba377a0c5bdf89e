"""Rule T between a reading and its accepted neighbours in sequence, on both sides.

Decides whether two readings of one meter can stand in this order: registers, interval starts, boots
and operating seconds, and the hash chain. Neighbours are those in sequence, whenever they arrived.
Notes gaps: intervals between two neighbours that have no reading. What is measured over a gap is
decided by `validator.app.windows`.
"""

from typing import NamedTuple

from validator.app.parameters import Parameters
from validator.app.records import CONFLICT, AcceptedReading, Conflict, key
from validator.app.state import Overlay
from wire.reading import ORIGIN_OWN_ELEMENT

REGISTER_BACKWARDS = 23
REGISTER_GAP = 24
TIME_BACKWARDS = 25
OPERATING_TIME = 26
BROKEN_CHAIN = 27

_ZEROS = bytes(32)
_PPM = 1_000_000


class Gap(NamedTuple):
    """Intervals between two neighbours in sequence that have no reading."""

    start_s: int
    """Start of the first one, Unix seconds."""

    for_good: bool
    """The sequence has no gap: no reading of them was ever made."""


class Fit(NamedTuple):
    """How a reading fits between its neighbours."""

    code: int
    """A reason code, 0 when it fits."""

    gaps: tuple[Gap, ...]
    """Gaps beside it."""


_FITS = Fit(0, ())


class _Pair(NamedTuple):
    """Two readings of one lane, of which one is new and the other its accepted neighbour."""

    lane: bytes
    sequence: int
    """Of the earlier one."""

    earlier: AcceptedReading
    later: AcceptedReading


def fit(
    parameters: Parameters, overlay: Overlay, lane: bytes, sequence: int, new: AcceptedReading
) -> Fit:
    """Tell whether a reading fits between its neighbours, and what is missing beside it.

    Args:
        parameters: of the rules.
        overlay: what has been accepted.
        lane: the reading's lane.
        sequence: its sequence; no accepted reading has it.
        new: what the state would remember of it.
    """
    own_element = new.origin == ORIGIN_OWN_ELEMENT
    if own_element and sequence == 0 and new.previous != _ZEROS:
        return Fit(BROKEN_CHAIN, ())
    gaps: tuple[Gap, ...] = ()
    before, after = overlay.around(lane, sequence)
    this = (sequence, new)
    for (first, earlier), (second, later) in ((before, this), (this, after)):
        if earlier is None or later is None:
            continue
        consecutive = first + 1 == second
        pair = _Pair(lane, first, earlier, later)
        code = _pair_fault(parameters, overlay, pair, consecutive)
        if code:
            return Fit(code, ())
        start_s = earlier.start_s + parameters.interval_s
        if start_s < later.start_s:
            gaps = (*gaps, Gap(start_s, own_element and consecutive))
    return Fit(0, gaps) if gaps else _FITS


def _pair_fault(parameters: Parameters, overlay: Overlay, pair: _Pair, consecutive: bool) -> int:
    _, _, earlier, later = pair
    elapsed_s = later.start_s - earlier.start_s
    code = _register_fault(earlier, later, consecutive and elapsed_s == parameters.interval_s)
    if code:
        return code
    if elapsed_s < 0:
        return TIME_BACKWARDS
    if later.origin == ORIGIN_OWN_ELEMENT:
        if later.boots < earlier.boots:
            return TIME_BACKWARDS
        if not _operating_time_fits(parameters, overlay, pair):
            return OPERATING_TIME
    return BROKEN_CHAIN if consecutive and not _chained(overlay, pair) else 0


def _register_fault(earlier: AcceptedReading, later: AcceptedReading, adjacent: bool) -> int:
    """Registers never run backwards, and what was counted in the later interval lies between.

    Nothing else lies between when both sequence and interval follow at once. A meter that was dead
    over a boundary numbers on, and its next register has what flowed meanwhile.
    """
    import_wh = later.import_wh - earlier.import_wh
    export_wh = later.export_wh - earlier.export_wh
    if import_wh < 0 or export_wh < 0:
        return REGISTER_BACKWARDS
    import_rest = import_wh - later.import_advance_wh
    export_rest = export_wh - later.export_advance_wh
    if import_rest < 0 or export_rest < 0:
        return REGISTER_GAP
    return REGISTER_GAP if adjacent and (import_rest or export_rest) else 0


def _operating_time_fits(parameters: Parameters, overlay: Overlay, pair: _Pair) -> bool:
    """Operating seconds keep step with interval starts in one boot, and only lag across boots."""
    _, _, earlier, later = pair
    elapsed_s = later.start_s - earlier.start_s
    ran_s = later.operating_s - earlier.operating_s
    # Rounded down: a second of drift counts when it is whole.
    slack_s = parameters.operating_tolerance_s + elapsed_s * parameters.operating_drift_ppm // _PPM
    if not 0 <= ran_s <= elapsed_s + slack_s:
        return False
    if later.boots != earlier.boots:
        return True
    # The first record of a boot may close an interval of long before the outage.
    return ran_s >= elapsed_s - slack_s or _first_of_its_boot(overlay, pair)


def _first_of_its_boot(overlay: Overlay, pair: _Pair) -> bool:
    (_, before), _ = overlay.around(pair.lane, pair.sequence)
    return before is None or before.boots != pair.earlier.boots


def _chained(overlay: Overlay, pair: _Pair) -> bool:
    """The later one carries the hash of the earlier, or of what else was signed in its place."""
    carried = pair.later.previous
    if carried == pair.earlier.sig_hash:
        return True
    if pair.later.origin != ORIGIN_OWN_ELEMENT and carried == _ZEROS:
        return True  # A reader that lost its spool begins a new chain.
    other = overlay.get(CONFLICT, key(pair.lane, pair.sequence))
    return other is not None and Conflict.of(other).sig_hash == carried
