"""Where the gateway says it is, for its witness statements.

Decides how a position is described: a fixed site, surveyed by hand, has no age and says so by its
source. Whether it lies within the registered site is for the validators' rules.
"""

from gateway.config import PlaceConfig
from wire.witness import WitnessPosition

SOURCE_FIXED = 0


def fixed_site(place: PlaceConfig) -> WitnessPosition:
    """The position of a gateway that does not move."""
    return WitnessPosition(place.lat_e7, place.lon_e7, place.accuracy_dm, 0, SOURCE_FIXED)
