"""A grid's zone before the validators' rule: the one place where the measurement touches it.

Decides how a grid's meter points are registered for a measurement and how what they counted is
given to `validator.app.zone_seal.judge`. The rule itself runs as validators run it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.grid_zone import HOURS, GridZone, MeterPoint
from hwsim.meter_errors import Counted, Metering
from validator.app import entries
from validator.app.capacity import capacity
from validator.app.feeder import Feeder
from validator.app.parameters import Parameters
from validator.app.zone_seal import Judgement, Measured, judge
from wire.results import Verdict

ACCUSING = (Verdict.SUSPECT, Verdict.IMPOSSIBLE)
_ZONE, _OPERATOR, _READER = "z1", "PEA", "gw-a"


@dataclass(frozen=True, slots=True)
class JudgedZone:
    """A zone, registered, and how it is metered."""

    feeder: Feeder
    """As the rule knows it."""

    members: tuple[MeterPoint, ...]
    """The zone's meters, the boundary first."""

    metering: Metering
    """Steps, skew and reactive registers."""

    parameters: Parameters
    """Of the rule."""

    most_export_wh: Mapping[str, int]
    """The most that rule C lets each meter export in an interval."""

    @classmethod
    def of(cls, zone: GridZone, metering: Metering) -> "JudgedZone":
        """Register a grid's zone."""
        parameters = Parameters()
        meters = [entries.meter(_meter(each, metering)) for each in zone.points]
        boundary = [each for each in meters if each.role is entries.Role.BOUNDARY]
        inner = [each for each in meters if each.role is not entries.Role.BOUNDARY]
        registered = entries.zone(zone.entry(_ZONE, _OPERATOR))
        feeder = Feeder.of(registered, boundary, inner, parameters, bytes(32))
        most = {each.id: capacity(each, parameters).export_wh for each in meters}
        return cls(feeder, zone.points, metering, parameters, most)

    def measured(self, place: int, counted: Counted) -> Measured:
        """What the meter of a place among `members` counted, as the rule takes it."""
        metering = self.metering
        reactive = (counted.import_varh, counted.export_varh) if metering.reactive else None
        skew_ms = metering.skew_of(self.members[place]) * 1_000
        return Measured(counted.import_wh, counted.export_wh, skew_ms, metering.step_wh, reactive)

    def judge(self, measured: Mapping[str, Measured]) -> Judgement:
        """The rule's verdict; a meter that is not in `measured` is missing."""
        return judge(self.feeder, self.parameters, measured)


def tolerance_wh(found: Judgement) -> int:
    """How far R may lie outside the losses' interval before the zone is accused, Wh."""
    return (found.band_wh - (found.loss.high_wh - found.loss.low_wh)) // 2


def band_kw(band_wh: float) -> float:
    """A band as constant power over an interval, kW."""
    return round(band_wh / HOURS / 1_000, 2)


def _meter(point: MeterPoint, metering: Metering) -> dict[str, Any]:
    """A registry entry; what the balance does not look at is the same for all."""
    return {
        "id": point.id,
        "node": point.node,
        "zone": _ZONE,
        "role": point.role,
        "key": "",
        "reader": _READER,
        "configuration_id": "00" * 8,
        "class_ppm": metering.class_of(point),
        "register_wh": metering.step_wh,
        "rating_w": point.rating_w,
        "installed_w": point.installed_w,
        "phases": point.phases,
        "site": [0, 0],
        "radius_m": 0,
        "ct_ppm": metering.transformer_ppm_of(point),
    }
