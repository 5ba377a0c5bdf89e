"""What a zone's lines and transformers lose, and which of them carry too much.

Decides the interval [Llo, Lhi] of what is credible, and the line rule. Branch flows come from a
backward sum over the zone's tree. Per branch, with P the net and G the gross flow beneath it:

    Llo   rho (P^2 + Q^2) / n             the loss of the mean flow is below the mean loss (Jensen)
    Lhi   kappa rho K G                   flows cross zero and vary: G the gross flow, and K what it
                                          can have been at most in one interval; K = G when n is 1
          (1 + kappa) / 2 rho (G^2 + Q^2) when every meter beneath tells its reactive energy: half
                                          of what kappa has room for is known then

A window of one interval without reactive registers in which nobody is missing goes the short way
(`plain_losses`); the general one gives the same for it.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from validator.app.feeder import Feeder, Member
from validator.app.parameters import Parameters

_PPM = 1_000_000
# No-load loss comes in mW * s * ppm (3.6e12 to the Wh), load loss in 1e-12 Wh * ppm (1e18 to the
# Wh). Both divide 9e18, so that each bound is one exact fraction, rounded once.
_WHOLE = 9 * 10**18
_NO_LOAD_WEIGHT = 2_500_000
_LOAD_WEIGHT = 9


class LossBounds(NamedTuple):
    """What may be lost in one window, Wh."""

    low_wh: int
    """Llo, rounded down."""

    high_wh: int
    """Lhi, rounded up."""


class Losses(NamedTuple):
    """What flows through a zone's branches bring about."""

    bounds: LossBounds
    """What may be lost."""

    overloaded: tuple[str, ...]
    """Branches that carried more than they are built for, by id."""


@dataclass(slots=True)
class Flows:
    """Energy by node of the tree; the backward sum consumes it."""

    net_wh: list[int]
    """Import less export of the meters that are in."""

    gross_wh: list[int]
    """Import plus export, and the most that missing meters can have counted."""

    peak_wh: list[int]
    """The same for the one interval in which it was most."""

    low_wh: list[int]
    """What missing meters can add to the net at least; not above 0."""

    high_wh: list[int]
    """And at most."""

    net_varh: list[int]
    """Reactive import less export."""

    gross_varh: list[int]
    """Reactive import plus export."""

    silent: list[int]
    """How many meters do not tell their reactive energy."""

    @classmethod
    def of(cls, net_wh: list[int], gross_wh: list[int]) -> Self:
        """Flows of which only these are known yet."""
        others = [[0] * len(net_wh) for _ in range(6)]
        return cls(net_wh, gross_wh, *others)

    def miss(self, member: Member, intervals: int) -> None:
        """Add a missing meter inside the boundary: whatever it can have counted."""
        place, most = member.place, member.most
        energy_wh = most.import_wh + most.export_wh
        self.gross_wh[place] += energy_wh
        self.peak_wh[place] += energy_wh // intervals
        self.low_wh[place] -= most.export_wh
        self.high_wh[place] += most.import_wh
        self.silent[place] += 1


def plain_losses(
    feeder: Feeder, parameters: Parameters, net_wh: list[int], gross_wh: list[int]
) -> Losses:
    """Bounds and overloads of one interval in which every meter is in; consumes the lists."""
    net_loss = gross_loss = 0
    overloaded = []
    for child, parent, rho, kappa, most_wh, name in feeder.lines:
        net, gross = net_wh[child], gross_wh[child]
        net_loss += rho * net * net
        gross_loss += kappa * rho * gross * gross
        net_wh[parent] += net
        gross_wh[parent] += gross
        if not -most_wh <= net <= most_wh:
            overloaded.append(name)
    bounds = _bounds(feeder, parameters, net_loss, 2 * gross_loss)
    return Losses(bounds, tuple(sorted(overloaded)))


def losses(feeder: Feeder, parameters: Parameters, flows: Flows) -> Losses:
    """Bounds and overloads of any window; consumes the flows."""
    net_loss = gross_loss = 0
    overloaded = []
    columns = [getattr(flows, name) for name in Flows.__slots__]
    for child, parent, rho, kappa, most_wh, name in feeder.lines:
        net, gross, peak, low, high, net_q, gross_q, silent = (column[child] for column in columns)
        for column in columns:
            column[parent] += column[child]
        least = max(0, net + low, -(net + high))
        if silent:
            net_q, gross_loss = 0, gross_loss + 2 * kappa * rho * peak * gross
        else:
            gross_loss += (kappa + 1) * rho * (peak * gross + gross_q * gross_q)
        net_loss += rho * (least * least + net_q * net_q)
        if least * least + net_q * net_q > most_wh * most_wh:
            overloaded.append(name)
    bounds = _bounds(feeder, parameters, net_loss, gross_loss)
    return Losses(bounds, tuple(sorted(overloaded)))


def _bounds(
    feeder: Feeder, parameters: Parameters, net_loss: int, twice_gross_loss: int
) -> LossBounds:
    """Put no-load and load losses together; each bound is rounded once, outwards."""
    intervals = feeder.intervals
    no_load = feeder.p0_mw * parameters.interval_s * intervals * _NO_LOAD_WEIGHT
    low = no_load * (_PPM - parameters.a0_ppm) * intervals
    low += net_loss * _LOAD_WEIGHT * (_PPM - parameters.a1_ppm)
    high = 2 * no_load * (_PPM + parameters.a0_ppm) + twice_gross_loss * _LOAD_WEIGHT * _PPM
    return LossBounds(low // (_WHOLE * intervals), -(-high // (2 * _WHOLE)))
