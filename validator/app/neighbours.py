"""Rule T between a reading and its accepted neighbours in sequence, on both sides.

Decides whether two readings of one meter can stand in this order: registers, interval starts, boots
and operating seconds, and the hash chain. Neighbours are those in sequence, whenever they arrived.
"""

from typing import NamedTuple

from validator.app.parameters import Parameters
from validator.app.records import CONFLICT, Conflict, key
from validator.app.state import Overlay
from wire.reading import ORIGIN_OWN_ELEMENT, SignedReading

REGISTER_BACKWARDS = 23
REGISTER_GAP = 24
TIME_BACKWARDS = 25
OPERATING_TIME = 26
BROKEN_CHAIN = 27

_ZEROS = bytes(32)
_PPM = 1_000_000


class _Step(NamedTuple):
    """What this rule compares of a reading."""

    sequence: int
    start_s: int
    import_wh: int
    export_wh: int
    import_advance_wh: int
    export_advance_wh: int
    boots: int
    operating_s: int
    sig_hash: bytes
    previous: bytes


class _Pair(NamedTuple):
    """Two readings of one lane, of which one is new and the other its accepted neighbour."""

    lane: bytes
    earlier: _Step
    later: _Step
    own_element: bool

    @property
    def consecutive(self) -> bool:
        return self.earlier.sequence + 1 == self.later.sequence


def neighbour_fault(
    parameters: Parameters, overlay: Overlay, lane: bytes, signed: SignedReading
) -> int:
    """Return a reason code, 0 when the reading fits between its neighbours."""
    this = _step_of(signed)
    own_element = signed.reading.origin == ORIGIN_OWN_ELEMENT
    if own_element and this.sequence == 0 and this.previous != _ZEROS:
        return BROKEN_CHAIN
    before = overlay.before(lane, this.sequence)
    if before is not None:
        earlier = _accepted_step(overlay, lane, before)
        code = _pair_fault(parameters, overlay, _Pair(lane, earlier, this, own_element))
        if code:
            return code
    after = overlay.after(lane, this.sequence)
    if after is None:
        return 0
    later = _accepted_step(overlay, lane, after)
    return _pair_fault(parameters, overlay, _Pair(lane, this, later, own_element))


def _step_of(signed: SignedReading) -> _Step:
    reading = signed.reading
    return _Step(
        reading.sequence,
        reading.interval_start_s,
        reading.import_wh,
        reading.export_wh,
        reading.import_advance_wh,
        reading.export_advance_wh,
        reading.boots,
        reading.operating_s,
        signed.sig_hash,
        reading.previous,
    )


def _accepted_step(overlay: Overlay, lane: bytes, sequence: int) -> _Step:
    record = overlay.reading(lane, sequence)
    assert record is not None, "the index names a reading that has no row"
    return _Step(sequence, *record[:7], record.sig_hash, record.previous)


def _pair_fault(parameters: Parameters, overlay: Overlay, pair: _Pair) -> int:
    code = _register_fault(parameters, pair)
    if code:
        return code
    earlier, later = pair.earlier, pair.later
    if later.start_s < earlier.start_s:
        return TIME_BACKWARDS
    if pair.own_element:
        if later.boots < earlier.boots:
            return TIME_BACKWARDS
        if not _operating_time_fits(parameters, overlay, pair):
            return OPERATING_TIME
    if pair.consecutive and not _chained(overlay, pair):
        return BROKEN_CHAIN
    return 0


def _register_fault(parameters: Parameters, pair: _Pair) -> int:
    """Registers never run backwards, and what was counted in the later interval lies between.

    Nothing else lies between when both sequence and interval follow at once. A meter that was dead
    over a boundary numbers on, and its next register has what flowed meanwhile.
    """
    earlier, later = pair.earlier, pair.later
    import_wh = later.import_wh - earlier.import_wh
    export_wh = later.export_wh - earlier.export_wh
    if import_wh < 0 or export_wh < 0:
        return REGISTER_BACKWARDS
    import_rest = import_wh - later.import_advance_wh
    export_rest = export_wh - later.export_advance_wh
    if import_rest < 0 or export_rest < 0:
        return REGISTER_GAP
    adjacent = pair.consecutive and later.start_s == earlier.start_s + parameters.interval_s
    return REGISTER_GAP if adjacent and (import_rest or export_rest) else 0


def _operating_time_fits(parameters: Parameters, overlay: Overlay, pair: _Pair) -> bool:
    """Operating seconds keep step with interval starts in one boot, and only lag across boots."""
    elapsed_s = pair.later.start_s - pair.earlier.start_s
    ran_s = pair.later.operating_s - pair.earlier.operating_s
    # Rounded down: a second of drift counts when it is whole.
    slack_s = parameters.operating_tolerance_s + elapsed_s * parameters.operating_drift_ppm // _PPM
    if not 0 <= ran_s <= elapsed_s + slack_s:
        return False
    if pair.later.boots != pair.earlier.boots:
        return True
    # The first record of a boot may close an interval of long before the outage.
    return ran_s >= elapsed_s - slack_s or _first_of_its_boot(overlay, pair)


def _first_of_its_boot(overlay: Overlay, pair: _Pair) -> bool:
    sequence = overlay.before(pair.lane, pair.earlier.sequence)
    if sequence is None:
        return True
    return _accepted_step(overlay, pair.lane, sequence).boots != pair.earlier.boots


def _chained(overlay: Overlay, pair: _Pair) -> bool:
    """The later one carries the hash of the earlier, or of what else was signed in its place."""
    carried = pair.later.previous
    if carried == pair.earlier.sig_hash:
        return True
    if not pair.own_element and carried == _ZEROS:
        return True  # A reader that lost its spool begins a new chain.
    other = overlay.get(CONFLICT, key(pair.lane, pair.earlier.sequence))
    return other is not None and Conflict.of(other).sig_hash == carried
