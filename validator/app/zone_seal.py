"""The balance verdict on one zone and window.

Decides H, N, R, the tolerances V and W and the verdict, in integers. A missing meter widens R by
everything that it could have measured, and the verdict must hold over that whole band; such a
window is never BALANCED. Which windows are judged, and when, is decided by `validator.app.sealing`.

With T the window's seconds, E_i import plus export of meter i, c_i its class limit at that load:

    R = H - N                          H from the boundary meters, N from all others
    d = max(0, R - Lhi, Llo - R)
    V = sum (c_i E_i)^2 + (c_common sum E_i)^2 + 10^12 sum [n_i step_i^2 / 2 + 2 (s_i E_i / T)^2]
    W = sum 2 c_i E_i + 10^6 sum [n_i step_i + 2 s_i rating_i / 3600]
    IMPOSSIBLE when d 10^6 > W, SUSPECT when 3 (d 10^6)^2 k_den^2 > k_num^2 V
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

from validator.app.feeder import Feeder, Member
from validator.app.losses import LossBounds, least_loss_wh, loss_bounds
from validator.app.parameters import Parameters
from wire.results import Verdict

_PPM = 1_000_000


class Measured(NamedTuple):
    """What one meter counted in the window."""

    import_wh: int
    """Import, Wh."""

    export_wh: int
    """Export, Wh."""

    skew_ms: int
    """How badly the window's ends are known, milliseconds."""

    step_wh: int
    """Step of its registers at their value, Wh."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rule says of one zone and window."""

    verdict: Verdict
    """The verdict."""

    residual_wh: int
    """R over the meters that are in."""

    loss: LossBounds
    """Least and most loss; over the whole band when a meter is missing."""

    band_wh: int
    """Energy that could hide: the losses' interval, the tolerance and what is missing."""

    coverage_ppm: int
    """Registered meters that are in, parts per million, rounded down."""


