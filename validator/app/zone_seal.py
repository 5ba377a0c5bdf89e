"""The balance verdict on one zone and window.

Decides H, N, R, the tolerances V and W and the verdict, in integers. A missing meter widens R by
everything that it could have measured, and the verdict must hold over that whole band; such a
window is never BALANCED. Which windows are judged, and when, is decided by `validator.app.sealing`;
a window of several intervals is judged with `Feeder.over`.

With T the window's seconds, E_i import plus export of meter i (or the energy of a scheduled load),
P_i its largest energy in one interval of t seconds, c_i its class limit at that load plus that of
its current and voltage transformers, q_i the root of the sum of their squares, for those two errors
know nothing of each other:

    R = H - N                          H from the boundary meters, N from all others
    d = max(0, R - Lhi, Llo - R)
    V = sum (q_i E_i)^2 + (c_common sum E_i)^2 + 10^12 sum [n_i step_i^2 / 2 + 2 (s_i P_i / t)^2]
    W = sum 2 c_i E_i + 10^6 sum [n_i step_i + 2 s_i rating_i / 3600]
    IMPOSSIBLE when d 10^6 > W, SUSPECT when 3 (d 10^6)^2 k_den^2 > k_num^2 V
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import NamedTuple

from validator.app.feeder import Feeder, Member
from validator.app.losses import Flows, LossBounds, Losses, losses, plain_losses
from validator.app.parameters import Parameters
from wire.results import Verdict

_PPM = 1_000_000
_MOST_TOLD = 2**63 - 1
"""Wh. Registered losses and ratings may make more of it than a seal's integers hold; a seal then
says this much. The verdict is drawn from the exact sums."""


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

    reactive: tuple[int, int] | None = None
    """Reactive import and export, varh; None when it does not tell."""

    peak_wh: int = 0
    """In a merged window: import plus export of the interval in which it was most; else 0."""


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
    """Energy that could hide: the losses' interval, the tolerance on both of its sides (the honest
    residual may lie at one end and a forger's sum at the other), and what is missing."""

    coverage_ppm: int
    """Registered meters that are in, parts per million, rounded down."""

    overloaded: tuple[str, ...]
    """The line rule: branches that carried more than they are built for, by id."""


