"""Rule C: how much energy can pass a meter in one interval.

Decides from the registered service rating (the fuse) and, for exports, from the installed power.
What the fuse lets through bounds apparent power, and reactive energy by it: else a meter could
widen its zone's losses at will.
The same limits bound what a missing meter could have measured (`validator.app.zone_seal`).
"""

from typing import NamedTuple

from validator.app.entries import Meter, Role
from validator.app.parameters import Parameters

_PPM = 1_000_000
_S_PER_H = 3600


class Capacity(NamedTuple):
    """The most that a meter can count in one interval."""

    import_wh: int
    """Import, Wh."""

    export_wh: int
    """Export, Wh; 0 where nothing can export."""

    reactive_varh: int
    """Reactive import and export together, varh."""


def _energy_wh(power_w: int, seconds: int, step_wh: int) -> int:
    """Energy at full power, rounded up, and one register step: a register may just have turned."""
    return -(-power_w * seconds // _S_PER_H) + step_wh


def capacity(meter: Meter, parameters: Parameters) -> Capacity:
    """Limits of one interval of registered length."""
    seconds = parameters.interval_s
    import_wh = _energy_wh(meter.rating_w, seconds, meter.register_wh)
    if meter.role is Role.BOUNDARY:
        return Capacity(import_wh, import_wh, import_wh)
    if meter.installed_w == 0:
        return Capacity(import_wh, 0, import_wh)
    # Margin rounded up.
    power_w = -(-meter.installed_w * (_PPM + parameters.installed_margin_ppm) // _PPM)
    return Capacity(import_wh, _energy_wh(power_w, seconds, meter.register_wh), import_wh)