class _Sums:
    """Sums over the meters of one zone and window."""

    __slots__ = (
        "class_squares",
        "energy_wh",
        "high_wh",
        "limits",
        "low_wh",
        "rating_skew",
        "residual_wh",
        "skew_squares",
        "step_squares",
        "steps_wh",
    )

    def __init__(self) -> None:
        self.residual_wh = 0
        """R over the meters that are in."""

        self.low_wh = self.high_wh = 0
        """What missing meters could add to R at least and at most."""

        self.energy_wh = self.limits = self.class_squares = 0
        self.steps_wh = self.step_squares = self.rating_skew = self.skew_squares = 0

    def take(self, member: Member, found: Measured) -> int:
        """Add a meter that is in; return its energy both ways, Wh."""
        import_wh, export_wh, skew_ms, step_wh = found
        energy_wh = import_wh + export_wh
        for from_wh, limit in member.limits:
            if energy_wh >= from_wh:  # Always true of the last, which begins at 0.
                self._weigh(member, energy_wh, skew_ms, step_wh, limit * energy_wh)
                break
        return energy_wh

    def _weigh(
        self, member: Member, energy_wh: int, skew_ms: int, step_wh: int, weighted: int
    ) -> None:
        """Add one meter's share of V and W; `weighted` is its class limit times its energy."""
        steps_wh = member.registers * step_wh
        skewed = skew_ms * energy_wh
        self.energy_wh += energy_wh
        self.limits += weighted
        self.class_squares += weighted * weighted
        self.steps_wh += steps_wh
        self.step_squares += steps_wh * step_wh
        self.rating_skew += skew_ms * member.rating_w
        self.skew_squares += skewed * skewed

    def miss(self, member: Member, parameters: Parameters, sign: int) -> int:
        """Add a missing meter at its largest; `sign` is that of its import in R.

        Returns:
            The energy that it could have counted, Wh.
        """
        most = member.most
        self.low_wh -= most.export_wh if sign > 0 else most.import_wh
        self.high_wh += most.import_wh if sign > 0 else most.export_wh
        energy_wh = most.import_wh + most.export_wh
        skew_ms = parameters.skew_missing_s * 1000
        self._weigh(member, energy_wh, skew_ms, member.step_wh, member.worst_ppm * energy_wh)
        return energy_wh

    def variance(self, parameters: Parameters) -> int:
        """V, ppm^2 Wh^2; the skew's share is rounded up."""
        skew = -(-2 * _PPM * self.skew_squares // parameters.interval_s**2)
        common = (parameters.common_ppm * self.energy_wh) ** 2
        return self.class_squares + common + _PPM * _PPM // 2 * self.step_squares + skew

    def width(self) -> int:
        """W, ppm Wh; the skew's share is rounded up."""
        skew = -(-5 * self.rating_skew // 9)
        return 2 * self.limits + _PPM * self.steps_wh + skew


def judge(feeder: Feeder, parameters: Parameters, measured: Mapping[str, Measured]) -> Judgement:
    """Judge one zone and window of one interval.

    Args:
        feeder: the zone.
        parameters: of the rules.
        measured: by meter id; a meter that is not in it is missing.
    """
    members = len(feeder.boundary) + len(feeder.inner)
    if not feeder.boundary:
        coverage = len(measured) * _PPM // members if members else _PPM
        return Judgement(Verdict.UNREFERENCED, 0, LossBounds(0, 0), 0, coverage)
    sums = _Sums()
    _add_boundary(sums, feeder, parameters, measured)
    net_wh, gross_wh, dead_wh = _add_inner(sums, feeder, parameters, measured)
    missing = members - len(measured)
    low_wh, high_wh = loss_bounds(feeder, parameters, net_wh, gross_wh)
    if missing:
        low_wh = least_loss_wh(feeder, parameters)
    loss = LossBounds(low_wh, high_wh + dead_wh)
    verdict, tolerance_wh = _verdict(parameters, sums, loss)
    if missing and verdict is Verdict.BALANCED:
        verdict = Verdict.INCONCLUSIVE
    band_wh = loss.high_wh - loss.low_wh + tolerance_wh + sums.high_wh - sums.low_wh
    coverage = len(measured) * _PPM // members
    return Judgement(verdict, sums.residual_wh, loss, band_wh, coverage)


def _add_boundary(
    sums: _Sums, feeder: Feeder, parameters: Parameters, measured: Mapping[str, Measured]
) -> None:
    """Add H and what the boundary meters contribute to V and W."""
    for member in feeder.boundary:
        found = measured.get(member.id)
        if found is None:
            sums.miss(member, parameters, 1)
            continue
        sums.take(member, found)
        sums.residual_wh += found.import_wh - found.export_wh


def _add_inner(
    sums: _Sums, feeder: Feeder, parameters: Parameters, measured: Mapping[str, Measured]
) -> tuple[list[int], list[int], int]:
    """Subtract N, add to V and W; return net and gross energy by node, and the dead zones."""
    net_wh, gross_wh = [0] * feeder.nodes, [0] * feeder.nodes
    dead_wh = 0
    for member in feeder.inner:
        found = measured.get(member.id)
        if found is None:
            gross_wh[member.place] += sums.miss(member, parameters, -1)
            continue
        energy_wh = sums.take(member, found)
        inward_wh = found.import_wh - found.export_wh
        sums.residual_wh -= inward_wh
        net_wh[member.place] += inward_wh
        gross_wh[member.place] += energy_wh
        if energy_wh < member.dead_wh:
            dead_wh += member.dead_wh
    return net_wh, gross_wh, dead_wh


def _verdict(parameters: Parameters, sums: _Sums, loss: LossBounds) -> tuple[Verdict, int]:
    """Return what the smallest d of the band says, and the largest d that is BALANCED.

    d is whole Wh, so that comparing it with the rounded-down roots is exact.
    """
    distance_wh = max(
        0,
        sums.residual_wh + sums.low_wh - loss.high_wh,
        loss.low_wh - sums.residual_wh - sums.high_wh,
    )
    variance = parameters.class_k_num**2 * sums.variance(parameters)
    credible_wh = isqrt(variance // (3 * _PPM * _PPM * parameters.class_k_den**2))
    possible_wh = sums.width() // _PPM
    tolerance_wh = min(credible_wh, possible_wh)
    if distance_wh > possible_wh:
        return Verdict.IMPOSSIBLE, tolerance_wh
    if distance_wh > credible_wh:
        return Verdict.SUSPECT, tolerance_wh
    return Verdict.BALANCED, tolerance_wh
