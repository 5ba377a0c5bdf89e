"""Rule C: how much energy can pass a meter in one interval.

Decides from the registered service rating (the fuse) and, for exports, from the installed power.
The same limits bound what a missing meter could have measured (`validator.app.zone_seal`).
"""

from typing import NamedTuple

from validator.app.entries import Meter, Role
from validator.app.parameters import Parameters

_PPM = 1_000_000
_S_PER_H = 3600


class Capacity(NamedTuple):
    """The most that a meter can count in one interval, Wh."""

    import_wh: int
    """Import."""

    export_wh: int
    """Export; 0 where nothing can export."""


def _energy_wh(power_w: int, seconds: int, step_wh: int) -> int:
    """Energy at full power, rounded up, and one register step: a register may just have turned."""
    return -(-power_w * seconds // _S_PER_H) + step_wh


def capacity(meter: Meter, parameters: Parameters) -> Capacity:
    """Limits of one interval of registered length."""
    seconds = parameters.interval_s
    import_wh = _energy_wh(meter.rating_w, seconds, meter.register_wh)
    if meter.role is Role.BOUNDARY:
        return Capacity(import_wh, import_wh)
    if meter.installed_w == 0:
        return Capacity(import_wh, 0)
    # Margin rounded up.
    power_w = -(-meter.installed_w * (_PPM + parameters.installed_margin_ppm) // _PPM)
    return Capacity(import_wh, _energy_wh(power_w, seconds, meter.register_wh))
