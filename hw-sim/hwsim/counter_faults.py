"""What goes wrong inside a meter's counters, each fault a wrapper around a curve; wrap for more.

Decides what the counters show instead. Each is called as often as the meter is read.
"""

from dataclasses import dataclass, replace

from hwsim.faults import When
from hwsim.registers import Curve, Flow


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The meter does not know its energies: it says its sentinel, whatever that is."""

    curve: Curve
    """What is inside."""

    when: When
    """When it does not."""

    def __call__(self, now_s: float) -> Flow:
        """Counters that are not known."""
        flow = self.curve(now_s)
        if not self.when.strikes(now_s):
            return flow
        return replace(flow, import_mwh=None, export_mwh=None)


@dataclass(frozen=True, slots=True)
class Glitch:
    """Reads show another value and the right one again: 180.2, 5000, 180.4 kWh."""

    curve: Curve
    """What is inside."""

    when: When
    """Which reads."""

    import_wh: float
    """What they show for energy taken."""

    def __call__(self, now_s: float) -> Flow:
        """The wrong value when it strikes."""
        flow = self.curve(now_s)
        wrong_mwh = round(self.import_wh * 1000)
        return replace(flow, import_mwh=wrong_mwh) if self.when.strikes(now_s) else flow


@dataclass(frozen=True, slots=True)
class Stuck:
    """Counters stand still for a while, and then show what was counted meanwhile."""

    curve: Curve
    """What is inside."""

    when: When
    """While it stands."""

    def __call__(self, now_s: float) -> Flow:
        """The counters as they were when it began."""
        flow = self.curve(now_s)
        if not self.when.within(now_s):
            return flow
        then = self.curve(self.when.from_s)
        return replace(flow, import_mwh=then.import_mwh, export_mwh=then.export_mwh)


@dataclass(frozen=True, slots=True)
class Reset:
    """Somebody sets the counters to zero, once; they count on from there."""

    curve: Curve
    """What is inside."""

    when: When
    """`from_s` is the moment."""

    def __call__(self, now_s: float) -> Flow:
        """Counted since the reset."""
        flow = self.curve(now_s)
        if now_s < self.when.from_s:
            return flow
        then = self.curve(self.when.from_s)
        return replace(
            flow,
            import_mwh=_less(flow.import_mwh, then.import_mwh),
            export_mwh=_less(flow.export_mwh, then.export_mwh),
        )


@dataclass(frozen=True, slots=True)
class RollOver:
    """Counters start again at zero after their highest value."""

    curve: Curve
    """What is inside."""

    at_wh: float
    """The first value that they cannot show."""

    def __call__(self, now_s: float) -> Flow:
        """What the counters can show."""
        flow, most_mwh = self.curve(now_s), round(self.at_wh * 1000)
        return replace(
            flow,
            import_mwh=None if flow.import_mwh is None else flow.import_mwh % most_mwh,
            export_mwh=None if flow.export_mwh is None else flow.export_mwh % most_mwh,
        )


def _less(now_mwh: int | None, then_mwh: int | None) -> int | None:
    return None if now_mwh is None else now_mwh - (then_mwh or 0)
