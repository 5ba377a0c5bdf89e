"""What is registered for a meter's readings that one gateway brings, gathered once.

The rules ask the registry the same of every reading: which meter and which keys, what it may count,
whose balance it is part of, whether the gateway serves and reaches it. Decides that, and for which
intervals it stays so: until the next change of anything that it rests on. It is kept that long, up
to a bound; whoever asks gets what the registries say, whatever is kept.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from validator.app.capacity import Capacity, capacity
from validator.app.changes import Rekey
from validator.app.entries import Gateway, Meter
from validator.app.geometry import within
from validator.app.histories import Thing
from validator.app.records import lane
from validator.app.registries import Registries
from wire.keys import PublicKey

ZONE_NOT_SERVED = 33
OUT_OF_REACH = 34

_KEPT = 50_000
"""Meters, each with a gateway that brings its readings: some 30 MB."""

_FOR_EVER_S = 2**64


class Terms(NamedTuple):
    """What holds for the readings of one meter, brought by one gateway, of some intervals."""

    from_s: int
    """Start of the first of these intervals, or earlier; Unix seconds."""

    until_s: int
    """Start of the first interval for which it may be otherwise."""

    meter: Meter
    """The meter."""

    signs: bool
    """It signs for itself."""

    lane: bytes
    """Its own lane; of a meter that cannot sign, each reader has another."""

    keys: Mapping[tuple[int, bytes], PublicKey]
    """Of the meter, or of its first reader, for these intervals, by what a header says of them."""

    most: Capacity
    """The most that it can count in one interval."""

    zones: tuple[str, ...]
    """Zones whose seals use it."""

    replaces: bool
    """It took another meter's place."""

    unreached: int
    """0, or why the gateway's word does not count for it: ZONE_NOT_SERVED, OUT_OF_REACH."""

    cos_ppm: int
    """Cosine of the gateway's latitude, parts per million."""


class CarriedTerms:
    """The terms of the meters whose readings one gateway brings."""

    def __init__(self, registries: Registries, gateway: Gateway) -> None:
        """Take what is registered, and the gateway as it was when it witnessed."""
        self._registries = registries
        self._gateway = gateway
        self._known: dict[str, Terms] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, meter: str, start_s: int) -> Terms | None:
        """The terms of a meter's reading of an interval; None when it is not registered then."""
        known = self._known.get(meter)
        if known is not None and known.from_s <= start_s < known.until_s:
            return known
        found = _gathered(self._registries, self._gateway, meter, start_s)
        if found is not None:
            self._known[meter] = found
        return found


class KeptTerms:
    """What has been gathered from the newest registries."""

    def __init__(self) -> None:
        self._registries: Registries | None = None
        self._carried: dict[tuple[str, int], CarriedTerms] = {}

    def tidy(self) -> None:
        """Forget all when it is too much; once for each block, which adds at most its readings."""
        if len(self._carried) + sum(map(len, self._carried.values())) > _KEPT:
            self._carried.clear()

    def by(self, registries: Registries, gateway: Gateway, witnessed_at_s: int) -> CarriedTerms:
        """The terms by a gateway, as it was registered when it witnessed."""
        if registries is not self._registries:
            self._registries = registries
            self._carried.clear()
        since_s, _ = _span(registries, [("gateways", gateway.id)], witnessed_at_s)
        place = (gateway.id, since_s)
        found = self._carried.get(place)
        if found is None:
            found = self._carried[place] = CarriedTerms(registries, gateway)
        return found


def _span(registries: Registries, things: Sequence[Thing], at_s: int) -> tuple[int, int]:
    """From when and until when all that is registered of these things is as it is at a time."""
    moments = {
        moment
        for thing in things
        for change in registries.changes_of(*thing)
        for moment in (
            change.from_s,
            *(edit.until_s + 1 for edit in change.edits if isinstance(edit, Rekey)),
        )
    }
    from_s = max((each for each in moments if each <= at_s), default=0)
    return from_s, min((each for each in moments if each > at_s), default=_FOR_EVER_S)


def _gathered(registries: Registries, gateway: Gateway, name: str, start_s: int) -> Terms | None:
    meter = registries.meter(name, start_s)
    if meter is None:
        return None
    signs = meter.key is not None
    signer, role = (name, "meter") if signs else (meter.reader, "reader")
    things = [("meters", name), ("zones", meter.zone)]
    things += [("gateways", each) for each in (meter.reader, gateway.id)]
    from_s, until_s = _span(registries, things, start_s)
    unreached, cos_ppm = _reach(registries, gateway, meter, start_s)
    return Terms(
        from_s=from_s,
        until_s=until_s,
        meter=meter,
        signs=signs,
        lane=lane(name, b""),
        # Of two that headers cannot tell apart the newest counts.
        keys={each.hint: each for each in reversed(registries.standing(signer, role, start_s))},
        most=capacity(meter, registries.base.parameters),
        zones=registries.zones_of(meter, start_s),
        replaces=registries.exchange(name) is not None,
        unreached=unreached,
        cos_ppm=cos_ppm,
    )


def _reach(registries: Registries, now: Gateway, meter: Meter, start_s: int) -> tuple[int, int]:
    """L: the gateway serves the zone, and a line reaches the meter.

    The gateway is taken as it was registered when it witnessed, or for the reading's interval: one
    that has moved since, or serves another zone, brings what it had read before.

    Returns:
        0 or a reason code, and the cosine of the gateway's latitude, parts per million.
    """
    then = registries.gateway(now.id, start_s)
    gateways = (now,) if then is None else (now, then)
    serving = [each for each in gateways if meter.zone in each.zones]
    if not serving:
        return ZONE_NOT_SERVED, now.site_cos_ppm
    for each in serving:
        if within(each.site, meter.site, each.site_cos_ppm, registries.base.parameters.reach_m):
            return 0, each.site_cos_ppm
    return OUT_OF_REACH, now.site_cos_ppm
