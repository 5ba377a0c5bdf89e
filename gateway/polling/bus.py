"""One actor per line: does what the schedule says, one request at a time.

Decides nothing about when or in which order (`polling.schedule`), nor what is read of a meter
(`polling.samples`, `polling.records`). It turns what happens on the line into what the schedule
must know, fences a meter before it is believed again (`polling.fences`), asks questions from
elsewhere between polls, and opens the port again when nobody on it answers.
"""

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.config import BusConfig
from gateway.delivery.reader import Reader
from gateway.delivery.spool import Spool
from gateway.lines.frames import DeviceRefused, Garbled, Request
from gateway.lines.line import Line, LineDown
from gateway.lines.transport import Tap
from gateway.meters.decode import NoValue
from gateway.meters.energy import NoSuchModel
from gateway.polling import fences, meter_time, window
from gateway.polling.fences import Owed
from gateway.polling.jobs import Job, Jobs
from gateway.polling.meter_time import GIVE_EVERY_S, MeterState
from gateway.polling.records import Progress, Records
from gateway.polling.samples import Doubtful, Samples
from gateway.polling.schedule import (
    INTERVAL_S,
    LATEST_READ_MS,
    Ask,
    BusSchedule,
    Health,
    Missed,
    Purpose,
    Rest,
)
from gateway.registered import Meter, PolledMeter, SigningMeter
from gateway.timing import ClockQuality, NetworkClock
from gateway.watchdog import Heart
from wire.errors import Refused, Unavailable

_log = structlog.get_logger()

_BUSY = (5, 6)
"""Exceptions with which a device asks for time: acknowledge, busy."""

_NOBODY = (10, 11)
"""Exceptions with which a Modbus TCP gateway says that a device behind it does not answer."""

_FENCES_AT_ONCE = 3
_REOPEN_S = 5.0
_LEAST_REST_S = 0.001


