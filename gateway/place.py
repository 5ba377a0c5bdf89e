"""Where the gateway says it is, for its witness statements.

Decides whether a receiver's fixes or the surveyed site are named, and says which: the middle of the
last fixes while they are fresh, since one may jump; else the site, whose source is "by hand". A
gateway without a receiver has only its site. Whether a position lies where the gateway is
registered is for the validators' rules; here it is only told when receiver and survey disagree.
"""

import asyncio
import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog

from gateway.config import PlaceConfig
from gateway.receiver import Fix, Receiver
from wire.errors import Unavailable
from wire.witness import WitnessPosition

_log = structlog.get_logger()

SOURCE_FIXED, SOURCE_RECEIVER = 0, 1

FIXES = 9
"""Fixes of which the middle counts: four that jump change nothing."""

FRESH_S = 900
"""Age up to which fixes are named; older ones give way to the surveyed site."""

_AGAIN_S = 5.0
_TURN_E7 = 3_600_000_000
_DM_PER_E7 = 0.111_319_5
"""Decimetres of latitude in 1e-7 degrees, on a sphere of the equator's radius."""


class Place:
    """What is known of the gateway's place."""

    def __init__(self, site: PlaceConfig, receiver: Receiver | None) -> None:
        self._site = site
        self._receiver = receiver
        self._fixes: deque[Fix] = deque(maxlen=FIXES)
        self._newest_s = 0.0
        self._moved = False
        self.state = "none" if receiver is None else "starting"
        """`none`, `starting`, `fixes`, or in words why the receiver is away."""

    async def run(self, now_s: Callable[[], float] | None = None) -> None:
        """Follow the receiver for ever; returns at once when there is none.

        Args:
            now_s: real time that only runs forward, seconds; the event loop's when None.
        """
        if self._receiver is None:
            return
        clock = now_s or asyncio.get_running_loop().time
        while True:
            try:
                async with aclosing(self._receiver.fixes()) as fixes:
                    async for fix in fixes:
                        self.heard(fix, clock())
                reason = "it ended"
            except Unavailable as away:
                reason = str(away)
            if self.state != reason:
                _log.warning("the receiver is away", reason=reason)
            self.state = reason
            await asyncio.sleep(_AGAIN_S)

    def heard(self, fix: Fix, now_s: float) -> None:
        """Take a fix."""
        self._fixes.append(fix)
        self._newest_s = now_s
        self.state = "fixes"
        moved = self._is_moved()
        if moved and not self._moved:
            _log.error("the receiver is not at the surveyed site", away_m=self._away_dm() // 10)
        self._moved = moved

    def position(self, now_s: float) -> WitnessPosition:
        """What a witness statement says now."""
        age_s = int(now_s - self._newest_s)
        if self._fixes and age_s <= FRESH_S:
            middle = self._middle()
            return WitnessPosition(
                middle.lat_e7, middle.lon_e7, middle.accuracy_dm, age_s, SOURCE_RECEIVER
            )
        site = self._site
        return WitnessPosition(site.lat_e7, site.lon_e7, site.accuracy_dm, 0, SOURCE_FIXED)

    def report(self, now_s: float) -> Mapping[str, Any]:
        """For the status page; distances in metres, ages in seconds."""
        position = self.position(now_s)
        return {
            "lat_e7": position.lat_e7,
            "lon_e7": position.lon_e7,
            "accuracy_m": position.accuracy_dm / 10,
            "age_s": position.age_s,
            "source": "receiver" if position.source == SOURCE_RECEIVER else "survey",
            "receiver": self.state,
            "from_site_m": self._away_dm() // 10 if self._fixes else None,
            "moved": self._moved,
        }

    def _middle(self) -> Fix:
        return Fix(
            int(statistics.median_low([fix.lat_e7 for fix in self._fixes])),
            int(statistics.median_low([fix.lon_e7 for fix in self._fixes])),
            int(statistics.median_high([fix.accuracy_dm for fix in self._fixes])),
        )

    def _away_dm(self) -> int:
        """From the surveyed site, decimetres."""
        middle = self._middle()
        north = abs(middle.lat_e7 - self._site.lat_e7)
        east = abs(middle.lon_e7 - self._site.lon_e7)
        narrowing = math.cos(math.radians(middle.lat_e7 / 1e7))
        return int(_DM_PER_E7 * math.hypot(north, min(east, _TURN_E7 - east) * narrowing))

    def _is_moved(self) -> bool:
        allowed_dm = self._site.accuracy_dm + 3 * self._middle().accuracy_dm
        return len(self._fixes) == FIXES and self._away_dm() > allowed_dm
