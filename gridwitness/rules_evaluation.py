"""What the balance rule does on a real grid: alarms on honest windows, and what it finds.

Decides the trials: which windows, which thefts, forged exports and missing meters, and how they are
counted, for the validators' rule and for the naive one beside it ("more than 5 % of the feeder's
flow is gone"). Flows come from `hwsim.grid_flows`, errors from `hwsim.meter_errors`, verdicts from
the rule itself.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from gridwitness.judged_zone import ACCUSING, JudgedZone, band_kw, tolerance_wh
from hwsim.grid_flows import GridFlows, Row
from hwsim.grid_zone import HOURS
from hwsim.meter_errors import Chance, Counted, MeterErrors, Metering
from validator.app.parameters import Parameters
from validator.app.zone_seal import Judgement, Measured
from wire.results import Verdict

THEFTS_W = (100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000)
EXPORTS_W = (200, 500, 1_000, 2_000, 5_000)
MISSING = (1, 2, 5)
NAIVE_PART = 20
"""The naive rule's alarm: a twentieth of the net flow, 5 %."""

FOUND_PART = 0.9
"""A theft is called detectable when this part of single intervals shows it."""

MAIN = Metering(1, 10, 1)
"""Meters read over a line, whose time is known within 10 s, behind a boundary meter that keeps its
own."""

METERINGS = (
    Metering(1, 1, 1),
    MAIN,
    Metering(10, 10, 1),
    Metering(100, 10, 1),
    Metering(1, 10, 10),
    Metering(1, 10, 1, fine_boundary=True),
    Metering(1, 10, 1, True),
    Metering(10, 10, 1, True),
    Metering(100, 10, 1, True),
)


@dataclass(slots=True)
class Tally:
    """What was counted over the windows of one grid and metering."""

    metering: Metering
    """How the grid is metered."""

    windows: int = 0
    """Honest windows judged."""

    false_alarms: int = 0
    """Honest windows that were SUSPECT or IMPOSSIBLE."""

    naive_false_alarms: int = 0
    """Honest windows in which the naive rule raised an alarm."""

    loss_outside: int = 0
    """Windows whose true loss lies outside the losses' interval by 1 Wh or more."""

    found: dict[int, int] = field(default_factory=lambda: dict.fromkeys(THEFTS_W, 0))
    """By theft: windows that showed it."""

    allowed: dict[int, list[int]] = field(default_factory=lambda: {w: [0, 0] for w in THEFTS_W})
    """By theft: windows whose band is narrower than it, and those of them that showed it."""

    naive_found: dict[int, int] = field(default_factory=lambda: dict.fromkeys(THEFTS_W, 0))
    """By theft: windows in which the naive rule saw it."""

    forged: dict[int, list[int]] = field(default_factory=lambda: {w: [0, 0, 0] for w in EXPORTS_W})
    """By forged export: refused by rule C, settled, withheld."""

    forged_beyond_band_settled: int = 0
    """Forged exports above the band of their own seal that settled."""

    missing: dict[int, list[int]] = field(default_factory=lambda: {n: [0, 0, 0] for n in MISSING})
    """By missing meters: INCONCLUSIVE, accused, and 5 kW of theft found all the same."""

    bands_wh: list[int] = field(default_factory=list)
    """The published band of each honest window."""

    seal_ns: int = 0
    """Time that the rule took for the honest windows, nanoseconds."""

    def detection(self, theft_w: int) -> float:
        """Part of single windows that show a theft."""
        return self.found[theft_w] / max(1, self.windows)

    def naive_detection(self, theft_w: int) -> float:
        """The same of the naive rule."""
        return self.naive_found[theft_w] / max(1, self.windows)

    @property
    def smallest_theft_w(self) -> int | None:
        """The smallest theft that nine of ten windows show, between sizes by a straight line."""
        before_w, before = 0, 0.0
        for theft_w in THEFTS_W:
            part = self.detection(theft_w)
            if part >= FOUND_PART:
                share = (FOUND_PART - before) / (part - before)
                return round(before_w + share * (theft_w - before_w))
            before_w, before = theft_w, part
        return None

    @property
    def content(self) -> dict[str, Any]:
        """For JSON."""
        whole = max(1, self.windows)
        return {
            "register_wh": self.metering.step_wh,
            "skew_s": self.metering.skew_s,
            "boundary_skew_s": self.metering.boundary_skew_s,
            "reactive": self.metering.reactive,
            "boundary_class": "0.2S" if self.metering.fine_boundary else "0.5",
            "windows": self.windows,
            "false_alarm_rate": self.false_alarms / whole,
            "naive_false_alarm_rate": self.naive_false_alarms / whole,
            "loss_outside_rate": self.loss_outside / whole,
            "detection": {str(w): self.detection(w) for w in THEFTS_W},
            "band_allows": {
                str(w): dict(zip(("windows", "found"), each, strict=True))
                for w, each in self.allowed.items()
            },
            "naive_detection": {str(w): self.naive_detection(w) for w in THEFTS_W},
            "smallest_theft_w": self.smallest_theft_w,
            "band_kw_median": band_kw(statistics.median(self.bands_wh)),
            "band_kw_most": band_kw(max(self.bands_wh)),
            "forged_export": {
                str(w): dict(zip(("over_installed", "settled", "withheld"), each, strict=True))
                for w, each in self.forged.items()
            },
            "forged_beyond_band_settled": self.forged_beyond_band_settled,
            "missing": {
                str(n): dict(zip(("inconclusive", "accused", "theft_5kw_found"), each, strict=True))
                for n, each in self.missing.items()
            },
            "seal_us": round(self.seal_ns / whole / 1_000, 1),
        }


