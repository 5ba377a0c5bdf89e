"""Whether those who are to sign and to read can: the technician and the gateway, as registered.

Decides before anything is written what the validators would refuse when the meter is enrolled, and
a site out of its reader's reach, which they take then and whose readings they refuse. Who is
registered is told by `registered`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

from device.provision import faults
from wire.errors import Refused
from wire.keys import PublicKey

REACH_M = 1_200
"""How far a line reaches where the network's parameters do not say: RS-485."""

_CM_PER_DEGREE = 11_132_000
_HALF_TURN_E7 = 1_800_000_000
_E7 = 10_000_000
_PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The gateway that is to read a meter, and where the meter is to hang."""

    id: str
    """Gateway id, as it was given."""

    entry: Mapping[str, Any] | None
    """The gateway as the genesis file writes it; None: there is no such gateway."""

    zone: str
    """The meter's zone."""

    site: tuple[int, int]
    """The meter's latitude and longitude, 1e-7 degrees."""

    reach_m: int
    """How far a line reaches in this network, metres."""

    def check(self) -> None:
        """Raise a Fault when it does not serve the zone or does not reach the meter."""
        if self.entry is None:
            raise self._unfit("no gateway of that name is registered")
        zones = list(map(str, _many(self.entry.get("zones"))))
        if self.zone not in zones:
            raise self._unfit(f"it serves {', '.join(zones) or 'no zone'}")
        place = _many(self.entry.get("site"))
        cos_ppm = self.entry.get("site_cos_ppm")
        if len(place) != 2 or not isinstance(cos_ppm, int):
            return  # No network has such a gateway: validators refuse it.
        apart_cm2 = squared_cm(place, self.site, cos_ppm)
        if apart_cm2 > (self.reach_m * 100) ** 2:
            lat, lon = (f"{each / _E7:.4f}" for each in place)
            raise faults.OUT_OF_REACH.fault(
                reader=self.id, place=f"{lat},{lon}", apart=_far(apart_cm2), reach=self.reach_m
            )

    def _unfit(self, why: str) -> faults.Fault:
        return faults.UNFIT_READER.fault(reader=self.id, zone=self.zone, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commissioner:
    """Who is to sign for the zone's operator."""

    id: str
    """Technician id, as it was given; empty when none was."""

    key: PublicKey
    """What signs."""

    technicians: Sequence[Mapping[str, Any]]
    """Those who are registered, as the genesis file writes them."""

    zone: str
    """The meter's zone."""

    operator: str
    """Authority that runs it."""

    def check(self, enrols: bool) -> list[str]:
        """Raise a Fault when no enrolment that they sign will be taken; returns warnings.

        Somebody whom nobody has registered yet may make a meter, and may not enrol one.
        """
        owner = next((each for each in self.technicians if self._has_key(each)), None)
        named = next((each for each in self.technicians if each.get("id") == self.id), None)
        if owner is None and named is not None:
            raise self._foreign(f"{self.id} is registered with the key {_kid(named)}")
        if owner is None:
            why = "no technician of this name or key is registered"
            if enrols:
                raise self._foreign(why)
            return [f"{why}: the network will take no enrolment that {self._who} signed"]
        if self.id not in ("", owner.get("id")):
            raise self._foreign(f"it is registered as that of {owner.get('id')}")
        if owner.get("operator") != self.operator:
            raise faults.FOREIGN_TECHNICIAN.fault(
                technician=owner.get("id"),
                operator=owner.get("operator"),
                zone=self.zone,
                runs=self.operator,
            )
        return []

    def _has_key(self, entry: Mapping[str, Any]) -> bool:
        return entry.get("key") == self.key.text

    @property
    def _who(self) -> str:
        return self.id or "this key"

    def _foreign(self, why: str) -> faults.Fault:
        return faults.UNFIT_TECHNICIAN.fault(
            kid=self.key.kid.hex(), technician=self.id or "a technician", why=why
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Both, as far as they are known."""

    commissioner: Commissioner | None
    """None: nobody signs now, or the zone is not registered."""

    reader: Reader | None
    """None: no enrolment is to be made."""

    def check(self) -> list[str]:
        """Raise a Fault when one of them cannot; returns warnings."""
        if self.reader is not None:
            self.reader.check()
        if self.commissioner is None:
            return []
        return self.commissioner.check(enrols=self.reader is not None)


def squared_cm(one: Sequence[int], other: Sequence[int], cos_ppm: int) -> int:
    """How far two places of 1e-7 degrees are apart, squared: the validators' rule L3.

    Args:
        one: latitude and longitude.
        other: another.
        cos_ppm: cosine of their latitude, parts per million.
    """
    north = abs(one[0] - other[0])
    east = (one[1] - other[1] + _HALF_TURN_E7) % (2 * _HALF_TURN_E7) - _HALF_TURN_E7
    north_cm = north * _CM_PER_DEGREE // _E7
    east_cm = abs(east) * _CM_PER_DEGREE * cos_ppm // (_E7 * _PPM)
    return north_cm * north_cm + east_cm * east_cm


def _far(squared: int) -> str:
    metres = isqrt(squared) // 100
    return f"{metres} m" if metres < 10_000 else f"{metres // 1000} km"


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _kid(entry: Mapping[str, Any]) -> str:
    try:
        return PublicKey.from_text(str(entry.get("key"))).kid.hex()
    except Refused:
        return "unreadable"
