"""Distances on the ground in integers.

Decides only whether two points lie within a radius of each other. Degrees become centimetres with
one fixed length of a degree and the cosine of a site's latitude as the registry has it, so that
every validator gets the same answer; over the few kilometres that rules speak of, the error against
the ellipsoid stays below 1 %.
"""

from typing import NamedTuple

_CM_PER_DEGREE = 11_132_000
"""Length of a degree of the equator (WGS 84), centimetres."""

_TURN_E7 = 3_600_000_000
_HALF_TURN_E7 = 1_800_000_000
_E7 = 10_000_000
_PPM = 1_000_000


class Point(NamedTuple):
    """A place, 1e-7 degrees."""

    lat_e7: int
    """Latitude, north positive."""

    lon_e7: int
    """Longitude, east positive."""


def within(one: Point, other: Point, cos_ppm: int, radius_m: int) -> bool:
    """Tell whether the two points are at most `radius_m` metres apart.

    Args:
        one: a point.
        other: another.
        cos_ppm: cosine of their latitude, parts per million.
        radius_m: metres.
    """
    lat_e7 = one.lat_e7 - other.lat_e7
    lon_e7 = (one.lon_e7 - other.lon_e7 + _HALF_TURN_E7) % _TURN_E7 - _HALF_TURN_E7
    # Both divisions round a magnitude down, by less than a centimetre.
    north_cm = abs(lat_e7) * _CM_PER_DEGREE // _E7
    east_cm = abs(lon_e7) * _CM_PER_DEGREE * cos_ppm // (_E7 * _PPM)
    radius_cm = radius_m * 100
    return north_cm * north_cm + east_cm * east_cm <= radius_cm * radius_cm
