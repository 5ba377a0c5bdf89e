"""A satellite receiver: what it knows each second, and the NMEA 0183 sentences that say so.

Decides the shape of a fix and of what spoils one: no fix, two dimensions, jumps, estimated or
simulated positions, the oddities of satellite time (a leap second, 1024 weeks too early, GPS time
instead of UTC), broken sentences. `hwsim.gpsd` says the same in gpsd's JSON.

Sources: NMEA 0183 as in gpsd's "NMEA Revealed"; IS-GPS-200 20.3.3.3.1.1 (weeks modulo 1024).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from random import Random

from wire.errors import Malformed

METRES_PER_DEGREE = 111_319.5
"""Of latitude, on a sphere of the equator's radius."""

TROUBLES = (
    "no-fix", "2d", "jumping", "estimated", "simulated", "leap-second", "week-rollover", "gps-time",
    "bad-checksum", "cut", "silent",
)  # fmt: skip
TALKERS = ("GP", "GN", "GL", "GA", "GB")
"""GPS, several systems, GLONASS, Galileo, BeiDou."""

_WEEKS = timedelta(weeks=1024)
_LEAP_SECONDS = timedelta(seconds=18)
_JUMP_M = 5_000.0
_SATELLITES = ((2, 61, 40, 44), (5, 33, 118, 41), (12, 72, 205, 45), (25, 21, 300, 37))
"""Number, elevation, azimuth, signal of those that are used."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that spoils fixes for a while."""

    name: str
    """Of TROUBLES."""

    from_s: float = 0.0
    """When it begins."""

    until_s: float = math.inf
    """When it is over."""

    @classmethod
    def of(cls, text: str) -> "Trouble":
        """From `NAME` or `NAME@FROM-UNTIL`, seconds; raises Malformed."""
        name, _, window = text.partition("@")
        if name not in TROUBLES:
            raise Malformed(f"no trouble {name!r}; there are: {', '.join(TROUBLES)}")
        first, _, last = window.partition("-")
        try:
            return cls(name, float(first or 0), float(last or math.inf))
        except ValueError:
            raise Malformed(f"a trouble's time is @FROM-UNTIL in seconds, not @{window}") from None


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a receiver knows at one second."""

    at: datetime
    """Its time, UTC as it believes."""

    lat: float
    """Latitude, degrees; meaningless without a fix."""

    lon: float
    """Longitude, degrees."""

    alt_m: float
    """Height above the sea."""

    mode: int
    """1 no fix, 2 two dimensions, 3 three."""

    quality: int
    """As GGA says it: 0 none, 1 GPS, 6 estimated, 8 simulated."""

    hdop: float
    """Horizontal dilution of precision."""

    troubles: frozenset[str]
    """What spoils it."""


@dataclass
class SatelliteReceiver:
    """A receiver that stands somewhere."""

    lat: float
    """Latitude, degrees."""

    lon: float
    """Longitude, degrees."""

    alt_m: float = 310.0
    """Height above the sea."""

    start: datetime = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
    """True time when it is switched on."""

    troubles: Sequence[Trouble] = ()
    """What goes wrong."""

    wander_m: float = 1.5
    """One sigma of its fixes, each way."""

    seed: int = 0
    """Of its wandering."""

    random: Random = field(init=False)
    """Draws it."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def epoch(self, now_s: float) -> Epoch:
        """What it knows so many seconds after it was switched on."""
        now = frozenset(each.name for each in self.troubles if each.from_s <= now_s < each.until_s)
        north_m, east_m = self.random.gauss(0, self.wander_m), self.random.gauss(0, self.wander_m)
        if "jumping" in now:
            angle = self.random.uniform(0, math.tau)
            north_m, east_m = _JUMP_M * math.sin(angle), _JUMP_M * math.cos(angle)
        at = self.start + timedelta(seconds=round(now_s))
        if "week-rollover" in now:
            at -= _WEEKS
        if "gps-time" in now:
            at += _LEAP_SECONDS
        known = Epoch(
            at,
            self.lat + north_m / METRES_PER_DEGREE,
            self.lon + east_m / METRES_PER_DEGREE / math.cos(math.radians(self.lat)),
            self.alt_m,
            mode=2 if "2d" in now else 3,
            quality=8 if "simulated" in now else 6 if "estimated" in now else 1,
            hdop=0.9,
            troubles=now,
        )
        return replace(known, mode=1, quality=0, hdop=99.99) if "no-fix" in now else known


def stamp(epoch: Epoch) -> tuple[str, str]:
    """Time of day and date as sentences write them; a leap second is second 60 of a day."""
    at = epoch.at
    if "leap-second" in epoch.troubles and (at.hour, at.minute, at.second) == (0, 0, 0):
        return "235960.00", f"{at - timedelta(days=1):%d%m%y}"
    return f"{at:%H%M%S}.00", f"{at:%d%m%y}"


def sentences(epoch: Epoch, talker: str = "GN") -> list[bytes]:
    """GGA, GSA, GST and RMC of one second, as they go over the line."""
    if "silent" in epoch.troubles:
        return []
    (clock, date), there = stamp(epoch), epoch.mode > 1
    place = _place(epoch) if there else ",,,"
    height = f"{epoch.alt_m:.1f},M,-34.2,M" if epoch.mode == 3 else ",M,,M"
    used = [f"{number:02d}" for number, *_ in _SATELLITES] if there else []
    numbers = ",".join(used + [""] * (12 - len(used)))
    lines = [
        f"GGA,{clock},{place},{epoch.quality},{len(used):02d},{epoch.hdop:.2f},{height},,",
        f"GSA,A,{epoch.mode},{numbers},1.60,{epoch.hdop:.2f},1.30",
        f"GST,{clock},3.2,1.9,1.4,42.0,1.7,1.6,2.9" if there else f"GST,{clock},,,,,,,",
        f"RMC,{clock},{'A' if there else 'V'},{place},0.02,0.0,{date},,,"
        f"{_RMC_MODES.get(epoch.quality, 'N')}",
    ]
    return [_sentence(talker + line, epoch.troubles) for line in lines]


_RMC_MODES = {0: "N", 1: "A", 6: "E", 8: "S"}


def _place(epoch: Epoch) -> str:
    values = []
    for degrees, width, signs in ((epoch.lat, 2, "NS"), (epoch.lon, 3, "EW")):
        # In whole units of the last digit, so that 59.99999 minutes never round up to 60.
        units = round(abs(degrees) * 60 * 100_000)
        whole, minutes = divmod(units, 60 * 100_000)
        values.append(f"{whole:0{width}d}{minutes / 100_000:08.5f},{signs[degrees < 0]}")
    return ",".join(values)


def _sentence(body: str, troubles: frozenset[str]) -> bytes:
    octets = body.encode("ascii")
    check = reduce(xor, octets, 0)
    if "bad-checksum" in troubles:
        check ^= 0x5A
    line = b"$%b*%02X\r\n" % (octets, check)
    return line[: len(line) // 2] if "cut" in troubles else line


def satellites(epoch: Epoch) -> list[dict[str, object]]:
    """Those in view, as gpsd lists them."""
    return [
        {"PRN": number, "gnssid": 0, "svid": number, "el": el, "az": az, "ss": ss,
         "used": epoch.mode > 1}
        for number, el, az, ss in _SATELLITES
    ]  # fmt: skip