class _Sums:
    """Sums over the meters of one zone and window."""

    __slots__ = (
        "class_squares",
        "dead_wh",
        "energy_wh",
        "high_wh",
        "limits",
        "low_wh",
        "missing",
        "rating_skew",
        "residual_wh",
        "skew_squares",
        "step_squares",
        "steps_wh",
        "told",
    )

    def __init__(self) -> None:
        self.residual_wh = 0
        """R over the meters that are in."""

        self.low_wh = self.high_wh = 0
        """What missing meters could add to R at least and at most."""

        self.dead_wh = 0
        """What meters inside may not have counted."""

        self.missing: list[tuple[Member, int]] = []
        """Meters that are not in, with the sign of their import in R."""

        self.told = False
        """Whether a meter inside tells its reactive energy."""

        self.energy_wh = self.limits = self.class_squares = 0
        self.steps_wh = self.step_squares = self.rating_skew = self.skew_squares = 0

    def take(
        self,
        members: tuple[Member, ...],
        measured: Mapping[str, Measured],
        sign: int,
        net_wh: list[int],
        gross_wh: list[int],
    ) -> None:
        """Add the meters of one side of the boundary; `sign` is that of their import in R.

        Net and gross energy are added by node. The loop is the rules' hot path: sums are local.
        """
        residual = energy_sum = limits_sum = class_squares = 0
        steps_sum = step_squares = rating_skew = skew_squares = 0
        for member in members:
            name, place, limits, _, registers, _, rating_w, dead_wh, _, _ = member
            found = measured.get(name)
            if found is None:
                self.missing.append((member, sign))
                continue
            import_wh, export_wh, skew_ms, step_wh, reactive, peak_wh = found
            energy_wh = import_wh + export_wh
            for from_wh, limit, square in limits:
                if energy_wh >= from_wh:  # Always true of the last, which begins at 0.
                    limits_sum += limit * energy_wh
                    class_squares += square * energy_wh * energy_wh
                    break
            steps_wh = registers * step_wh
            skewed = skew_ms * (peak_wh or energy_wh)
            inward_wh = import_wh - export_wh
            residual += inward_wh
            energy_sum += energy_wh
            steps_sum += steps_wh
            step_squares += steps_wh * step_wh
            rating_skew += skew_ms * rating_w
            skew_squares += skewed * skewed
            net_wh[place] += inward_wh
            gross_wh[place] += energy_wh
            if energy_wh < dead_wh:
                self.dead_wh += dead_wh
            if reactive is not None:
                self.told = True
        self.residual_wh += sign * residual
        self.energy_wh += energy_sum
        self.limits += limits_sum
        self.class_squares += class_squares
        self.steps_wh += steps_sum
        self.step_squares += step_squares
        self.rating_skew += rating_skew
        self.skew_squares += skew_squares

    def reckon(self, energy_wh: int, limit_ppm: int) -> None:
        """Add a scheduled load."""
        self.residual_wh -= energy_wh
        self.energy_wh += energy_wh
        self.limits += limit_ppm * energy_wh
        self.class_squares += (limit_ppm * energy_wh) ** 2

    def miss(self, member: Member, parameters: Parameters, sign: int, intervals: int) -> None:
        """Add a missing meter at its largest; `sign` is that of its import in R."""
        most = member.most
        self.low_wh -= most.export_wh if sign > 0 else most.import_wh
        self.high_wh += most.import_wh if sign > 0 else most.export_wh
        energy_wh = most.import_wh + most.export_wh
        _, limit, square = member.worst
        steps_wh = member.registers * member.step_wh
        skew_ms = parameters.skew_missing_s * 1000
        self.energy_wh += energy_wh
        self.limits += limit * energy_wh
        self.class_squares += square * energy_wh * energy_wh
        self.steps_wh += steps_wh
        self.step_squares += steps_wh * member.step_wh
        self.rating_skew += skew_ms * member.rating_w
        self.skew_squares += (skew_ms * (energy_wh // intervals)) ** 2

    def variance(self, parameters: Parameters) -> int:
        """V, ppm^2 Wh^2; the skew's share is rounded up."""
        skew = -(-2 * _PPM * self.skew_squares // parameters.interval_s**2)
        common = (parameters.common_ppm * self.energy_wh) ** 2
        return self.class_squares + common + _PPM * _PPM // 2 * self.step_squares + skew

    def width(self) -> int:
        """W, ppm Wh; the skew's share is rounded up."""
        skew = -(-5 * self.rating_skew // 9)
        return 2 * self.limits + _PPM * self.steps_wh + skew


def judge(
    feeder: Feeder, parameters: Parameters, measured: Mapping[str, Measured], start_s: int = 0
) -> Judgement:
    """Judge one zone and window.

    Args:
        feeder: the zone; `Feeder.over` for a window of several intervals.
        parameters: of the rules.
        measured: by meter id; a meter that is not in it is missing.
        start_s: the window's start, Unix seconds: what the zone's scheduled loads take depends on
            it.
    """
    sums = _Sums()
    net_wh, gross_wh = [0] * feeder.nodes, [0] * feeder.nodes
    sums.take(feeder.boundary, measured, 1, [0], [0])
    sums.dead_wh, sums.told = 0, False  # Of the meters inside only.
    sums.take(feeder.inner, measured, -1, net_wh, gross_wh)
    for place, load in feeder.unmetered:
        energy_wh = load.energy_wh(start_s, parameters.interval_s * feeder.intervals)
        sums.reckon(energy_wh, load.limit_ppm)
        net_wh[place] += energy_wh
        gross_wh[place] += energy_wh
    for member, sign in sums.missing:
        sums.miss(member, parameters, sign, feeder.intervals)
    if sums.missing or sums.told or feeder.intervals > 1:
        lost = _general_losses(
            feeder, parameters, measured, sums, Flows.of(net_wh, gross_wh), start_s
        )
    else:
        lost = plain_losses(feeder, parameters, net_wh, gross_wh)
    judgement = _judgement(feeder, parameters, sums, lost)
    if feeder.intervals > 1 and feeder.boundary and _is_beyond_the_fuse(feeder, measured):
        return replace(judgement, verdict=Verdict.IMPOSSIBLE)
    return judgement


def _is_beyond_the_fuse(feeder: Feeder, measured: Mapping[str, Measured]) -> bool:
    """Rule C over a gap, where no reading was there to be refused.

    Else registers that jump would bring their own excuse: losses grow with the square of what
    lines carry.
    """
    for member in (*feeder.boundary, *feeder.inner):
        found, most = measured.get(member.id), member.most
        if found is not None and (
            found.import_wh > most.import_wh or found.export_wh > most.export_wh
        ):
            return True
    return False


def _general_losses(
    feeder: Feeder,
    parameters: Parameters,
    measured: Mapping[str, Measured],
    sums: _Sums,
    flows: Flows,
    start_s: int,
) -> Losses:
    """Losses of a merged window, with reactive energy, or with meters missing."""
    for member, sign in sums.missing:
        if sign < 0:
            flows.miss(member, feeder.intervals)
    seconds = parameters.interval_s * feeder.intervals
    for place, load in feeder.unmetered:
        most_wh = -(-load.most_w * parameters.interval_s // 3600)
        flows.peak_wh[place] += min(most_wh, load.energy_wh(start_s, seconds))
        flows.silent[place] += 1
    for member in feeder.inner:
        found = measured.get(member.id)
        if found is None:
            continue
        energy_wh = found.import_wh + found.export_wh
        flows.peak_wh[member.place] += found.peak_wh or energy_wh
        if found.reactive is None or feeder.intervals > 1:
            flows.silent[member.place] += 1
        else:
            imported, exported = found.reactive
            flows.net_varh[member.place] += imported - exported
            flows.gross_varh[member.place] += imported + exported
        if feeder.intervals > 1:  # In any of its intervals it may have counted nothing.
            hidden = member.dead_wh * feeder.intervals
            sums.dead_wh += hidden if energy_wh >= member.dead_wh else hidden - member.dead_wh
    return losses(feeder, parameters, flows)


def _judgement(feeder: Feeder, parameters: Parameters, sums: _Sums, lost: Losses) -> Judgement:
    members = len(feeder.boundary) + len(feeder.inner)
    coverage = (members - len(sums.missing)) * _PPM // members if members else _PPM
    if not feeder.boundary:
        empty = LossBounds(0, 0)
        return Judgement(Verdict.UNREFERENCED, 0, empty, 0, coverage, lost.overloaded)
    low_wh, high_wh = lost.bounds
    # Beyond what fuses let through the bounds can cross; a seal can always be read.
    loss = LossBounds(low_wh, max(low_wh, high_wh + sums.dead_wh))
    verdict, tolerance_wh = _verdict(parameters, sums, loss)
    if sums.missing and verdict is Verdict.BALANCED:
        verdict = Verdict.INCONCLUSIVE
    band_wh = loss.high_wh - loss.low_wh + 2 * tolerance_wh + sums.high_wh - sums.low_wh
    told = LossBounds(_told(loss.low_wh), _told(loss.high_wh))
    residual_wh = _told(sums.residual_wh)
    return Judgement(verdict, residual_wh, told, _told(band_wh), coverage, lost.overloaded)


def _told(energy_wh: int) -> int:
    return max(-_MOST_TOLD, min(energy_wh, _MOST_TOLD))


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
