"""Whose boundary meters are: nobody who is credited in a zone holds its reference alone.

Decides whether a boundary meter's key and the gateways that read it all belong to one party that is
paid or billed in that zone. Such a party could set the sum that its own energy is checked against.
A boundary meter without a stated owner is the zone operator's; a meter inside without one counts
for nobody.
"""

from collections.abc import Iterable, Mapping

from validator.app.entries import Gateway, Meter, Role, Zone


def in_own_hands(zone: Zone, meters: Iterable[Meter], gateways: Mapping[str, Gateway]) -> list[str]:
    """Boundary meters of a zone that one credited party holds alone, in words.

    Args:
        zone: the zone.
        meters: its own meters.
        gateways: those that read them.
    """
    own = list(meters)
    credited = {each.owner for each in own if each.role is not Role.BOUNDARY} - {""}
    faults = []
    for meter in own:
        if meter.role is not Role.BOUNDARY:
            continue
        readers = (meter.reader, *meter.also_read_by)
        parties = {gateways[name].operator for name in readers if name in gateways}
        parties.add(meter.owner or zone.operator)
        if len(parties) == 1 and parties <= credited:
            faults.append(
                f"boundary meter {meter.id}: its key and its gateway belong to {parties.pop()}"
                f" alone, who is credited in {zone.id}"
            )
    return faults
