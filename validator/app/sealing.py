"""Which windows a block seals, and from which readings.

Decides when: after all transactions of a block, a window that has a new reading and is complete,
past its deadline or sealed before; and every window whose deadline has passed by header time. A
zone's windows begin with its first accepted reading. A window is judged by the registry of its
interval. Seals are derived, never carried, so nobody
can omit or time them. Decides which readings count: one for a meter and interval; two under
different sequences dispute each other, and the meter is missing.
"""

from typing import NamedTuple

from validator.app.feeder import Feeder, Member
from validator.app.parameters import Parameters
from validator.app.records import CURSOR, SEALED, AcceptedReading, Sealed, key
from validator.app.registries import Registries
from validator.app.settlement import settle
from validator.app.state import Overlay
from validator.app.zone_seal import Measured, judge
from wire import merkle
from wire.reading import ORIGIN_MODBUS
from wire.results import Verdict, ZoneSeal

_MOST_OVERDUE = 1_000
"""Windows of one zone that may come due by deadline in one block; the rest follow in the next."""

_FLOAT_BITS = 23


class SealedWindow(NamedTuple):
    """A seal with what it was made of."""

    seal: ZoneSeal
    """The seal."""

    inputs: tuple[bytes, ...]
    """SHA-256 of the readings that it used, in order of meter id."""


class _Window(NamedTuple):
    """The readings of one zone and interval that count."""

    measured: dict[str, Measured]
    """By meter id."""

    inputs: tuple[bytes, ...]
    """SHA-256 of each reading, in order of meter id."""

    complete: bool
    """Every member has exactly one reading."""


def seal_windows(
    registries: Registries, overlay: Overlay, time_s: int, touched: set[tuple[str, int]]
) -> list[SealedWindow]:
    """Seal what a block of this time makes due; returns the seals in order of (zone, start).

    Args:
        registries: who and what is registered, interval by interval.
        overlay: the state with the block's readings; takes the seals and what they settle.
        time_s: header time.
        touched: (zone, interval start) of the block's newly accepted readings.
    """
    starts: dict[str, set[int]] = {}
    for zone, start_s in touched:
        starts.setdefault(zone, set()).add(start_s)
    sealed = []
    parameters = registries.base.parameters
    for zone in registries.base.zones:
        new = starts.get(zone, set())
        overdue, cursor_s = _overdue(parameters, overlay, zone, time_s, new)
        for start_s in sorted(overdue | new):
            feeder = registries.at(start_s).feeders[zone]
            window = _window(parameters, overlay, feeder, start_s)
            ripe = window.complete or start_s < cursor_s
            if ripe or overlay.get(SEALED, key(zone, start_s)) is not None:
                result = _seal(parameters, overlay, feeder, start_s, window)
                if result is not None:
                    sealed.append(result)
    return sealed


def _overdue(
    parameters: Parameters, overlay: Overlay, zone: str, time_s: int, new: set[int]
) -> tuple[set[int], int]:
    """Move the zone's cursor past every window whose deadline has passed.

    Returns:
        Those of them that have no seal, and the cursor: older windows are past their deadline.
    """
    row = zone.encode()
    stored = overlay.get(CURSOR, row)
    if stored is None and not new:
        return set(), 0
    cursor_s = min(new) if stored is None else int.from_bytes(stored, "big")
    grace_s = (parameters.deadline_intervals + 1) * parameters.interval_s
    found: set[int] = set()
    while cursor_s + grace_s <= time_s and len(found) < _MOST_OVERDUE:
        if overlay.get(SEALED, key(zone, cursor_s)) is None:
            found.add(cursor_s)
        cursor_s += parameters.interval_s
    value = cursor_s.to_bytes(8, "big")
    if value != stored:
        overlay.put(CURSOR, row, value)
    return found, cursor_s


def _window(parameters: Parameters, overlay: Overlay, feeder: Feeder, start_s: int) -> _Window:
    """Gather the readings that count."""
    measured: dict[str, Measured] = {}
    inputs: list[tuple[str, bytes]] = []
    complete = True
    most_skew_ms = parameters.skew_missing_s * 1000
    for member in (*feeder.boundary, *feeder.inner):
        claims = overlay.claims(member.id, start_s)
        if len(claims) != 1:
            complete = False
            continue
        record = AcceptedReading.of(claims[0])
        if record.skew_ms <= most_skew_ms:
            measured[member.id] = _measured(member, record)
            inputs.append((member.id, record.reading_hash))
    inputs.sort()
    return _Window(measured, tuple(digest for _, digest in inputs), complete)


def _measured(member: Member, record: AcceptedReading) -> Measured:
    step_wh = member.step_wh
    if record.origin == ORIGIN_MODBUS:
        step_wh = max(step_wh, float_step_wh(max(record.import_wh, record.export_wh)))
    return Measured(record.import_advance_wh, record.export_advance_wh, record.skew_ms, step_wh)


def float_step_wh(register_wh: int) -> int:
    """Step of a binary32 register in kWh at this value (IEEE 754), Wh, rounded up."""
    exponent = max((register_wh // 1000).bit_length() - 1, 0)
    return -(-(1000 << exponent) // (1 << _FLOAT_BITS))


def _seal(
    parameters: Parameters, overlay: Overlay, feeder: Feeder, start_s: int, window: _Window
) -> SealedWindow | None:
    """Judge a window and settle it; None when nothing changed since its newest seal."""
    row = key(feeder.zone, start_s)
    stored = overlay.get(SEALED, row)
    before = None if stored is None else Sealed.of(stored)
    inputs_root = merkle.root([merkle.leaf_hash(digest) for digest in window.inputs])
    if before is not None and before.inputs_root == inputs_root:
        return None
    found = judge(feeder, parameters, window.measured)
    seal = ZoneSeal(
        zone=feeder.zone,
        start_s=start_s,
        end_s=start_s + parameters.interval_s,
        revision=0 if before is None else before.revision + 1,
        verdict=found.verdict,
        residual_wh=found.residual_wh,
        loss_low_wh=found.loss.low_wh,
        loss_high_wh=found.loss.high_wh,
        band_wh=found.band_wh,
        coverage_ppm=found.coverage_ppm,
        parameters_hash=feeder.parameters_hash,
        inputs_root=inputs_root,
    )
    was_balanced = before is not None and before.ever_balanced == 1
    balanced = was_balanced or found.verdict is Verdict.BALANCED
    now = Sealed(seal.revision, found.verdict, int(balanced), inputs_root)
    overlay.put(SEALED, row, now.packed())
    settle(overlay, feeder, seal, window.measured, was_balanced)
    return SealedWindow(seal, window.inputs)