class GridTrial:
    """One grid's windows, judged under every metering."""

    def __init__(
        self, flows: GridFlows, side: str, meterings: Sequence[Metering] = METERINGS
    ) -> None:
        """Register the zone once for each metering."""
        self._flows, self._side = flows, side
        self._zone = flows.zones[side]
        self._sources = [
            place for place, each in enumerate(self._zone.points) if each.installed_w > 0
        ]
        self._judged = [(JudgedZone.of(self._zone, each), Tally(each)) for each in meterings]

    @property
    def tallies(self) -> list[Tally]:
        """What was counted so far, by metering."""
        return [tally for _, tally in self._judged]

    def run(self, windows: int, seeds: int, first_seed: int, say: Callable[[int], None]) -> None:
        """Judge that many windows, the same number by each seed, spread over all intervals."""
        each = -(-windows // seeds)
        common_ppm = Parameters().common_ppm
        for number in range(seeds):
            seed = first_seed + number
            errors = MeterErrors(self._zone.points, seed, common_ppm)
            chance = Random(-1 - seed)
            for place, index in enumerate(self._indices(each, number, seeds)):
                self._window(index, errors.draw(), errors, chance)
                say(number * each + place + 1)

    def _indices(self, count: int, number: int, seeds: int) -> Iterator[int]:
        """Intervals of one seed: evenly spread, those of the seeds between each other."""
        room = self._flows.intervals - 2
        for place in range(count):
            yield 1 + (place * seeds + number) * room // (count * seeds) % room

    def _window(
        self, index: int, chances: list[Chance], errors: MeterErrors, chance: Random
    ) -> None:
        three = [self._flows.interval(each, self._side) for each in (index - 1, index, index + 1)]
        rows = list(zip(*three, strict=True))
        lost_wh = _net(rows[0][1]) - sum(_net(row[1]) for row in rows[1:])
        source = chance.choice(self._sources) if self._sources else None
        absent = chance.sample(range(1, len(rows)), min(max(MISSING), len(rows) - 1))
        known: dict[Metering, _Window] = {}
        for zone, tally in self._judged:
            counting = replace(zone.metering, reactive=False)
            if counting not in known:
                known[counting] = _Window(rows, chances, errors, counting)
            _try(zone, tally, known[counting], lost_wh, source, absent)


class _Window:
    """What each meter counts in one window, honestly and while energy is stolen."""

    def __init__(
        self,
        rows: Sequence[tuple[Row, Row, Row]],
        chances: Sequence[Chance],
        errors: MeterErrors,
        metering: Metering,
    ) -> None:
        self.counted = [
            errors.counted(place, each, chances[place], metering) for place, each in enumerate(rows)
        ]
        self.boundary: dict[int, Counted] = {}
        """By theft, watts: what the boundary meter counts then."""

        for theft_w in THEFTS_W:
            before, now, after = (_stolen(row, theft_w * HOURS) for row in rows[0])
            self.boundary[theft_w] = errors.counted(0, (before, now, after), chances[0], metering)


def _net(row: Row) -> float:
    return row[0] - row[1]


def _stolen(row: Row, wh: float) -> Row:
    """What passes the boundary when a thief takes that much; its own loss is left out."""
    return max(0.0, row[0] - row[1] + wh) if row[1] else row[0] + wh, max(0.0, row[1] - wh), row[2]


def _try(
    zone: JudgedZone,
    tally: Tally,
    window: _Window,
    lost_wh: float,
    source: int | None,
    absent: Sequence[int],
) -> None:
    """Judge the honest window, then every theft, forged export and absence in it."""
    measured = _measured(zone, window)
    boundary = zone.members[0].id
    started = time.perf_counter_ns()
    found = zone.judge(measured)
    tally.seal_ns += time.perf_counter_ns() - started
    _honest(tally, found, measured[boundary], lost_wh)
    thefts = {theft: zone.measured(0, counted) for theft, counted in window.boundary.items()}
    for theft_w, counted in thefts.items():
        stolen = zone.judge(measured | {boundary: counted})
        shown = stolen.verdict in ACCUSING
        tally.found[theft_w] += shown
        if found.band_wh < theft_w * HOURS:
            tally.allowed[theft_w][0] += 1
            tally.allowed[theft_w][1] += shown
        tally.naive_found[theft_w] += _naive_alarm(stolen, counted)
    if source is not None:
        _forge(zone, tally, measured, zone.members[source].id)
    for count in MISSING:
        gone = {zone.members[place].id for place in absent[:count]}
        left = {name: each for name, each in measured.items() if name not in gone}
        verdict = zone.judge(left).verdict
        tally.missing[count][0] += verdict is Verdict.INCONCLUSIVE
        tally.missing[count][1] += verdict in ACCUSING
        stolen = zone.judge(left | {boundary: thefts[THEFTS_W[-1]]})
        tally.missing[count][2] += stolen.verdict in ACCUSING


def _measured(zone: JudgedZone, window: _Window) -> dict[str, Measured]:
    return {
        member.id: zone.measured(place, counted)
        for place, (member, counted) in enumerate(zip(zone.members, window.counted, strict=True))
    }


def _honest(tally: Tally, found: Judgement, boundary: Measured, lost_wh: float) -> None:
    tally.windows += 1
    tally.false_alarms += found.verdict in ACCUSING
    tally.naive_false_alarms += _naive_alarm(found, boundary)
    tally.loss_outside += not found.loss.low_wh - 1 < lost_wh < found.loss.high_wh + 1
    tally.bands_wh.append(found.band_wh)


def _naive_alarm(found: Judgement, boundary: Measured) -> bool:
    flow_wh = abs(boundary.import_wh - boundary.export_wh)
    return abs(found.residual_wh) * NAIVE_PART > flow_wh


def _forge(zone: JudgedZone, tally: Tally, measured: dict[str, Measured], name: str) -> None:
    honest = measured[name]
    for export_w in EXPORTS_W:
        forged_wh = round(export_w * HOURS)
        export_wh = honest.export_wh + forged_wh
        if export_wh > zone.most_export_wh[name]:
            tally.forged[export_w][0] += 1
            continue
        found = zone.judge(measured | {name: honest._replace(export_wh=export_wh)})
        settled = found.verdict is Verdict.BALANCED
        tally.forged[export_w][1 if settled else 2] += 1
        tally.forged_beyond_band_settled += settled and forged_wh > found.band_wh


@dataclass(frozen=True, slots=True)
class DayPoint:
    """One window of a day, for drawing."""

    residual_wh: int
    """R, honest."""

    stolen_wh: int
    """R while 2 kW are stolen."""

    low_wh: int
    """Least R that is BALANCED."""

    high_wh: int
    """Most R that is BALANCED."""


def day(flows: GridFlows, side: str, first: int, count: int, seed: int) -> list[DayPoint]:
    """R and its band over consecutive windows of one seed."""
    zone = JudgedZone.of(flows.zones[side], MAIN)
    boundary = zone.members[0].id
    errors = MeterErrors(zone.members, seed, Parameters().common_ppm)
    found = []
    for index in range(first, first + count):
        three = [flows.interval(each, side) for each in (index - 1, index, index + 1)]
        window = _Window(list(zip(*three, strict=True)), errors.draw(), errors, MAIN)
        measured = _measured(zone, window)
        honest = zone.judge(measured)
        counted = zone.measured(0, window.boundary[2_000])
        stolen = zone.judge(measured | {boundary: counted})
        slack = tolerance_wh(honest)
        low, high = honest.loss.low_wh - slack, honest.loss.high_wh + slack
        found.append(DayPoint(honest.residual_wh, stolen.residual_wh, low, high))
    return found
