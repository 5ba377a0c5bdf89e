"""What flows through a meter over time: power steps, and what a meter counts of them.

Decides that energy is power times time, exactly, in whole mWh; import and export are counted apart
(the sign of the sum over all phases decides). What a broken counter makes of it is decided by the
wrappers in `hwsim.counter_faults`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.registers import Flow


@dataclass(frozen=True, slots=True)
class PowerSteps:
    """Power that stays until the next step; a `Curve`."""

    steps: Sequence[tuple[float, float]] = ((0.0, 1_000.0),)
    """From when (seconds, rising, first 0) how much flows (W, negative is export)."""

    import_wh: float = 0.0
    """Import register at the begin."""

    export_wh: float = 0.0
    """Export register at the begin."""

    phases: int = 1
    """Phases that share the power evenly."""

    volts: float = 230.0
    """Of each phase."""

    hertz: float = 50.0
    """Frequency."""

    def __call__(self, now_s: float) -> Flow:
        """What flows and what was counted by then."""
        taken = given = 0.0
        ends = [start_s for start_s, _ in self.steps[1:]] + [now_s]
        watts = self.steps[0][1]
        for (start_s, step_w), end_s in zip(self.steps, ends, strict=True):
            if start_s > now_s:
                break
            watts = step_w
            passed_mwh = step_w * max(0.0, min(end_s, now_s) - start_s) / 3.6
            taken += max(0.0, passed_mwh)
            given -= min(0.0, passed_mwh)
        return Flow(
            round(self.import_wh * 1000) + int(taken),
            round(self.export_wh * 1000) + int(given),
            (watts / self.phases,) * self.phases,
            self.volts,
            self.hertz,
        )
