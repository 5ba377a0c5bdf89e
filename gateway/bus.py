"""One actor per line: does what the schedule says, one request at a time.

Decides nothing about when or in which order (`gateway.schedule`), nor what a reading is
(`gateway.intervals`, `gateway.window`); it reads a doubtful value a second time, and turns what
happens on the line into what the schedule must know.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from gateway import meter_time, window
from gateway.config import BusConfig
from gateway.decode import NoValue, confirms, decode, doubt, evidence
from gateway.energy import read_energy
from gateway.frames import DeviceRefused, Garbled, Request
from gateway.intervals import Sample
from gateway.line import Line
from gateway.meter_time import AGAIN_S, GIVE_EVERY_S, MeterState
from gateway.reader import Reader
from gateway.registered import Meter, PolledMeter, SigningMeter
from gateway.schedule import (
    LATEST_READ_MS,
    Ask,
    BusSchedule,
    Health,
    Missed,
    Purpose,
    Rest,
)
from gateway.spool import NEVER, Spool
from gateway.template import Block
from gateway.timing import ClockQuality, NetworkClock
from gateway.watchdog import Heart, woken
from wire.errors import Unavailable
from wire.reading import SignedReading

_log = structlog.get_logger()

_RECORDS_AT_ONCE = 8
_FETCH_TRIES = 2


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
        self.schedule = BusSchedule()
        self.line = line
        self.meters: dict[str, Meter] = {meter.id: meter for meter in meters}
        self.next_sequences: dict[str, int] = {}
        """For each signing meter, the first record that is not in the spool."""
        self.apart = 0
        """Records kept apart since the start."""
        self.states: dict[str, MeterState] = {}
        """What signing meters last said of themselves."""
        self.heart = Heart(f"bus {bus.name}")
        self.time_is_known: Callable[[], bool] = lambda: True
        """Whether a boundary is where it seems to be; until then none is read."""
        self.own_clock: Callable[[], ClockQuality] | None = None
        """What this machine's clock is worth; None when it is not given to meters."""
        self._spool, self._reader = places
        self._clock = clock
        self._samples: dict[str, Sample | None] = {}
        self._identified: set[str] = set()
        self._time_due_s: dict[str, float] = {}
        self._ended = asyncio.Event()

    async def begin(self) -> None:
        """Go on from where the spool stands."""
        for meter in self.meters.values():
            known = await self._spool.meter(meter.id)
            self._samples[meter.id] = known.sample
            if isinstance(meter, SigningMeter):
                self.next_sequences[meter.id] = known.next_sequence
            self.schedule.add(meter.id, isinstance(meter, SigningMeter), known.done_s)

    def end(self) -> None:
        """Stop polling after the question that is on the line now."""
        self._ended.set()

    async def run(self) -> None:
        """Poll until told to end."""
        loop = asyncio.get_running_loop()
        while not self._ended.is_set():
            self.heart.beat()
            step = self.schedule.next(self._clock.now_ms(), loop.time())
            if isinstance(step, Rest):
                real_s = self._clock.real_s_until(step.until_ms)
                await woken(self._ended, min(real_s, step.at_most_s))
            elif isinstance(step, Missed):
                self.schedule.done(step.meter, step.boundary_s)
                if self._samples[step.meter] is not None:
                    _log.warning("boundary missed", meter=step.meter, boundary_s=step.boundary_s)
            else:
                await self._do(step)

    async def _do(self, step: Ask) -> None:
        meter = self.meters[step.meter]
        real_s = asyncio.get_running_loop().time
        before = self.schedule.health(meter.id)
        try:
            if step.purpose is Purpose.FENCE:
                await self._fence(meter)
            elif isinstance(meter, PolledMeter):
                await self._boundary(meter, step.boundary_s)
            else:
                await self._records(meter, step.boundary_s)
        except window.WrongMeter as reason:
            self.schedule.held(meter.id, real_s())
            if before is not Health.HELD:
                _log.error("meter held", bus=self.name, meter=meter.id, reason=str(reason))
        except (Unavailable, Garbled, DeviceRefused, NoValue) as reason:
            self._identified.discard(meter.id)
            self.schedule.failed(meter.id, real_s())
            if self.schedule.health(meter.id) is not before:
                _log.warning("meter is dead", bus=self.name, meter=meter.id, reason=str(reason))
            if self.schedule.all_dead():
                self.line.close()

    async def _fence(self, meter: Meter) -> None:
        if isinstance(meter, PolledMeter):
            block, silence_ms = meter.template.fence, meter.template.silence_ms
            request = _request(meter.unit, block)
        else:
            request, silence_ms = window.fence(meter.unit), 0
        # An exception is an answer too: nothing older can come any more.
        with contextlib.suppress(DeviceRefused):
            await self.line.ask(request, silence_ms)
        self.schedule.clean(meter.id)

    async def _boundary(self, meter: PolledMeter, boundary_s: int) -> None:
        if not self.time_is_known():
            self.schedule.not_yet(meter.id, asyncio.get_running_loop().time())
            return
        sample = await self._believed(meter, boundary_s)
        if sample.offset_ms > LATEST_READ_MS:
            return  # Time ran on meanwhile: the schedule will call it missed.
        await self._reader.keep_sample(meter, sample)
        self._samples[meter.id] = sample
        self.schedule.done(meter.id, boundary_s)

    async def _believed(self, meter: PolledMeter, boundary_s: int) -> Sample:
        """Read once, or twice when the first value is doubtful; raises Garbled."""
        first = await self._sample(meter, boundary_s)
        before = self._samples[meter.id]
        if before is None or not (reason := _doubt(before, first, meter)):
            return first
        second = await self._sample(meter, boundary_s)
        if not _doubt(before, second, meter):
            _log.info("first read dismissed", meter=meter.id, reason=reason)
            return second
        elapsed_ms = second.offset_ms - first.offset_ms
        if not confirms(first.registers, second.registers, elapsed_ms, meter.limits):
            raise Garbled(f"two reads disagree, and {reason}")
        _log.warning("doubtful value confirmed", meter=meter.id, reason=reason)
        return second

    async def _sample(self, meter: PolledMeter, boundary_s: int) -> Sample:
        template = meter.template
        words = await read_energy(self.line.ask, meter.unit, template, 0)
        offset_ms = self._clock.now_ms() - boundary_s * 1000
        before = self._samples[meter.id]
        found = decode(template, words, before.registers if before else None)
        return Sample(boundary_s, found, evidence(template, words), offset_ms)

    async def _records(self, meter: SigningMeter, boundary_s: int) -> None:
        if meter.id not in self._identified:
            await window.check_identity(self.line.ask, meter)
            self._identified.add(meter.id)
            self._time_due_s.pop(meter.id, None)
        await self._give_time(meter)
        there = await window.look(self.line.ask, meter)
        first = self._first(meter, there)
        last = min(there.records, first + _RECORDS_AT_ONCE)
        kept, apart = await self._keep(meter, range(first, last))
        self.next_sequences[meter.id] = last
        if last < there.records:
            self.schedule.more(meter.id)
            self._reader.queued.set()
        elif apart or any(_ends(each) >= boundary_s for each in kept):
            self.schedule.done(meter.id, boundary_s)
            self._reader.queued.set()
        else:
            self.schedule.not_yet(meter.id, asyncio.get_running_loop().time())

    async def _give_time(self, meter: SigningMeter) -> None:
        """Give the time when it is due; a meter that will not have it is read all the same."""
        now_s = asyncio.get_running_loop().time()
        if self.own_clock is None or now_s < self._time_due_s.get(meter.id, now_s):
            return
        quality = self.own_clock()
        good = meter_time.may_give(quality)
        self._time_due_s[meter.id] = now_s + (GIVE_EVERY_S if good else AGAIN_S)
        try:
            if good:
                await meter_time.give(self.line.ask, meter.unit, self._clock, quality)
            self.states[meter.id] = await meter_time.state(self.line.ask, meter.unit)
        except DeviceRefused as reason:
            _log.warning("the meter takes no time", meter=meter.id, reason=str(reason))

    def _first(self, meter: SigningMeter, there: window.Window) -> int:
        wanted = self.next_sequences[meter.id]
        if wanted > there.records:
            self._identified.discard(meter.id)
            raise window.WrongMeter(
                f"meter {meter.id} has {there.records} records, and {wanted} were fetched before"
            )
        if NEVER < wanted < there.tail:
            _log.error("records lost by the meter", meter=meter.id, first=wanted, next=there.tail)
        return max(wanted, there.tail)

    async def _keep(self, meter: SigningMeter, sequences: range) -> tuple[list[SignedReading], int]:
        kept: list[SignedReading] = []
        apart = 0
        for sequence in sequences:
            record = await self._fetch(meter, sequence)
            if record is None:
                apart += 1
            else:
                kept.append(record)
                await self._spool.keep_records(
                    meter.id, [record], sequence + 1, self._clock.now_ms()
                )
        return kept, apart

    async def _fetch(self, meter: SigningMeter, sequence: int) -> SignedReading | None:
        """Fetch a record, a second time when it is bad; a bad one is kept apart."""
        for attempt in range(_FETCH_TRIES):
            try:
                return await window.fetch(self.line.ask, meter, sequence)
            except window.BadRecord as reason:
                if attempt + 1 < _FETCH_TRIES:
                    continue
                self.apart += 1
                _log.error("record kept apart", meter=meter.id, reason=str(reason))
                await self._spool.keep_apart(
                    meter.id, sequence, reason.content, str(reason), self._clock.now_ms()
                )
        return None


def _request(unit: int, block: Block) -> Request:
    return Request(unit, block.function, block.address, block.words)


def _doubt(before: Sample, now: Sample, meter: PolledMeter) -> str:
    elapsed_ms = 1000 * (now.boundary_s - before.boundary_s) + now.offset_ms - before.offset_ms
    return doubt(before.registers, now.registers, elapsed_ms, meter.limits)


def _ends(record: SignedReading) -> int:
    return record.reading.interval_start_s + record.reading.interval_s
