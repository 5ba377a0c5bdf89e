"""What a zone's lines and transformers lose: the least and the most that is credible.

Decides the interval [Llo, Lhi] of design: branch flows come from a backward sum over the zone's
tree; the loss of the mean flow is a lower bound of the mean loss (Jensen), and gross flows times
kappa an upper one, because flows cross zero and vary within an interval. Active energy only; kappa
has room for the reactive share.
"""

from typing import NamedTuple

from validator.app.feeder import Feeder
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


def loss_bounds(
    feeder: Feeder,
    parameters: Parameters,
    net_wh: list[int],
    gross_wh: list[int],
) -> LossBounds:
    """Return the losses' bounds for one interval.

    Args:
        feeder: the zone.
        parameters: a0 and a1.
        net_wh: import less export at each node of the tree; consumed by the backward sum.
        gross_wh: import plus export at each node; consumed likewise.
    """
    net_loss = gross_loss = 0
    for child, parent, rho, kappa in feeder.lines:
        net, gross = net_wh[child], gross_wh[child]
        net_loss += rho * net * net
        gross_loss += kappa * rho * gross * gross
        net_wh[parent] += net
        gross_wh[parent] += gross
    no_load = feeder.p0_mw * parameters.interval_s * _NO_LOAD_WEIGHT
    low = (
        no_load * (_PPM - parameters.a0_ppm) + net_loss * _LOAD_WEIGHT * (_PPM - parameters.a1_ppm)
    ) // _WHOLE
    high = -(-(no_load * (_PPM + parameters.a0_ppm) + gross_loss * _LOAD_WEIGHT * _PPM) // _WHOLE)
    return LossBounds(low, high)


def least_loss_wh(feeder: Feeder, parameters: Parameters) -> int:
    """Llo when nothing is known of the flows: the no-load loss alone, rounded down."""
    no_load = feeder.p0_mw * parameters.interval_s * _NO_LOAD_WEIGHT
    return no_load * (_PPM - parameters.a0_ppm) // _WHOLE