class BusActor:
    """Polls the meters of one bus."""

    def __init__(
        self,
        bus: BusConfig,
        meters: Sequence[Meter],
        line: Line,
        places: tuple[Spool, Reader],
        clock: NetworkClock,
    ) -> None:
        self.name = bus.name
        self.line = line
        self.schedule = BusSchedule(round(line.longest_s * 1000))
        self.meters: dict[str, Meter] = {meter.id: meter for meter in meters}
        self.states: dict[str, MeterState] = {}
        """What signing meters last said of themselves."""
        self.heart = Heart(f"bus {bus.name}")
        self.time_is_known: Callable[[], bool] = lambda: True
        """Whether a boundary is where it seems to be; until then none is read."""
        self.own_clock: Callable[[], ClockQuality] | None = None
        """What this machine's clock is worth; None when it is not given to meters."""
        self._spool, self._reader = places
        self._clock = clock
        self.samples = Samples(self._ask, self._fence, clock)
        self.records = Records(self._ask, self._spool, clock)
        self._jobs = Jobs(bus.name)
        self._job_was_last = False
        self._owed: dict[int, Owed] = defaultdict(Owed)
        self._units = {meter.unit: meter for meter in meters}
        self._babblers: tuple[int, ...] = ()
        self._down = ""
        self._told_of_first = False
        self._time_due_s: dict[str, float] = {}
        self._ended = False

    async def begin(self) -> None:
        """Go on from where the spool stands."""
        for meter in self.meters.values():
            known = await self._spool.meter(meter.id)
            self.samples.last[meter.id] = known.sample
            if isinstance(meter, SigningMeter):
                self.records.next_sequences[meter.id] = known.next_sequence
            self.schedule.add(meter.id, isinstance(meter, SigningMeter), known.done_s)

    def end(self) -> None:
        """Stop polling after the question that is on the line now."""
        self._ended = True
        self._jobs.end()

    @property
    def taps(self) -> set[Tap]:
        """Who is told of every octet on the line."""
        return self.line.taps

    def submit(self, request: Request, silence_ms: int) -> asyncio.Future[tuple[int, ...]]:
        """Ask an extra question between polls.

        Args:
            request: what to ask; of any unit, with a meter that is polled or not.
            silence_ms: silence that the device wants before it on a serial line.

        Returns the registers of the reply, or what `Line.ask` raises. Raises NotTaken: too many
        questions wait, or the bus has ended.
        """
        return self._jobs.submit(request, silence_ms)

    async def run(self) -> None:
        """Poll until told to end."""
        try:
            while not self._ended:
                self.heart.beat()
                now_ms = self._clock.now_ms()
                step = self.schedule.next(now_ms, self._now_s())
                if await self._job_instead_of(step, now_ms):
                    continue
                if isinstance(step, Rest):
                    await self._rest(step, now_ms)
                elif isinstance(step, Missed):
                    self.schedule.missed(step.meter, step.boundary_s)
                    if self.samples.last[step.meter] is not None:
                        _log.warning("boundary missed", meter=step.meter, until_s=step.boundary_s)
                else:
                    await self._do(step)
                    self._look_for_babblers()
        finally:
            self._jobs.end()

    async def _rest(self, step: Rest, now_ms: int) -> None:
        real_s = self._clock.real_s_until(step.until_ms)
        rest_s = max(_LEAST_REST_S, min(real_s, step.at_most_s))
        if self.schedule.time_for_more(now_ms):
            await self._jobs.wait(rest_s)
        else:
            await asyncio.sleep(rest_s)  # Questions wait until the boundary is dealt with.

    def report(self) -> Mapping[str, Any]:
        """How the line is, for the status page."""
        now_s = self._now_s()
        babbles = self.line.babble.is_on(now_s)
        return {
            "state": "down" if self.line.down else "babbling" if babbles else "up",
            "reason": self.line.down,
            "babbling_units": list(self.line.babble.units(now_s)) if babbles else [],
            "echoes": self.line.echoes,
            "answers": self.line.answers,
            "errors": dict(self.line.errors),
            "meters": list(self.meters),
        }

    def errors_of(self, meter: str) -> Counter[str]:
        """How often each kind of failure was seen of a meter."""
        return self.line.errors_of[self.meters[meter].unit]

    async def _do(self, step: Ask) -> None:
        meter = self.meters[step.meter]
        before = self.schedule.health(meter.id)
        try:
            if step.purpose is Purpose.FENCE:
                await self._fence(meter)
                self.schedule.clean(meter.id)
                if self._energy_may_come_twice(meter):
                    self.schedule.again(meter.id, self._now_s())
            elif isinstance(meter, PolledMeter):
                await self._boundary(meter, step.boundary_s)
            else:
                await self._records(meter, step.boundary_s)
        except LineDown as reason:
            self._line_is_down(str(reason))
            return
        except Doubtful as reason:
            _log.info("read again", meter=meter.id, reason=str(reason))
            self.line.count(reason.code, meter.unit)
            self.schedule.again(meter.id, self._now_s())
        except (Unavailable, Refused, *_OF_ONE_METER) as reason:
            self._failed(meter, reason)
            health = self.schedule.health(meter.id)
            if health is not before:
                words = {"bus": self.name, "meter": meter.id, "reason": str(reason)}
                tell = _log.error if isinstance(reason, _OF_ONE_METER) else _log.warning
                tell(f"meter is {health}", **words)
        self._line_is_there()

    def _failed(self, meter: Meter, reason: Exception) -> None:
        now_s = self._now_s()
        code = reason.exception if isinstance(reason, DeviceRefused) else 0
        if code in _BUSY:
            self.schedule.busy(meter.id, now_s)
            return
        if isinstance(reason, (window.WrongMeter, *_OF_ONE_METER)):
            self.schedule.held(meter.id, now_s)
        elif isinstance(reason, NoValue | NoSuchModel) or (code and code not in _NOBODY):
            self.schedule.refused(meter.id, now_s)
        else:
            self.schedule.failed(meter.id, now_s, not isinstance(reason, Garbled))
        if isinstance(reason, _NOT_COUNTED_BY_LINE):
            self.line.count(reason.code, meter.unit)
        if self.schedule.health(meter.id) is not Health.LIVE:
            self.records.forget(meter.id)
            self.samples.forget(meter.id)
        if self.schedule.all_dead():
            self.line.reopen(_REOPEN_S)

    def _line_is_down(self, reason: str) -> None:
        self.schedule.down(self._now_s())
        if reason != self._down:
            _log.error("line is down", bus=self.name, reason=reason)
        self._down = reason

    def _line_is_there(self) -> None:
        if self._down:
            _log.info("line is up again", bus=self.name)
        self._down = ""
        self.schedule.up()

    def _look_for_babblers(self) -> None:
        now_s = self._now_s()
        babble = self.line.babble
        units = babble.units(now_s) if babble.is_on(now_s) else ()
        if units == self._babblers:
            return
        self._babblers = units
        self.schedule.disturbs([self._units[unit].id for unit in units if unit in self._units])
        _log.warning("units talk without being asked", bus=self.name, units=list(units))

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()

    async def _ask(self, request: Request, silence_ms: int = 0) -> tuple[int, ...]:
        """Ask; a reply that was not taken is owed."""
        owed = self._owed[request.unit]
        try:
            words = await self.line.ask(request, silence_ms)
        except (Unavailable, Garbled):
            owed.unanswered(request, self._now_s())
            raise
        owed.heard(request, self._now_s())
        return words

    async def _fence(self, meter: Meter) -> None:
        silence_ms = meter.template.silence_ms if isinstance(meter, PolledMeter) else 0
        await self._fence_unit(meter.unit, _fences_of(meter), silence_ms)

    async def _fence_unit(self, unit: int, choice: Sequence[Request], silence_ms: int) -> None:
        """Ask a question that no reply still owed answers; raises what the line says."""
        owed = self._owed[unit]
        for _ in range(_FENCES_AT_ONCE):
            fence = owed.fence(choice, self._now_s())
            try:
                await self._ask(fence, silence_ms)
            except DeviceRefused as reason:
                owed.refused(fence, self._now_s())
                if reason.exception in (*_BUSY, *_NOBODY):
                    raise
            else:
                if owed.answered(fence, self._now_s()):
                    return
        await self.line.settle()
        owed.settled()

    async def _boundary(self, meter: PolledMeter, boundary_s: int) -> None:
        if not self.time_is_known():
            self.schedule.not_yet(meter.id, self._now_s())
            return
        sample = await self.samples.take(meter, boundary_s)
        if sample.offset_ms > LATEST_READ_MS:
            return  # Time ran on meanwhile: the schedule will call it missed.
        await self._reader.keep_sample(meter, sample)
        if self.samples.last[meter.id] is None and not self._told_of_first:
            self._told_of_first = True
            at = datetime.fromtimestamp(boundary_s + INTERVAL_S, UTC).isoformat()
            _log.info("first boundary taken", bus=self.name, first_reading_at=at)
        self.samples.last[meter.id] = sample
        self.schedule.done(meter.id, boundary_s)

    async def _records(self, meter: SigningMeter, boundary_s: int) -> None:
        if await self.records.identify(meter):
            self._time_due_s.pop(meter.id, None)
        await self._give_time(meter)
        progress = await self.records.catch_up(meter, boundary_s)
        if progress is Progress.MORE:
            self.schedule.more(meter.id)
        elif progress is Progress.DONE:
            self.schedule.done(meter.id, boundary_s)
        else:
            self.schedule.not_yet(meter.id, self._now_s())
            return
        self._reader.queued.set()

    async def _give_time(self, meter: SigningMeter) -> None:
        """Give the time when it is due; a meter that will not have it is read all the same."""
        now_s = self._now_s()
        if self.own_clock is None or now_s < self._time_due_s.get(meter.id, now_s):
            return
        quality = self.own_clock()
        good = meter_time.may_give(quality)
        self._time_due_s[meter.id] = now_s + (GIVE_EVERY_S if good else meter_time.AGAIN_S)
        try:
            if good:
                await meter_time.give(self._ask, meter.unit, self._clock, quality)
            self.states[meter.id] = await meter_time.state(self._ask, meter.unit)
        except DeviceRefused as reason:
            _log.warning("the meter takes no time", meter=meter.id, reason=str(reason))

    async def _job_instead_of(self, step: Ask | Rest | Missed, now_ms: int) -> bool:
        """Ask a question from elsewhere when no living meter is due and no boundary is near."""
        may_wait = isinstance(step, Rest) or (
            isinstance(step, Ask) and self.schedule.may_wait(step) and not self._job_was_last
        )
        self._job_was_last = False
        if not may_wait or not self.schedule.time_for_more(now_ms):
            return False
        job = self._jobs.take()
        if job is None:
            return False
        self._job_was_last = True
        await self._answer(job)
        return True

    async def _answer(self, job: Job) -> None:
        meter = self._units.get(job.request.unit)
        try:
            await self._fence_for(job, meter)
            words = await self._ask(job.request, job.silence_ms)
        except (Unavailable, Refused) as reason:
            if isinstance(reason, LineDown):
                self._line_is_down(str(reason))
            elif meter and self._owed[meter.unit].anything(self._now_s()):
                self.schedule.suspect(meter.id)
            if not job.answer.done():
                job.answer.set_exception(reason)
        else:
            self._line_is_there()
            if meter and _looks_like_energy(job.request, meter):
                self.schedule.again(meter.id, self._now_s())
            if not job.answer.done():
                job.answer.set_result(words)

    async def _fence_for(self, job: Job, meter: Meter | None) -> None:
        """Fence the unit when it may still owe a reply that could be taken for the answer."""
        owed, wanted = self._owed[job.request.unit], fences.shape(job.request)
        if owed.anything(self._now_s()) or (meter and self.schedule.is_suspect(meter.id)):
            choice = [*(_fences_of(meter) if meter else ()), *fences.like(job.request)]
            choice = [each for each in choice if fences.shape(each) != wanted]
            await self._fence_unit(job.request.unit, choice, job.silence_ms)
            if meter:
                self.schedule.clean(meter.id)
        alike = meter is not None and _looks_like_energy(job.request, meter)
        await asyncio.sleep(owed.pause_s(job.request, self._now_s(), alike))

    def _energy_may_come_twice(self, meter: Meter) -> bool:
        """Whether a late reply of the length of the meter's energy has just come."""
        if not isinstance(meter, PolledMeter):
            return False  # Records name themselves.
        requests = [
            Request(meter.unit, block.function, block.address, block.words)
            for block in meter.template.energy_registers.blocks
        ]
        owed, now_s = self._owed[meter.unit], self._now_s()
        return any(owed.pause_s(each, now_s, False) > 0 for each in requests)


_NOT_COUNTED_BY_LINE = (NoValue, NoSuchModel, window.WrongMeter)
_OF_ONE_METER = (ArithmeticError, LookupError, TypeError, ValueError, sqlite3.DataError)


def _fences_of(meter: Meter) -> list[Request]:
    if isinstance(meter, PolledMeter):
        return fences.of_template(meter.unit, meter.template)
    return window.fences(meter.unit)


def _looks_like_energy(request: Request, meter: Meter) -> bool:
    """Whether the reply to a request, said twice, could be taken for the meter's energy."""
    return isinstance(meter, PolledMeter) and any(
        fences.shape(request) == (block.function, block.words)
        for block in meter.template.energy_registers.blocks
    )
